"""24 requests, each as attention is chosen for it, and both fixed ways: seconds on the wall.

    python -m benchmarks.attention_grid [-m MODEL] [-n 5] [--only 1-8] [--cpu] [-o FILE.json]

One process holds the model once for each way; the three ways take turns at every request, n times.
Prompts of 30 to 3,000 tokens, of which up to 90 % were kept by an earlier run (or are what all of
several sequences begin with), answers of 1 to 300 tokens, 1 to 32 sequences. A request of one
sequence goes the way of ``run``: what is told is the time to its first token and the time for each
further one, loading excluded. One of several goes the way of ``eval``. Answers may end early; the
time is told for as many tokens as were wanted, by the rate of those that came. With ``--cpu`` one
thread computes and CPU time is told, contexts included: for a machine that others use.

A ratio is that of the faster fixed way to the choice, and of llama.cpp's default (flash attention)
to the choice: above 1, the choice is faster. Tables of attention are made before, and not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import geometric_mean
from typing import Any, NamedTuple

from localprompt.engine.base import GenerationRequest, Token
from localprompt.evaluate.models import OpenModel, open_llama
from localprompt.evaluate.ways import Shape
from localprompt.measure import machine
from localprompt.records.cell import Cell, SamplingChoices
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.run import RequestedSettings, Sampling
from localprompt.running.assemble import RunChoices, model_record, run_cell, with_threads
from localprompt.running.attention import expected_answer
from localprompt.running.execute import Session, open_session, render
from localprompt.running.run import open_llama as open_for_run
from localprompt.sources.prompt.file import load_prompt
from localprompt.stats.samples import median

WAYS: dict[str, bool | None] = {"chosen": None, "on": True, "off": False}
_WORDS = "the kettle in the garden sings of rain and bread while two sisters count the boats "


class Request(NamedTuple):
    prompt: int
    kept: int
    """Tokens of the prompt, of those."""
    answer: int
    sequences: int = 1


GRID = (
    Request(30, 0, 1),
    Request(30, 0, 300),
    Request(100, 0, 32),
    Request(100, 0, 128),
    Request(250, 0, 8),
    Request(250, 0, 128),
    Request(540, 0, 1),
    Request(540, 0, 32),
    Request(540, 503, 1),
    Request(540, 503, 32),
    Request(500, 0, 128),
    Request(1000, 0, 16),
    Request(1000, 900, 64),
    Request(2000, 0, 1),
    Request(2000, 0, 128),
    Request(2000, 1800, 16),
    Request(3000, 0, 32),
    Request(3000, 2700, 64),
    Request(30, 0, 64, 8),
    Request(60, 0, 64, 32),
    Request(120, 60, 16, 32),
    Request(300, 0, 32, 8),
    Request(580, 520, 32, 16),
    Request(1000, 900, 16, 4),
)


class Taken(NamedTuple):
    seconds: float
    first: float | None
    """Of it, to the first token; None: of several sequences."""
    each: float | None
    """For each further token."""
    attention: str | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", default="smollm2-135m")
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--only", default=f"1-{len(GRID)}", help="which of the grid, as 3-7")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of one thread")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    low, _, high = options.only.partition("-")
    chosen = list(enumerate(GRID, start=1))[int(low) - 1 : int(high or low)]
    model = model_record(options.model)
    rows = []
    print(f"{machine.describe().cpu}, {model.name}, n = {options.n}; seconds, medians\n")
    print("| # | prompt, kept, answer, sequences | chosen | on | off | better / chosen |")
    print("| --- | --- | --- | --- | --- | --- |")
    for number, request in chosen:
        row = _measured(model, request, options.n, cpu=options.cpu)
        rows.append({"number": number, "request": request._asdict(), **row})
        print(_line(number, request, row), flush=True)
    better = [row["better"] / row["chosen"]["seconds"] for row in rows]
    today = [row["on"]["seconds"] / row["chosen"]["seconds"] for row in rows]
    print(f"\nthe better fixed way / chosen: {min(better):.2f} at least, {_mean(better)}")
    print(f"flash attention throughout / chosen: {min(today):.2f} at least, {_mean(today)}")
    if options.output:
        kept = {"model": model.name, "n": options.n, "rows": rows}
        options.output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _mean(ratios: list[float]) -> str:
    return f"{geometric_mean(ratios):.2f} (geometric mean)"


def _line(number: int, request: Request, row: dict[str, Any]) -> str:
    cells = [str(number), ", ".join(map(str, request))]
    cells += [_figures(row[way]) for way in WAYS]
    cells.append(f"{row['better'] / row['chosen']['seconds']:.2f}")
    return f"| {' | '.join(cells)} |"


def _figures(one: dict[str, Any]) -> str:
    first = "" if one["first"] is None else f" ({one['first']:.3f}"
    each = "" if one["each"] is None else f" + {1 / one['each']:.0f} tok/s"
    return f"{one['seconds']:.3f}{first}{each}{')' if first else ''}"


def _measured(model: ModelRecord, request: Request, n: int, *, cpu: bool) -> dict[str, Any]:
    found: dict[str, list[Taken]] = {way: [] for way in WAYS}
    ask = _alone if request.sequences == 1 else _together
    with ExitStack() as held:
        asked = {way: held.enter_context(_opened(ask, model, request, way, cpu)) for way in WAYS}
        for at in range(n + 1):  # the first one warms up, and keeps a beginning
            for way, one in asked.items():
                taken = next(one)
                if at:
                    found[way].append(taken)
    medians: dict[str, Any] = {
        way: {
            "seconds": median([one.seconds for one in times]),
            "first": _middle([one.first for one in times]),
            "each": _middle([one.each for one in times]),
            "attention": times[-1].attention,
            "all_seconds": [one.seconds for one in times],
        }
        for way, times in found.items()
    }
    return {**medians, "better": min(medians["on"]["seconds"], medians["off"]["seconds"])}


def _middle(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


class _opened:  # noqa: N801  read as a function
    """An endless stream of one way's times, ended with its block."""

    def __init__(self, ask, *arguments) -> None:  # type: ignore[no-untyped-def]
        self._stream = ask(*arguments)

    def __enter__(self) -> Iterator[Taken]:
        return self._stream  # type: ignore[no-any-return]

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def _alone(model: ModelRecord, request: Request, way: str, cpu: bool) -> Iterator[Taken]:
    """As ``run`` does it."""
    cell = _cell(model, request, way, cpu)
    rendered = render(cell)
    with open_session(cell, rendered, open_for_run) as session:
        while True:
            before = time.process_time()
            ran = _ran(session, cell, request)
            taken = time.process_time() - before
            yield ran._replace(seconds=taken, first=None, each=None) if cpu else ran


def _ran(session: Session, cell: Cell, request: Request) -> Taken:
    record = session.run(cell, render(cell)).record
    timing, count = record.timing, record.tokens.completion
    first = timing.ttft_seconds or 0.0
    each = None
    if count > 1 and timing.decode_seconds is not None:
        each = timing.decode_seconds / (count - 1)
    return Taken(
        first + (request.answer - 1) * (each or 0.0),
        first,
        each,
        record.settings.attention,
    )


def _settings(way: str, cpu: bool) -> RequestedSettings:
    return with_threads(RequestedSettings(flash_attn=WAYS[way], n_threads=1 if cpu else None))


def _cell(model: ModelRecord, request: Request, way: str, cpu: bool) -> Cell:
    """A prompt file with as many tokens as wanted, the kept ones before its value."""
    choices = RunChoices(
        model=model.name,
        settings=_settings(way, cpu),
        sampling=SamplingChoices(max_tokens=request.answer),
        prefix="kept" if request.kept else "whole",
    )
    kept, rest = _text(request.kept), _text(request.prompt - request.kept)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.prompty"
        head = "---\nname: grid\ninputs:\n  text: {kind: string}\n---\n"
        system = f"system:\n{kept}\n" if kept else ""
        path.write_text(f"{head}{system}user:\n{{{{ text }}}}\n", encoding="utf-8")
        return run_cell(load_prompt(path), {"text": rest}, choices)


def _text(tokens: int) -> str:
    """About so many tokens, of words that are one each."""
    words = _WORDS.split()
    return " ".join(words[at % len(words)] for at in range(max(0, tokens - 8)))


def _together(model: ModelRecord, request: Request, way: str, cpu: bool) -> Iterator[Taken]:
    """As ``eval`` does it: all sequences at once, what they share as their beginning."""
    settings = _settings(way, cpu)
    opened = OpenModel(model, EvalRequest(suite="", settings=settings), open_llama)
    try:
        first = opened.engine.encode(render(_cell(model, request, way, cpu)).messages).token_ids
        prompts = [
            (*first[: request.kept], *((7 * at + 11 * step) % 400 + 1000 for step in range(
                max(1, request.prompt - request.kept)
            )))
            for at in range(request.sequences)
        ]  # fmt: skip
        sampling = Sampling(max_tokens=request.answer)
        requests = [GenerationRequest(ids, sampling) for ids in prompts]
        needs = [len(ids) + request.answer for ids in prompts]
        shape = Shape.of(prompts, expected_answer(request.answer), len(prompts))
        while True:
            opened.prepare(needs, shared=request.kept, shape=shape)
            before = time.process_time()
            ran = _batch(opened, requests, request)
            yield ran._replace(seconds=time.process_time() - before) if cpu else ran
    finally:
        opened.close()


def _batch(opened: OpenModel, requests: list[GenerationRequest], request: Request) -> Taken:
    started = time.perf_counter()
    events = list(opened.engine.generate(requests))
    seconds = time.perf_counter() - started
    made = sum(isinstance(event, Token) for event in events)
    settings = opened.settings()
    if made < len(requests) * request.answer:
        print(f"only {made} of {len(requests) * request.answer} tokens", file=sys.stderr)
    return Taken(
        seconds,
        None,
        None,
        settings.attention if settings else None,
    )


if __name__ == "__main__":
    main()
