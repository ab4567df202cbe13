"""Evaluations: ``localprompt eval`` beside a loop, a server with slots, and promptfoo before it.

All contenders answer the same prompts on the same file, greedily, in turns. Loading the model and
starting a server are left out of every wall time; promptfoo's is that of its whole process, for
whose start its user waits each time. Beside them stands the *floor*: the tokens that have to be
evaluated (the shared beginning once, each case's own, generated ones) over the rates of llama-bench
and llama-batched-bench in the same round. Those rates are of short contexts. After a long shared
beginning every token attends to all of it, which no program avoids, so there is a second floor with
llama-bench's rate at that depth.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from benchmarks.peers import contenders, workloads
from benchmarks.peers.contenders import Answers
from benchmarks.peers.installs import promptfoo_version
from benchmarks.peers.llama_tools import batched_bench, llama_bench
from benchmarks.peers.loop import Looped
from benchmarks.peers.results import Figure, Section, Target, figure
from benchmarks.peers.setup import Setup
from benchmarks.peers.workloads import Workload
from localprompt.stats.samples import median

SLOTS = (1, 4, 8)
_SIDE_BY_SIDE = (1, 4, 8, 16, 32)
_OURS, _LOOP, _PROMPTFOO = "localprompt eval", "loop", "promptfoo"
_FLOOR, _DEEP_FLOOR = "floor", "floor at that depth"
_DEEP = 256
"""Tokens of a shared beginning from which on the depth is looked at."""


class Targets(msgspec.Struct, frozen=True):
    """Ratios of wall times, each with another one where the weights are repacked for the CPU."""

    floor: Target | None
    loop: tuple[Target, Target]
    server: tuple[Target, Target]
    promptfoo: Target | None


CHOICES = Targets(
    floor=Target(at_most=1.5),
    loop=(Target(at_least=1.1), Target(at_least=1.6)),
    server=(Target(at_least=1.2), Target(at_least=1.8)),
    promptfoo=Target(at_least=2.0),
)
TEXTS = Targets(
    floor=None,
    loop=(Target(at_least=1.7), Target(at_least=2.5)),
    server=(Target(at_least=1.1), Target(at_least=1.1)),
    promptfoo=None,
)


class Round(msgspec.Struct, frozen=True):
    """Every contender once."""

    answers: dict[str, Answers]
    floor_seconds: float
    deep_floor_seconds: float | None
    """The floor with each case's own tokens at the rate behind the shared beginning."""
    loop: Looped
    repacked: bool


def measure_choices(setup: Setup) -> Section:
    """Classification with few-shot examples."""
    return _measure(setup, workloads.choices(setup.cases or 200), CHOICES)


def measure_texts(setup: Setup) -> Section:
    """Free answers of 64 tokens."""
    return _measure(setup, workloads.texts(setup.cases or 64), TEXTS)


def floor_seconds(
    loop: Looped,
    workload: Workload,
    *,
    prefill: float,
    decode: float,
    own_prefill: float | None = None,
) -> float:
    """The least time for the workload's tokens at these rates.

    A choice needs no generated token: the labels' probabilities are there when the prompt has been
    evaluated. Of a free answer the first token comes out of the prompt's evaluation, too.

    Args:
        own_prefill: of each case's own tokens; None: as of the shared ones.
    """
    evaluating = loop.shared_tokens / prefill + loop.own_tokens / (own_prefill or prefill)
    generated = 0 if workload.choices else loop.generated_tokens - len(workload.cases)
    return evaluating + max(0, generated) / decode


def _measure(setup: Setup, workload: Workload, targets: Targets) -> Section:
    versions = [f"promptfoo {promptfoo_version(setup.promptfoo)}."] if setup.promptfoo else []
    with tempfile.TemporaryDirectory() as folder:
        rounds = [_round(setup, workload, Path(folder)) for _ in range(setup.pairs)]
    loop = rounds[-1].loop
    return Section(
        name=workload.name,
        title=f"Evaluating {len(workload.cases)} cases: {workload.name}",
        how=f"{len(workload.cases)} prompts that share {loop.shared_tokens} tokens and have "
        f"{loop.own_tokens} of their own, up to {workload.max_tokens} tokens of answer, greedy. "
        "Wall times; slower / faster.",
        figures=tuple(_figures(rounds, targets)),
        notes=(_agreement(rounds[-1], workload), *versions),
    )


def _round(setup: Setup, workload: Workload, folder: Path) -> Round:
    threads = ("-t", str(setup.threads))
    sizes = ("-p", "512", "-n", "16", "-r", "2", "-o", "json")
    single = llama_bench(setup.tools, ["-m", str(setup.weights), *threads, *sizes])
    batched = batched_bench(
        setup.tools,
        setup.weights,
        threads=setup.threads,
        prefill=16,
        decode=32,
        sequences=_SIDE_BY_SIDE,
    )
    ours = contenders.localprompt_eval(setup, workload, folder)
    loop = contenders.loop(setup, workload)
    answers = {_OURS: ours.answers, _LOOP: Answers(loop.wall_seconds, loop.answers)}
    for slots in SLOTS:
        answers[_server(slots)] = contenders.server(setup, workload, slots)
    if setup.promptfoo:
        answers[_PROMPTFOO] = contenders.promptfoo(setup, setup.promptfoo, workload, folder)
    prefill = median(single.prefill_tokens_per_second)
    decode = max(rate.decode_tokens_per_second for rate in batched)
    deep_floor = None
    if loop.shared_tokens >= _DEEP:
        depth = ("-d", str(loop.shared_tokens))
        deep = llama_bench(setup.tools, ["-m", str(setup.weights), *threads, *sizes, *depth])
        own_prefill = median(deep.prefill_tokens_per_second)
        deep_floor = floor_seconds(
            loop, workload, prefill=prefill, decode=decode, own_prefill=own_prefill
        )
    floor = floor_seconds(loop, workload, prefill=prefill, decode=decode)
    return Round(answers, floor, deep_floor, loop, ours.repacked)


def _figures(rounds: list[Round], targets: Targets) -> list[Figure]:
    def walls(name: str) -> tuple[str, list[float]]:
        return name, [one.answers[name].wall_seconds for one in rounds]

    def beside(name: str, other: tuple[str, list[float]], target: Target | None) -> Figure:
        return figure("wall", "s", walls(name), other, target)

    which = 1 if rounds[-1].repacked else 0
    floor = (_FLOOR, [one.floor_seconds for one in rounds])
    deep_seconds = [s for one in rounds if (s := one.deep_floor_seconds) is not None]
    deep_floor = [(_DEEP_FLOOR, deep_seconds)] if deep_seconds else []
    best = min((_server(slots) for slots in SLOTS), key=lambda name: median(walls(name)[1]))
    figures = [
        beside(_OURS, floor, targets.floor),
        *(beside(_OURS, deep, None) for deep in deep_floor),
        beside(_LOOP, walls(_OURS), targets.loop[which]),
        beside(best, walls(_OURS), targets.server[which]),
    ]
    if _PROMPTFOO in rounds[-1].answers:
        figures.append(beside(_PROMPTFOO, walls(_OURS), targets.promptfoo))
    others = [name for name in rounds[-1].answers if name not in (_OURS, _PROMPTFOO)]
    return figures + [beside(name, floor, None) for name in others]


def _agreement(last: Round, workload: Workload) -> str:
    """How many answers equal the loop's.

    Batches of another size round differently. A label survives that nearly always; of a free answer
    everything after the first near-tie between two tokens may differ.
    """
    reference = [workload.answer_of(text) for text in last.answers[_LOOP].texts]
    counts = {
        name: sum(
            workload.answer_of(text) == wanted
            for text, wanted in zip(answers.texts, reference, strict=True)
        )
        for name, answers in last.answers.items()
        if name != _LOOP
    }
    shares = ", ".join(f"{name} {count} of {len(reference)}" for name, count in counts.items())
    return f"Same answer as the loop: {shares}."


def _server(slots: int) -> str:
    return f"llama-server -np {slots}"
