"""How long a search over many runs takes in a new process, opening the history included: with the
index for words that are there and for words that are not, and for an expression that the index
cannot help with. What starting Python and drawing the list take is the same without a search.

    python -m benchmarks.history_search [--runs 100000] [--pairs 5]

The history is made in a folder of its own and deleted afterwards. ``floor`` is ``runs list`` alone.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from localprompt.records import json
from localprompt.store.connection import transaction
from localprompt.store.history import History
from tests.sample_runs import make_run

WORDS = [
    f"{a}{b}{c}" for a in ("ba", "ko", "li", "mu") for b in ("ra", "ten", "vis") for c in "aeiou"
]
ANSWER_WORDS = 60
ASKED = {
    "floor (no search)": "",
    "words in 3 runs": "invoice",
    "words in none": "nowhere",
    "alternatives, in 3 runs": "invoice|receipt",
}
SEARCH = """
import sqlite3, sys, time
from pathlib import Path
from localprompt.store.history import History
from localprompt.store.search import Filter
began = time.perf_counter()
with History(Path(sys.argv[1]), read_only=True) as history:
    list(history.runs(Filter(grep=sys.argv[2] or None), limit=20))
print(time.perf_counter() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=5)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        fill(Path(folder) / "history.db", wanted.runs)
        size = (Path(folder) / "history.db").stat().st_size
        print(f"{wanted.runs} runs in {time.perf_counter() - began:.0f} s, {size / 2**20:.0f} MiB")
        took: dict[str, list[float]] = {name: [] for name in ASKED}
        for _ in range(wanted.pairs):
            for name, words in ASKED.items():
                took[name].append(seconds(Path(folder), words))
        for name, values in took.items():
            print(
                f"{name:<26} median {statistics.median(values):.3f} s, n = {len(values)}, "
                f"{min(values):.3f} to {max(values):.3f}"
            )


def fill(path: Path, runs: int) -> None:
    rng = random.Random(1)
    like = make_run()
    with History(path) as history:
        connection = history._connection
        history.record(like)
        with transaction(connection):
            for number in range(1, runs):
                text = " ".join(rng.choices(WORDS, k=ANSWER_WORDS))
                if number in {10, runs // 2, runs - 10}:
                    text += " an invoice"
                made = msgspec.structs.replace(
                    make_run(number), output=msgspec.structs.replace(like.output, text=text)
                )
                connection.execute(
                    "INSERT INTO runs (id, record) VALUES (?, ?)",
                    (made.id, json.encode(made).decode()),
                )


def seconds(home: Path, words: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, str(home / "history.db"), words],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)


if __name__ == "__main__":
    main()
