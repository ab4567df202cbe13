"""Closed answers of evaluations that were killed and resumed, and of other batches: what differs.

    python -m benchmarks.resumed_agreement [-m MODEL] [--cases 400] [--kills 5] [-o FILE.md]

The reviews of ``datasets/sentiment-train.csv`` are classified with ``--parallel`` 1, 2, 4 and 16,
each twice: once unbroken, and once killed (SIGKILL) at moments drawn by lot and resumed until it is
complete. Every broken evaluation is compared with its unbroken one, and every unbroken one with
that of ``--parallel 1``: answers that differ, whether the table marks those as near ties, and how
far the log-odds of the two choices moved. The home is a new folder, and nothing is taken from the
cache.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from localprompt.evaluate.summarize import is_near_tie
from localprompt.measure import machine
from localprompt.records.evaluation import CaseResult
from localprompt.running.assemble import model_record

PARALLEL = (1, 2, 4, 16)
_CASES = Path(__file__).with_name("datasets") / "sentiment-train.csv"
_PROGRAM = (sys.executable, "-m", "localprompt")

Answers = dict[str, CaseResult]
"""By the case's id."""


class Compared(msgspec.Struct, frozen=True):
    """Two evaluations of the same cases."""

    answers: int
    differ: int
    unmarked: int
    """Of those that differ: near ties in neither evaluation."""
    near_ties: int
    """In the first."""
    largest: float
    """Difference of a case's log-odds."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-m", "--model", default="smollm2-135m")
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--kills", type=int, default=5, help="of each evaluation (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    model = model_record(options.model)
    rng = random.Random(options.seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LOCALPROMPT_HOME"] = folder
        first: Answers | None = None
        for parallel in PARALLEL:
            command = _command(model.path, options.cases, parallel)
            began = time.monotonic()
            whole = _evaluated(command, Path(folder))
            took = time.monotonic() - began
            kills, broken = _broken(command, Path(folder), options.kills, took, rng)
            name = f"`--parallel {parallel}`, killed {kills} times beside unbroken"
            rows.append((name, compared(whole, broken)))
            if first is not None:
                name = f"`--parallel {parallel}` beside 1, both unbroken"
                rows.append((name, compared(first, whole)))
            first = first or whole
    text = "\n".join(_table(rows, model.name))
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n", encoding="utf-8")
    return 1 if any(one.unmarked for _, one in rows) else 0


def _command(model: str, cases: int, parallel: int) -> list[str]:
    given = ["classify-sentiment", "--cases", str(_CASES), "-m", model, "--limit", str(cases)]
    return [*_PROGRAM, "eval", *given, "--no-cache", "-q", "--parallel", str(parallel)]


def _evaluated(command: Sequence[str], folder: Path) -> Answers:
    """The answers of one evaluation, in the order in which it has them."""
    output = folder / "answers.jsonl"
    subprocess.run([*command, "-o", str(output)], check=True)
    decoder = msgspec.json.Decoder(CaseResult)
    return {one.case_id: one for one in map(decoder.decode, output.read_bytes().splitlines())}


def _broken(
    command: Sequence[str], folder: Path, kills: int, seconds: float, rng: random.Random
) -> tuple[int, Answers]:
    """The same, killed so many times and resumed; told is how many kills came before its end."""
    killed = 0
    for attempt in range(kills):
        again = [*_PROGRAM, "eval", "--resume", "last", "-q"] if attempt else command
        # The start takes a second or two; each attempt gets a share of what is left to do.
        wait = rng.uniform(0.5, 1.5) * max(2.5, seconds / kills)
        process = subprocess.Popen(again, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    return killed, _evaluated([*_PROGRAM, "eval", "--resume", "last", "-q"], folder)


def compared(one: Answers, other: Answers) -> Compared:
    """Two evaluations of the same cases, case by case."""
    assert one.keys() == other.keys(), "a case is missing"
    pairs = [(one[name], other[name]) for name in one]
    differ = [pair for pair in pairs if pair[0].answer != pair[1].answer]
    return Compared(
        answers=len(pairs),
        differ=len(differ),
        unmarked=sum(not any(map(is_near_tie, pair)) for pair in differ),
        near_ties=sum(map(is_near_tie, one.values())),
        largest=max(abs(_log_odds(a) - _log_odds(b)) for a, b in pairs),
    )


def _log_odds(result: CaseResult) -> float:
    first, second = sorted((result.probabilities or {}).items())[:2]
    return math.log(first[1] / second[1])


def _table(rows: Sequence[tuple[str, Compared]], model: str) -> Iterator[str]:
    yield f"{model}, {machine.describe().cpu}\n"
    yield "| evaluations | answers | near ties | differ | of those unmarked | largest difference |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, one in rows:
        yield (
            f"| {name} | {one.answers} | {one.near_ties} | {one.differ} | {one.unmarked} "
            f"| {one.largest:.2f} |"
        )
    yield f"\n{sum(one.differ for _, one in rows)} of {sum(one.answers for _, one in rows)} differ."


if __name__ == "__main__":
    raise SystemExit(main())
