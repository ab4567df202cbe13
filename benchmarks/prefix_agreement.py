"""Answers behind a kept beginning beside the same answers without the store: how many differ.

    python -m benchmarks.prefix_agreement MODEL.gguf … [--questions 42] [--max-tokens 12]

Every model is asked with and without repacked weights, with one thread and with two. Four
beginnings of about 80 to 600 tokens, and questions behind them, greedy. Two sessions take turns:
one that keeps and brings back (the first question of a beginning fills the store, the others find
it), and one that evaluates everything (``--no-prefix-store``). It also says how many of the answers
really stood behind a beginning that was brought back. The store is a new folder.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from localprompt.records.cell import Cell, PrefixUse, SamplingChoices
from localprompt.records.run import RequestedSettings
from localprompt.running.assemble import RunChoices, run_cell, with_threads
from localprompt.running.execute import open_session, render
from localprompt.running.run import open_llama
from localprompt.sources.prompt.file import load_prompt

SENTENCES = (10, 25, 50, 75)
"""Of each beginning, about eight tokens each."""
_WORDS = ("kettle", "garden", "rain", "bread", "sisters", "boats", "clock", "letters", "snow")
_ASKED = ("Who", "What", "Where", "When", "Why", "How often", "Which colour", "How many")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=lambda text: Path(text).resolve())
    parser.add_argument("--questions", type=int, default=42, help="of each (%(default)s)")
    parser.add_argument("--max-tokens", type=int, default=12)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LOCALPROMPT_HOME"] = folder
        for model, repack, threads in product(options.models, (True, False), (1, 2)):
            settings = with_threads(RequestedSettings(repack=repack, n_threads=threads))
            counts += _compared(model, settings, options, Path(folder))
    print(json.dumps(counts))
    return 1 if counts["differ"] else 0


def _compared(
    model: Path, settings: RequestedSettings, options: argparse.Namespace, folder: Path
) -> Counter[str]:
    counts: Counter[str] = Counter()

    def cells(prefix: PrefixUse) -> list[Cell]:
        sampling = SamplingChoices(max_tokens=options.max_tokens)
        choices = RunChoices(model=str(model), settings=settings, sampling=sampling, prefix=prefix)
        made = []
        for at, sentences in zip(range(options.questions), _forever(SENTENCES), strict=False):
            prompt = load_prompt(_prompt(folder, sentences))
            made.append(run_cell(prompt, {"question": _question(at)}, choices))
        return made

    kept, apart = cells("kept"), cells("apart")
    with (
        open_session(kept[0], render(kept[0]), open_llama) as with_store,
        open_session(apart[0], render(apart[0]), open_llama) as without,
    ):
        for one, other in zip(kept, apart, strict=True):
            found, expected = with_store.run(one, render(one)), without.run(other, render(other))
            texts = [execution.record.output for execution in (found, expected)]
            counts["asked"] += 1
            counts["brought back"] += bool(found.record.tokens.reused)
            if texts[0] != texts[1]:
                counts["differ"] += 1
                print(f"{model.name} {settings}: {texts}")
    print(
        f"{model.name}, repack {settings.repack}, threads {settings.n_threads}: {dict(counts)}",
        flush=True,
    )
    return counts


def _forever(values: tuple[int, ...]) -> Iterator[int]:
    while True:
        yield from values


def _prompt(folder: Path, sentences: int) -> Path:
    path = folder / f"agreement-{sentences}.prompty"
    words = len(_WORDS)
    text = " ".join(
        f"{_WORDS[(3 * at) % words].capitalize()} {_WORDS[(5 * at + 1) % words]} saw "
        f"{_WORDS[(7 * at + 2) % words]} and {_WORDS[(11 * at + 4) % words]}."
        for at in range(sentences)
    )
    head = f"---\nname: agreement-{sentences}\ninputs:\n  question: {{kind: string}}\n---\n"
    path.write_text(f"{head}system:\n{text}\nuser:\n{{{{ question }}}}\n", encoding="utf-8")
    return path


def _question(at: int) -> str:
    first = _ASKED[at % len(_ASKED)]
    return f"{first} saw the {_WORDS[at % len(_WORDS)]} number {at}?"


if __name__ == "__main__":
    raise SystemExit(main())
