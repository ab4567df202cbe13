"""Does ``improve`` say that it gained where nothing can be gained, and do its intervals hold?

    python benchmarks/improve_honesty.py --record search.json -o results.json

Two questions, neither of which needs a model:

- *No gain to be had.* Labels are drawn by lot, so no prompt can be better than another. Searches
  with different seeds run over a scripted engine that answers by lot as well; how many of them show
  a gain? The exact test promises at most 2.5 % (two-sided at 5 %, upward only).
- *Coverage.* The cases of a real search's final part (``improve --format json``) are taken for the
  world. From it as many cases are drawn again, 2,000 times, and each time the interval is computed
  that ``improve`` shows; how often is the world's gain inside?
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from localprompt.engine.base import Engine
from localprompt.engine.scripted import ScriptedEngine
from localprompt.evaluate.models import Models
from localprompt.improve.opening import open_search
from localprompt.improve.running import improve
from localprompt.records.evaluation import EvalRequest
from localprompt.records.improvement import Improvement, ImproveRequest
from localprompt.records.model import ModelRecord
from localprompt.stats.paired import paired_rate_interval, wilson
from localprompt.store.history import History

SPLITS = 2_000
CASES = 120
PROMPT = """---
name: tone
inputs: [{name: text, kind: string, required: true}]
metadata: {localprompt: {choices: [good, bad]}}
---
system:
Say good or bad.

user:
{{ text }}
Good or bad?
"""


def coverage(record: Improvement) -> dict[str, Any]:
    """How often the shown interval covers the gain of the cases it is drawn from."""
    final = record.final
    if final is None or final.passes is None:
        raise SystemExit("the record has no final comparison of passes")
    passes = final.passes
    world = [1] * passes.only_b + [-1] * passes.only_a
    world += [0] * (passes.n - len(world))
    lot = random.Random(20_261_126)
    covered = 0
    for _ in range(SPLITS):
        drawn = lot.choices(world, k=passes.n)
        interval = paired_rate_interval(drawn.count(-1), drawn.count(1), passes.n)
        covered += interval.contains(passes.difference)
    return {"splits": SPLITS, "n": passes.n, "gain": passes.difference, "covered": covered / SPLITS}


def no_gain(seeds: int) -> Iterator[dict[str, Any]]:
    """How many searches over labels by lot show a gain: after each of them."""
    shown: list[int] = []
    for seed in range(seeds):
        shown += [seed] if _searched(seed) else []
        done = seed + 1
        interval = wilson(len(shown), done)
        yield {
            "seeds": done,
            "cases": CASES,
            "no_gain_shown": 1 - len(shown) / done,
            "interval_of_shown": [interval.low, interval.high] if interval else None,
            "seeds_that_showed_a_gain": shown,
        }


def _searched(seed: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "tone.prompty").write_text(PROMPT)
        lot = random.Random(seed)
        with (here / "cases.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("text", "expected"))
            for at in range(CASES):
                rows.writerow((f"case {seed} {at}", lot.choice(("good", "bad"))))
        request = ImproveRequest(
            prompt=str(here / "tone.prompty"),
            cases=str(here / "cases.csv"),
            model="scripted",
            seed=seed,
        )
        setting = open_search(request, find_model=_model)
        with History(here / "answers.db") as store, Models(_by_lot, keep=True) as models:
            found = improve(setting, store, models, keep=lambda _: None, find_model=_model)
    return found.final is not None and found.final.shown


def _model(name: str) -> ModelRecord:
    return ModelRecord(name=name, path=name, sha256=hashlib.sha256(name.encode()).hexdigest())


def _by_lot(model: ModelRecord, request: EvalRequest) -> Engine:
    def log_probability(before: str, word: str) -> float:
        digest = hashlib.sha256(f"{before}\0{word}".encode()).digest()
        return -1.0 - int.from_bytes(digest[:4]) / 2**32

    return ScriptedEngine(lambda _: (b"good",), log_probability=log_probability)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, help="what `improve --format json` printed")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    if given.record is not None:
        record = msgspec.json.decode(given.record.read_bytes(), type=Improvement)
        found["coverage"] = coverage(record)
        print(found["coverage"])
    for so_far in no_gain(given.seeds):
        found["labels_by_lot"] = so_far
        given.output.write_text(json.dumps(found, indent=1) + "\n")  # a kill keeps what is there
    print(found.get("labels_by_lot"))


if __name__ == "__main__":
    main()
