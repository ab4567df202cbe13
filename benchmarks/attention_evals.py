"""Evaluations as attention is chosen for them, beside llama.cpp's default and without it.

    python -m benchmarks.attention_evals [-m MODEL] [-n 5] [--only texts choices scored] [--cpu]

64 texts of 64 tokens, 200 choices with generated answers, 200 choices scored: the workloads of
``benchmarks.peers``, answered as ``eval`` answers them, three ways in turns in one process: as it
is chosen, with flash attention (what llama.cpp, llama-server and we do where nothing was measured,
with the fixed numbers of sequences that go with it), and without. Told are the seconds of the
answers, without loading. With ``--cpu`` one thread computes, and CPU time is told: for machines
that others use.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.peers import workloads
from localprompt.engine.base import GenerationRequest
from localprompt.evaluate.models import OpenModel, open_llama
from localprompt.evaluate.ways import LOOKED_AT, Shape
from localprompt.measure import machine
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import Message, Segment
from localprompt.records.run import RequestedSettings, Sampling
from localprompt.running.assemble import model_record, with_threads
from localprompt.stats.samples import median

WAYS: dict[str, bool | None] = {"chosen": None, "on": True, "off": False}
_TEXT, _CHOICE = 64, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", default="smollm2-135m")
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=tuple(WORK), default=tuple(WORK))
    parser.add_argument("--cpu", action="store_true", help="CPU seconds of one thread")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    clock = "CPU seconds, one thread" if options.cpu else "seconds on the wall"
    print(f"{machine.describe().cpu}, {options.model}, n = {options.n}, medians, {clock}\n")
    print("| work | way | seconds | way / chosen | how |\n| --- | --- | --- | --- | --- |")
    kept: dict[str, Any] = {"model": options.model, "n": options.n, "clock": clock}
    model = model_record(options.model)
    for name in options.only:
        kept[name] = _measured(model, name, options.n, cpu=options.cpu)
    if options.output:
        options.output.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _measured(model: ModelRecord, name: str, n: int, *, cpu: bool) -> dict[str, Any]:
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    how: dict[str, str] = {}
    clock = time.process_time if cpu else time.perf_counter
    with ExitStack() as held:
        opened = {way: _opened(model, typed, cpu) for way, typed in WAYS.items()}
        for one in opened.values():
            held.callback(one.close)
        for at in range(n + 1):  # the first one measures tables, and finds files in memory
            for way, one in opened.items():
                seconds = WORK[name](one, clock)
                if at:
                    found[way].append(seconds)
                settings = one.settings()
                chosen = settings.attention if settings else None
                how[way] = f"{chosen or 'typed'}, {one.parallel} at once"
    chosen_seconds = median(found["chosen"])
    for way, times in found.items():
        ratio = median(times) / chosen_seconds
        print(f"| {name} | {way} | {median(times):.2f} | {ratio:.2f} | {how[way]} |", flush=True)
    return {"seconds": found, "how": how}


def _opened(model: ModelRecord, flash_attn: bool | None, cpu: bool) -> OpenModel:
    settings = RequestedSettings(flash_attn=flash_attn, n_threads=1 if cpu else None)
    request = EvalRequest(suite="", settings=with_threads(settings), chat_template="")
    return OpenModel(model, request, open_llama)


Clock = Callable[[], float]


def _prompts(opened: OpenModel, workload: workloads.Workload) -> list[tuple[int, ...]]:
    return [
        opened.engine.encode([Message("user", (Segment(text),))]).token_ids
        for text in workload.prompts
    ]


def _generated(
    opened: OpenModel, clock: Clock, workload: workloads.Workload, answer_tokens: int
) -> float:
    prompts = _prompts(opened, workload)
    sampling = Sampling(max_tokens=answer_tokens)
    shape = Shape.of(prompts[:LOOKED_AT], answer_tokens, len(prompts))
    needs = [len(ids) + answer_tokens for ids in prompts]
    opened.prepare(needs, shared=shape.shared_tokens, shape=shape)
    started = clock()
    for _ in opened.engine.generate(GenerationRequest(ids, sampling) for ids in prompts):
        pass
    return clock() - started


def _scored(opened: OpenModel, clock: Clock) -> float:
    workload = workloads.choices(200)
    encoded = [
        opened.engine.encode([Message("user", (Segment(text),))]) for text in workload.prompts
    ]
    requests = [opened.engine.with_choices(one, workload.choices) for one in encoded]
    shape = Shape.of([one.token_ids for one in encoded[:LOOKED_AT]], 0, len(encoded))
    needs = [len(one.token_ids) + sum(len(c.token_ids) for c in one.choices) for one in requests]
    opened.prepare(needs, shared=shape.shared_tokens, generating=False, shape=shape)
    started = clock()
    for _ in opened.engine.score_choices(requests):
        pass
    return clock() - started


WORK: dict[str, Callable[[OpenModel, Clock], float]] = {
    "texts": lambda opened, clock: _generated(opened, clock, workloads.texts(64), _TEXT),
    "choices": lambda opened, clock: _generated(opened, clock, workloads.choices(200), _CHOICE),
    "scored": _scored,
}


if __name__ == "__main__":
    main()
