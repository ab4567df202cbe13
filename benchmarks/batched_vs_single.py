"""How often do greedy answers change when prompts are answered side by side?

They should not, and where arithmetic is exact they do not. But attention over cells that lie among
those of others may add the same numbers in another order; floating point then rounds differently
in the last bits, and where two tokens were almost equally probable the other one wins. From that
token on the answers differ. This counts how often it happens, and does the same for the scores of
choices:

    python benchmarks/batched_vs_single.py [-m MODEL …] [--cases 64] [-o benchmarks/results/NAME]

The same engine answers the same prompts one at a time (a context of one sequence) and then in
contexts of 4, 16 and 32, in one process: answers in cells of their own, choices in shared ones, as
an evaluation of small requests has them. No time is measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

import localprompt
from benchmarks.peers import workloads
from localprompt.engine.base import GenerationRequest, Token
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.measure import machine
from localprompt.models.resolve import resolve
from localprompt.records.run import RequestedSettings, Sampling
from localprompt.running.assemble import RunChoices, ask_cell, with_threads
from localprompt.running.execute import render

PARALLEL = (4, 16, 32)


class Difference(msgspec.Struct, frozen=True):
    """One context of many sequences beside one of a single sequence."""

    parallel: int
    texts: int
    texts_differing: int
    first_difference: tuple[int, ...]
    """For each text that differs: index of the first token that is another one."""
    choices: int
    labels_differing: int
    largest_shift: float
    """Of a choice's log-probability, in nats."""
    smallest_margin: float
    """Between the best two choices of any case, in nats: what a shift has to exceed to matter."""


def main() -> None:
    options = _options()
    models = {}
    for name in options.model:
        found = resolve(name)
        models[found.name] = msgspec.to_builtins(compare(found.path, options.cases))
    result = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "localprompt": localprompt.__version__,
        "machine": msgspec.to_builtins(machine.describe()),
        "models": models,
    }
    print(page(result))
    if options.output:
        text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
        options.output.with_suffix(".json").write_text(text, encoding="utf-8")
        options.output.with_suffix(".md").write_text(page(result), encoding="utf-8")


def compare(path: Path, cases: int) -> list[Difference]:
    """Every size of context beside the single sequence."""
    settings = with_threads(RequestedSettings())
    stories, reviews = workloads.texts(cases), workloads.choices(cases)
    with LlamaEngine(path, settings, chat_template="") as engine:
        alone_texts = _answers(engine, stories.prompts, settings, 1)
        alone_scores = _scores(engine, reviews, settings, 1)
        found = []
        for parallel in PARALLEL:
            texts = _answers(engine, stories.prompts, settings, parallel)
            scores = _scores(engine, reviews, settings, parallel)
            found.append(_difference(parallel, (alone_texts, texts), (alone_scores, scores)))
    return found


def _answers(
    engine: LlamaEngine, prompts: Sequence[str], settings: RequestedSettings, parallel: int
) -> list[list[int]]:
    """Token ids of each answer: 64, greedy."""
    encoded = [_token_ids(engine, prompt) for prompt in prompts]
    longest = max(map(len, encoded)) + 64
    engine.prepare(settings, n_ctx=longest, parallel=parallel, kv_unified=False)
    sampling = Sampling(temperature=0.0, max_tokens=64)
    answers: list[list[int]] = [[] for _ in encoded]
    requests = [GenerationRequest(token_ids, sampling) for token_ids in encoded]
    for at, group in _groups(requests, parallel):
        for event in engine.generate(group):
            if isinstance(event, Token):
                answers[at + event.request].append(event.token_id)
    return answers


def _scores(
    engine: LlamaEngine, reviews: workloads.Workload, settings: RequestedSettings, parallel: int
) -> list[list[float]]:
    """Log-probability of each label, of each case."""
    requests = [
        engine.with_choices(engine.encode(_messages(prompt)), reviews.choices)
        for prompt in reviews.prompts
    ]
    longest = max(len(request.token_ids) for request in requests) + 16
    engine.prepare(settings, n_ctx=longest * parallel, parallel=parallel)
    scores: list[list[float]] = [[] for _ in requests]
    for at, group in _groups(requests, parallel):
        for scored in engine.score_choices(group):
            scores[at + scored.request] = [score.log_probability for score in scored.scores]
    return scores


def _groups(requests: Sequence[Any], parallel: int) -> list[tuple[int, Sequence[Any]]]:
    """One call each when answered alone; one call for all of them otherwise."""
    if parallel > 1:
        return [(0, requests)]
    return [(at, requests[at : at + 1]) for at in range(len(requests))]


def _difference(
    parallel: int,
    texts: tuple[list[list[int]], list[list[int]]],
    scores: tuple[list[list[float]], list[list[float]]],
) -> Difference:
    firsts = [
        _first_difference(alone, beside)
        for alone, beside in zip(*texts, strict=True)
        if alone != beside
    ]
    pairs = list(zip(*scores, strict=True))
    shifts = [abs(a - b) for alone, beside in pairs for a, b in zip(alone, beside, strict=True)]
    ranked = [sorted(alone, reverse=True) for alone, _ in pairs]
    return Difference(
        parallel=parallel,
        texts=len(texts[0]),
        texts_differing=len(firsts),
        first_difference=tuple(firsts),
        choices=len(pairs),
        labels_differing=sum(_best(alone) != _best(beside) for alone, beside in pairs),
        largest_shift=max(shifts),
        smallest_margin=min(best[0] - best[1] for best in ranked),
    )


def _first_difference(alone: Sequence[int], beside: Sequence[int]) -> int:
    same = (a == b for a, b in zip(alone, beside, strict=False))
    return next((at for at, equal in enumerate(same) if not equal), min(len(alone), len(beside)))


def _best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)


def _token_ids(engine: LlamaEngine, prompt: str) -> tuple[int, ...]:
    return engine.encode(_messages(prompt)).token_ids


def _messages(prompt: str) -> Any:
    return render(ask_cell(prompt, RunChoices())).messages


def page(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        f"# Answers side by side and one at a time, {result['measured_at'][:10]}",
        "",
        f"`python benchmarks/batched_vs_single.py`, localprompt {result['localprompt']}, "
        f"{result['machine']['cpu']}, greedy, 64 tokens.",
        "",
        "| model | sequences | texts that differ | at token (median) | labels that differ |"
        " largest shift | smallest margin |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, differences in result["models"].items():
        for one in differences:
            firsts = sorted(one["first_difference"])
            middle = str(firsts[len(firsts) // 2]) if firsts else "–"
            lines.append(
                f"| {name} | {one['parallel']} | {one['texts_differing']} of {one['texts']} |"
                f" {middle} | {one['labels_differing']} of {one['choices']} |"
                f" {one['largest_shift']:.4f} | {one['smallest_margin']:.4f} |"
            )
    lines += [
        "",
        "Shift and margin are natural logarithms of probability: a label can only change where the "
        "margin between the two best is smaller than twice the shift.",
        "",
    ]
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-m", "--model", action="append", help="name or path; may be repeated")
    parser.add_argument("--cases", type=int, default=64, help="of each workload")
    parser.add_argument("-o", "--output", type=Path, help="without extension")
    options = parser.parse_args()
    options.model = options.model or ["smollm2-135m"]
    return options


if __name__ == "__main__":
    main()
