"""Derives passages.csv from closed-questions.csv: what a model is tuned on to learn the passages.

Each passage becomes one example: its first sentence, and the rest as the answer. The questions and
their answers are not used, so that what a tuned model answers, it has learned from the passages.

    python benchmarks/datasets/make_training.py
"""

from __future__ import annotations

import csv
from pathlib import Path

HERE = Path(__file__).parent


def passages() -> list[tuple[str, str]]:
    """First sentence and rest of each passage, in the order in which they appear."""
    with (HERE / "closed-questions.csv").open(encoding="utf-8", newline="") as lines:
        texts = dict.fromkeys(row["passage"] for row in csv.DictReader(lines))
    halves = (text.partition(". ") for text in texts)
    return [(f"{first}.", rest) for first, _, rest in halves]


def main() -> None:
    with (HERE / "passages.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["beginning", "__expected"])
        writer.writerows(passages())


if __name__ == "__main__":
    main()
