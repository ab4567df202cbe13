"""Who is there, and whether they agree: asked of every hand before an evaluation is spread.

Greedy answers of two CPUs may differ: kernels sum in another order, and where two tokens are nearly
as probable the last bit decides. How often that happens is counted on the same short prompts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec

import localprompt
from localprompt.engine.base import GenerationRequest
from localprompt.errors import MachineError
from localprompt.evaluate.models import OpenEngine
from localprompt.evaluate.received import open_vocabulary
from localprompt.evaluate.spread import Spread
from localprompt.evaluate.worker import MODULE, Answers, Ask, Portion
from localprompt.records import json
from localprompt.records.cluster import Agreement, CheckedMachine, MachineFacts
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import Message, PromptTemplate, Segment
from localprompt.records.run import Sampling
from localprompt.records.work import NOTHING, Done, Hand, Hands, Opening

FACTS_MODULE = "localprompt.cluster.facts"
PROBE_TOKENS = 16
PROBES = tuple(
    f"{ask} {subject}."
    for ask in ("Name a fact about", "Write one sentence about", "Explain", "Give a synonym for")
    for subject in ("the sea", "bread", "a river in winter", "machines", "the number seven")
)
"""Twenty prompts of everyday words."""
_PATIENCE_SECONDS = 0.5


def who_is_there(
    hands: Hands, problems: Iterable[tuple[str, str]] = ()
) -> tuple[CheckedMachine, ...]:
    """Every machine with what it says of itself.

    Args:
        problems: machines that are there and cannot be asked, with why; read at the end.

    Raises:
        MachineError: the cluster cannot be reached, or has no machine.
    """
    hands.open(Opening(localprompt.__version__, FACTS_MODULE, (), NOTHING))
    found = []
    for hand, done, took in _asked(hands, NOTHING, together=False):  # clocks are compared
        if done.cause is not None:
            found.append(CheckedMachine(hand.name, None, done.cause))
            continue
        facts = msgspec.json.decode(done.given, type=MachineFacts)
        off = facts.clock_seconds - (time.time() - took / 2)
        found.append(CheckedMachine(hand.name, facts, None, off))
    found += [CheckedMachine(name, None, problem) for name, problem in problems]
    return tuple(sorted(found, key=lambda one: one.name))


def agreement(
    model: ModelRecord,
    request: EvalRequest,
    hands: Hands,
    problems: Iterable[tuple[str, str]] = (),
    *,
    module: str = MODULE,
    open_engine: OpenEngine = open_vocabulary,
) -> Agreement:
    """How many of the same answers differ from machine to machine.

    Raises:
        MachineError: the cluster cannot be reached, or no machine can open the model.
    """
    texts: dict[str, tuple[str, ...]] = {}
    failed: dict[str, str] = {}
    with Spread(hands, module, open_engine) as spread:
        engine = spread.open(model, request).engine
        asks = []
        for probe in PROBES:
            ids = engine.encode([Message("user", (Segment(probe, None),))]).token_ids
            wanted = GenerationRequest(ids, Sampling(max_tokens=PROBE_TOKENS))
            asks.append(Ask(len(ids) + PROBE_TOKENS, wanted))
        portion = Portion("generate", PromptTemplate(name="", body=""), None, tuple(asks))
        for hand, done, _ in _asked(hands, msgspec.Raw(json.encode(portion)), together=True):
            if done.cause is not None:
                failed[hand.name] = done.cause
                continue
            found = dict(msgspec.json.decode(done.given, type=Answers).answers)
            texts[hand.name] = tuple(found[number].text for number in range(len(asks)))
    failed |= dict(problems)
    names = sorted(texts)
    first = texts[names[0]] if names else ()
    differing = {
        name: sum(a != b for a, b in zip(first, texts[name], strict=True)) for name in names
    }
    return Agreement(model.name, len(PROBES), differing, failed)


def _asked(
    hands: Hands, line: msgspec.Raw, *, together: bool
) -> Sequence[tuple[Hand, Done, float]]:
    """The same line to every hand that is ready when all have said whether they are.

    Args:
        together: at once, instead of one after the other.
    """
    while hands.opening():
        hands.next(_PATIENCE_SECONDS)
    try:
        while not hands.ready():
            hands.next(_PATIENCE_SECONDS)
    except MachineError:
        if not hands.ready():
            return ()
    ready = hands.ready()
    found = []
    for asked in [ready] if together else [(hand,) for hand in ready]:
        started = time.monotonic()
        waiting = {hands.give(hand.name, line): hand for hand in asked}
        while waiting:
            done = hands.next(_PATIENCE_SECONDS)
            if done is not None and (hand := waiting.pop(done.ticket, None)) is not None:
                found.append((hand, done, time.monotonic() - started))
    hands.drop()
    return found
