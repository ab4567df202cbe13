"""Answers in a form and answers that copy: fewer steps for the same tokens, measured.

Three questions, each with both sides in turns inside one process, on one open model:

    grammar    the answer held by llama.cpp's own grammar (GBNF, from llama-cpp-python's converter),
               sampled token by token: what localprompt did before
    held       the same schema as localprompt holds it now: what is forced is not decoded

    server     with ``--server``: the same schema given to llama-server, built from the same
               sources, which sleeps while it is not asked

    single     a free answer, one token a step
    guessed    the same with guesses verified in batches

Time is from the first token to the last. Free answers must be the same on both sides; held ones
follow the same schema in another layout (one line instead of white space as the model likes it), so
the time of the whole answer is compared, not that of a token. Run it on a quiet machine:

    python -m benchmarks.structured [-n 5] [-m MODEL ...] [--only held|guessed|server] [-o FOLDER]

Where the machine cannot be made quiet, ``--cpu-time --threads 1`` compares the CPU seconds of this
process, which other work stretches far less.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import structured_texts as texts
from benchmarks.peers.builds import build_tools
from benchmarks.peers.environment import Began, both_sides, publish
from benchmarks.peers.processes import say
from benchmarks.peers.results import Figure, Section, Target, figure
from benchmarks.peers.server import Server, running
from localprompt.engine.base import Constraint, Finished, GenerationRequest, Token
from localprompt.engine.constraints.holding import hold
from localprompt.engine.device import Chosen
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.engine.llama.library import library, log
from localprompt.engine.llama.sampler import Chain
from localprompt.measure import conditions, machine
from localprompt.measure.warnings import condition_warnings
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.records.prompt import Message, Segment
from localprompt.records.run import RequestedSettings, Sampling
from localprompt.running.assemble import model_record

TITLE = "Fewer steps for an answer"
HELD = Target(at_most=0.67)
SERVED = Target(at_most=0.6)
COPYING = Target(at_most=0.8)
INVENTING = Target(at_least=0.97, at_most=1.03)


_clock = time.perf_counter


class Answer(msgspec.Struct, frozen=True):
    """One answer of one side."""

    text: str
    tokens: int
    decode_seconds: float
    finished: Finished


def main() -> int:
    global _clock  # noqa: PLW0603 - a script's one choice
    options = _options()
    if options.cpu_time:
        _clock = time.process_time
    began = Began.now()
    sections: list[Section] = []
    for name in options.models:
        sections += _model(name, options)
    result = both_sides(
        sections,
        began=began,
        model=options.models[0],
        rounds=options.n,
        threads=options.threads,
    )
    more = f"-{options.only}" if options.only else ""
    publish(result, TITLE, options.output and options.output / f"{began.day}-structured{more}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-n", type=int, default=5, help="pairs of each (%(default)s)")
    parser.add_argument("-m", "--models", nargs="+", default=[DEFAULT_MODEL], metavar="MODEL")
    parser.add_argument("--only", choices=("held", "guessed", "server"))
    parser.add_argument("--server", action="store_true", help="beside llama-server, too")
    parser.add_argument("--cpu-time", action="store_true", help="instead of the clock on the wall")
    parser.add_argument("--tasks", nargs="+", help="only these, by their names")
    parser.add_argument("--threads", type=int)
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="for the result")
    return parser.parse_args()


def _model(name: str, options: argparse.Namespace) -> Iterator[Section]:
    model = model_record(name)
    settings = RequestedSettings(n_threads=options.threads or machine.default_threads())
    with LlamaEngine(Path(model.path), settings, model_sha256=model.sha256) as engine:
        if options.only in {None, "held"}:
            yield _section(_Held(engine, settings), name, options)
        if options.only in {None, "guessed"}:
            yield _section(_Guessed(engine, settings), name, options)
        if options.server or options.only == "server":
            threads = options.threads or machine.default_threads()
            tools = build_tools(with_server=True)
            with running(tools, Path(model.path), threads=threads, slots=1) as server:
                yield _section(_Served(engine, settings, server), name, options)


def _section(side: _Held | _Guessed | _Served, model: str, options: argparse.Namespace) -> Section:
    before, started = conditions.read(), time.perf_counter()
    figures, notes = [], []
    for task, (prompt, detail) in side.tasks.items():
        if options.tasks and task not in options.tasks:
            continue
        say(f"{model}: {task} …")
        asked = side.ask(prompt, detail)
        rounds = [asked() for _ in range(options.n + 1)][1:]  # the first opens caches
        made, note = side.figure(task, detail, rounds)
        figures.append(made)
        notes.append(f"{task}: {note}")
    return Section(
        name=f"{side.name}-{model}",
        title=f"{side.title}, {model}",
        how=f"{side.how}{' CPU time of the process.' if options.cpu_time else ''}",
        figures=tuple(figures),
        notes=tuple(notes),
        warnings=condition_warnings(before, conditions.read()),
        seconds=time.perf_counter() - started,
    )


def _decode(engine: LlamaEngine, request: GenerationRequest) -> Answer:
    tokens, text, began = 0, "", 0.0
    for event in engine.generate([request]):
        if isinstance(event, Token):
            began = began or _clock()
            tokens += 1
            text += event.text
        elif isinstance(event, Finished):
            return Answer(text + event.text, tokens, _clock() - began, event)
    raise RuntimeError("an answer without an end")


def _request(
    engine: LlamaEngine,
    settings: RequestedSettings,
    prompt: str,
    most: int,
    constraint: Constraint | None = None,
) -> GenerationRequest:
    encoded = engine.encode([Message("user", (Segment(prompt),))])
    engine.prepare(settings, n_ctx=len(encoded.token_ids) + most)
    return GenerationRequest(encoded.token_ids, Sampling(max_tokens=most), constraint)


class _Held:
    """Extraction under a schema."""

    name = "held"
    title = "Extraction under a schema"
    how = "Greedy answers to one prompt, in turns; seconds from the first token to the end."
    tasks = texts.EXTRACTIONS

    def __init__(self, engine: LlamaEngine, settings: RequestedSettings) -> None:
        self._engine = engine
        self._settings = settings

    def ask(self, prompt: str, schema: Any) -> Any:
        engine = self._engine
        constraint = hold(schema).constraint
        request = _request(engine, self._settings, prompt, 400, constraint)
        context = engine.context
        grammar = _gbnf(schema)

        def both() -> tuple[Answer, Answer]:
            vars(context)["sampler"] = lambda _: Gbnf(engine, grammar)
            context.can_rewind = False
            before = _decode(engine, request)
            del vars(context)["sampler"]
            context.can_rewind = True
            return _decode(engine, request), before

        return both

    def figure(
        self, task: str, schema: Any, rounds: Sequence[tuple[Answer, Answer]]
    ) -> tuple[Figure, str]:
        made = figure(
            f"{task}, decode",
            "s",
            ("held", [a.decode_seconds for a, _ in rounds]),
            ("grammar", [b.decode_seconds for _, b in rounds]),
            HELD,
        )
        ours, before = rounds[-1]
        used = ours.finished.shortcuts
        same = _document(ours.text) == _document(before.text)
        return made, (
            f"{ours.tokens} tokens ({used.forced} forced, {used.accepted} of {used.drafted} "
            f"guesses right) against {before.tokens}; the documents are "
            f"{'the same' if same else 'not the same'}."
        )


class _Served:
    """Extraction under a schema, beside llama-server."""

    name = "served"
    title = "Extraction under a schema, beside llama-server"
    how = (
        "Greedy answers to the same tokens, in turns; seconds from the first token to the end, the "
        "server's by its own clock."
    )
    tasks = texts.EXTRACTIONS

    def __init__(self, engine: LlamaEngine, settings: RequestedSettings, server: Server) -> None:
        self._engine = engine
        self._settings = settings
        self._server = server

    def ask(self, prompt: str, schema: Any) -> Any:
        request = _request(self._engine, self._settings, prompt, 400, hold(schema).constraint)

        def both() -> tuple[Answer, tuple[str, int, float]]:
            theirs = self._server.hold(request.token_ids, schema, 400)
            return _decode(self._engine, request), theirs

        return both

    def figure(
        self, task: str, schema: Any, rounds: Sequence[tuple[Answer, tuple[str, int, float]]]
    ) -> tuple[Figure, str]:
        made = figure(
            f"{task}, decode",
            "s",
            ("held", [a.decode_seconds for a, _ in rounds]),
            ("llama-server", [seconds for _, (_, _, seconds) in rounds]),
            SERVED,
        )
        ours, (text, tokens, _) = rounds[-1]
        same = _document(ours.text) == _document(text)
        return made, (
            f"{ours.tokens} tokens ({ours.finished.shortcuts.forced} forced) against {tokens}; the "
            f"documents are {'the same' if same else 'not the same'}."
        )


class _Guessed:
    """Free answers."""

    name = "guessed"
    title = "Free answers"
    how = "Greedy answers to one prompt, in turns; seconds from the first token to the end."
    tasks = texts.FREE

    def __init__(self, engine: LlamaEngine, settings: RequestedSettings) -> None:
        self._engine = engine
        self._settings = settings

    def ask(self, prompt: str, detail: Any) -> Any:
        engine = self._engine
        request = _request(engine, self._settings, prompt, detail[1])
        context = engine.context

        def both() -> tuple[Answer, Answer]:
            context.can_rewind = False
            single = _decode(engine, request)
            context.can_rewind = True
            return _decode(engine, request), single

        return both

    def figure(
        self, task: str, detail: Any, rounds: Sequence[tuple[Answer, Answer]]
    ) -> tuple[Figure, str]:
        made = figure(
            f"{task}, decode",
            "s",
            ("guessed", [a.decode_seconds for a, _ in rounds]),
            ("single", [b.decode_seconds for _, b in rounds]),
            COPYING if detail[0] == "copy" else INVENTING,
        )
        ours, single = rounds[-1]
        used = ours.finished.shortcuts
        pairs = zip(ours.text, single.text, strict=False)
        agree = next((n for n, (a, b) in enumerate(pairs) if a != b), len(single.text))
        same = "the same text" if ours.text == single.text else f"the same for {agree} characters"
        return made, (
            f"{ours.tokens} tokens, {used.accepted} of {used.drafted} guesses right; {same}."
        )


class Gbnf:
    """llama.cpp's grammar beside its sampler, as localprompt had it: a token is checked after the
    draw, and only where it is rejected the whole vocabulary is filtered and drawn from again."""

    finished = False

    def __init__(self, engine: LlamaEngine, grammar: str) -> None:
        self._lib = library()
        self._context = engine.context.pointer
        vocab = self._lib.llama_model_get_vocab(self._lib.llama_get_model(self._context))
        self._chain = Chain(self._context, Sampling())
        self._grammar = self._lib.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
        if not self._grammar:
            raise RuntimeError("llama.cpp refused the grammar")

    def choose(self, batch_index: int) -> Chosen:
        token = self._chain.sample(batch_index)
        if not self._allows(token):
            token = self._filtered(batch_index)
        self._lib.llama_sampler_accept(self._grammar, token)
        return Chosen((token,))

    def fitting(self, token_ids: Sequence[int]) -> int:
        return 0

    def close(self) -> None:
        self._lib.llama_sampler_free(self._grammar)
        self._chain.close()

    def _allows(self, token: int) -> bool:
        data = (self._lib.llama_token_data * 1)(self._lib.llama_token_data(token, 1.0, 0.0))
        candidates = self._lib.llama_token_data_array(data, 1, -1, False)
        self._lib.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        return not math.isinf(data[0].logit)

    def _filtered(self, batch_index: int) -> int:
        """The most probable of what is allowed: candidates in NumPy memory, as fast as in C."""
        import numpy as np

        from localprompt.engine.llama.logits import row

        n_vocab = self._lib.llama_vocab_n_tokens(
            self._lib.llama_model_get_vocab(self._lib.llama_get_model(self._context))
        )
        data = np.zeros(n_vocab, dtype=[("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        data["id"] = np.arange(n_vocab)
        data["logit"] = row(self._context, batch_index, n_vocab)
        pointer = ctypes.cast(data.ctypes.data, ctypes.POINTER(self._lib.llama_token_data))
        candidates = self._lib.llama_token_data_array(pointer, n_vocab, -1, False)
        self._lib.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        return int(data["id"][data["logit"].argmax()])


def _gbnf(schema: dict[str, Any]) -> str:
    from llama_cpp import llama_grammar

    log.connect(library())  # the package has taken it to stderr
    text: str = llama_grammar.json_schema_to_gbnf(json.dumps(schema))
    return text.replace(r'char ::= [^"\\]', r'char ::= [^"\\\x00-\x1F\x7F]')


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main())
