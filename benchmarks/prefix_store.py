"""A prompt's second run in a new process: its constant prefix brought back, or evaluated again.

Prompts with a constant prefix of about 450 and about 2,000 tokens and a question behind it. Every
run is a process of its own. A round is four of them, with the same question:

    cold      --no-prefix-store: evaluates everything
    first     with an empty store: evaluates everything and keeps the prefix
    second    with the store: brings the prefix back
    uncached  the same, after the kept file was dropped from the page cache

Rounds follow each other, so that a machine that slows down slows all sides; ratios are made
within a round. All four must give the same text. Run it on a quiet machine:

    python -m benchmarks.prefix_store [-n 5] [--tokens 450 2000] [-m smollm2-135m] [-o FOLDER]

With ``-o`` the result is written as FOLDER/DATE-prefix-store.json and .md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.environment import Began, both_sides, publish
from benchmarks.peers.processes import localprompt_command, run, say
from benchmarks.peers.results import Figure, Section, Target, figure
from localprompt import paths
from localprompt.measure import conditions, pagecache
from localprompt.measure.warnings import condition_warnings
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.records import json
from localprompt.records.run import RunRecord
from localprompt.running.assemble import RunChoices, run_cell
from localprompt.running.preview import receive
from localprompt.sources.prompt.file import load_prompt

TITLE = "A second run with its constant prefix kept"
TARGETS = {450: Target(at_most=0.3), 2000: Target(at_most=0.1)}
MAX_TOKENS = 8
SIDES = ("cold", "first", "second", "uncached")
_TOPICS = ("a bridge", "a violin", "a comet", "a harbour", "a loaf of bread", "a lighthouse")


def main() -> int:
    options = _options()
    began = Began.now()
    sections = tuple(_measure(tokens, options) for tokens in options.tokens)
    result = both_sides(sections, began=began, model=options.model, rounds=options.n, threads=None)
    publish(result, TITLE, options.output and options.output / f"{began.day}-prefix-store")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-n", type=int, default=5, help="rounds (%(default)s)")
    parser.add_argument("--tokens", type=int, nargs="+", default=[450, 2000], help="of the prefix")
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, help="name or path (%(default)s)")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="for the result")
    return parser.parse_args()


def _measure(tokens: int, options: argparse.Namespace) -> Section:
    say(f"{tokens} tokens …")
    before, started = conditions.read(), time.perf_counter()
    with _own_home() as (folder, environment):
        prompt = folder / "question.prompty"
        constant = _write_prompt(prompt, tokens, options.model)
        bench = _Bench(prompt, options.model, folder / "cache" / "prefixes", environment)
        bench.round("Which of these floats?")  # not counted: opens the weights, hashes them
        rounds = [bench.round(f"Is {_TOPICS[n % len(_TOPICS)]} heavy?") for n in range(options.n)]
    same = sum(len({one[side].output.text for side in SIDES}) == 1 for one in rounds)
    reused = {one[side].tokens.reused for one in rounds for side in ("second", "uncached")}
    state_bytes = bench.state_bytes
    notes = (
        f"All four runs gave the same text in {same} of {len(rounds)} rounds. The second runs "
        f"reused {', '.join(map(str, sorted(reused)))} tokens; the kept file has "
        f"{state_bytes / 1024**2:.1f} MiB.",
    )
    return Section(
        name=f"prefix-{tokens}",
        title=f"A constant prefix of {constant} tokens",
        how=f"`localprompt run`, {MAX_TOKENS} greedy tokens, each run a new process; the weights "
        "are in the page cache.",
        figures=tuple(_figures(rounds, TARGETS.get(tokens))),
        notes=notes,
        warnings=condition_warnings(before, conditions.read()),
        seconds=time.perf_counter() - started,
    )


class _Bench:
    """One prompt, run in processes."""

    def __init__(
        self, prompt: Path, model: str, prefixes: Path, environment: dict[str, str]
    ) -> None:
        self._command = localprompt_command(
            "run", str(prompt), "-m", model, "--max-tokens", str(MAX_TOKENS), "--json", "--no-log"
        )
        self._prefixes = prefixes
        self._environment = environment
        self.state_bytes = 0

    def round(self, question: str) -> dict[str, RunRecord]:
        """A run of each side, in the order of SIDES."""
        for kept in self._prefixes.glob("*"):
            kept.unlink()
        records = {"cold": self._run(question, "--no-prefix-store")}
        records["first"] = self._run(question)
        records["second"] = self._run(question)
        (kept,) = self._prefixes.iterdir()
        self.state_bytes = kept.stat().st_size
        with kept.open("rb") as file:
            os.fsync(file.fileno())  # what is not on the disk yet cannot be dropped
        pagecache.drop(kept)
        records["uncached"] = self._run(question)
        return records

    def _run(self, question: str, *more: str) -> RunRecord:
        command = [*self._command, "-p", f"text={question}", *more]
        return json.decode(run(command, env=self._environment).stdout.encode())


def _figures(rounds: list[dict[str, RunRecord]], target: Target | None) -> Iterator[Figure]:
    def ttft(side: str) -> list[float]:
        return [one[side].timing.ttft_seconds or 0 for one in rounds]

    def peak(side: str) -> list[float]:
        return [float(one[side].memory.peak_rss_bytes or 0) for one in rounds]

    yield figure("TTFT", "s", ("second run", ttft("second")), ("cold", ttft("cold")), target)
    uncached = ("second run, file not in the page cache", ttft("uncached"))
    yield figure("TTFT", "s", uncached, ("cold", ttft("cold")))
    yield figure("TTFT", "s", ("first run, keeping", ttft("first")), ("cold", ttft("cold")))
    store = [one["second"].timing.prefix_store_seconds or 0 for one in rounds]
    yield figure("prefix store in it", "s", ("second run", store), ("its TTFT", ttft("second")))
    yield figure("peak RSS", "B", ("second run", peak("second")), ("cold", peak("cold")))
    yield figure("peak RSS", "B", ("first run, keeping", peak("first")), ("cold", peak("cold")))


def _write_prompt(path: Path, tokens: int, model: str) -> int:
    """A prompt with the fewest examples that make its constant prefix so long.

    Returns:
        how many tokens it has.
    """

    def constant(examples: int) -> int:
        path.write_text(_prompt(examples), encoding="utf-8")
        cell = run_cell(load_prompt(path), {"text": "?"}, RunChoices(model=model))
        return receive(cell).constant_tokens

    few, more = constant(2), constant(12)
    examples = max(1, 2 + 10 * (tokens - few) // (more - few) - 2)
    while (found := constant(examples)) < tokens:
        examples += 1
    return found


def _prompt(examples: int) -> str:
    lines = [
        f"Example {n}: is {_TOPICS[n % len(_TOPICS)]} heavy? {('yes', 'no')[n % 2]}, of course."
        for n in range(examples)
    ]
    return (
        "---\nname: question\ninputs:\n  - name: text\n    kind: string\n    required: true\n---\n"
        f"system:\nAnswer as in the examples.\n{chr(10).join(lines)}\nuser:\n{{{{ text }}}}\n"
    )


@contextmanager
def _own_home() -> Iterator[tuple[Path, dict[str, str]]]:
    """A home with the user's weights and a cache of its own."""
    with tempfile.TemporaryDirectory(prefix="localprompt-prefix-") as name:
        folder = Path(name)
        (folder / "models").symlink_to(paths.weights_folder())
        yield folder, {"LOCALPROMPT_HOME": name}


if __name__ == "__main__":
    sys.exit(main())
