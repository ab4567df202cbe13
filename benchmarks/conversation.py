"""Turn 10 of a conversation, a chat's beginning, and what an adapter costs.

Nine turns with about 2,000 tokens are made once. Then, in rounds that follow each other, the same
tenth question is answered with nothing kept (``cold``), in a new process that finds the state after
turn 9 on disk (``new process``), and in a process that has just answered turn 9 (``same process``):

    python -m benchmarks.conversation [-n 5] [-m smollm2-135m] [--only ready] [-o FOLDER]

``ready`` is what a chat takes to open its model before it asks for the first line, beside the load
that ``ask`` reports. The adapter is a random one of rank 8 on the queries and values of each layer;
answers are of as many tokens on both sides. With ``-o`` the result is written as
FOLDER/DATE-conversation-MODEL.json and .md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.peers.environment import Began, both_sides, publish
from benchmarks.peers.processes import localprompt_command, run, say
from benchmarks.peers.results import Figure, Section, Target, figure
from localprompt import paths
from localprompt.measure import conditions
from localprompt.measure.warnings import condition_warnings
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.records import json
from localprompt.records.run import RunRecord
from localprompt.running.assemble import model_record
from tests.models.tiny_lora import write_lora

TITLE = "Conversations and adapters"
TURNS = 9
TOKENS = 2000
ANSWER = 48
_THINGS = ("a bridge", "a violin", "a comet", "a harbour", "a loaf", "a lighthouse")
_OPENS = """
import sys, time
from localprompt.running.assemble import RunChoices
from localprompt.running.chat import Chat
with Chat(RunChoices(model=sys.argv[1]), log=False) as chat:
    started = time.perf_counter()
    chat.open()
    print(time.perf_counter() - started)
"""


def main() -> int:
    options = _options()
    began = Began.now()
    with tempfile.TemporaryDirectory(prefix="localprompt-talk-") as name:
        folder = Path(name)
        (folder / "models").symlink_to(paths.weights_folder())
        bench = _Bench(options.model, folder)
        sections = tuple(_SECTIONS[name](bench, options.n) for name in options.only or _SECTIONS)
    result = both_sides(sections, began=began, model=options.model, rounds=options.n, threads=None)
    only = "".join(f"-{name}" for name in options.only or ())
    name = f"{began.day}-conversation{only}-{result.environment.model.name}"
    publish(result, TITLE, options.output and options.output / name)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-n", type=int, default=5, help="rounds (%(default)s)")
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL, help="name or path (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=_SECTIONS, help="some of them")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="for the result")
    return parser.parse_args()


class _Bench:
    """One model in a home of its own."""

    def __init__(self, model: str, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self._environment = {"LOCALPROMPT_HOME": str(folder)}

    def records(self, *arguments: str, lines: Sequence[str] = ()) -> list[RunRecord]:
        """Run a command; what it prints as JSON."""
        command = localprompt_command(*arguments, "-m", self.model, "--json", "-q")
        done = subprocess.run(
            command,
            input="".join(f"{line}\n" for line in lines).encode(),
            stdout=subprocess.PIPE,
            env={**os.environ, **self._environment},
            check=True,
        )
        return [json.decode(line) for line in done.stdout.splitlines()]

    def seconds_to_open(self) -> float:
        """What :meth:`Chat.open` takes, in a process of its own."""
        command = [sys.executable, "-c", _OPENS, self.model]
        return float(run(command, env=self._environment).stdout)


def _turn_ten(bench: _Bench, n: int) -> Section:
    before, started = conditions.read(), time.perf_counter()
    say(f"{TURNS} turns …")
    nine = bench.records("chat", "--max-tokens", str(ANSWER), lines=_questions())[-1]
    held = nine.tokens.prompt + nine.tokens.completion
    rounds = []
    for number in range(n):
        say(f"turn 10, round {number + 1} of {n} …")
        asked = f"And is {_THINGS[number % len(_THINGS)]} heavy?"
        go_on = ("--continue", nine.id, "--max-tokens", "8", "--no-log")
        rounds.append(
            {
                "cold": bench.records("ask", asked, *go_on, "--no-prefix-store")[0],
                "new process": bench.records("ask", asked, *go_on)[0],
                "same process": bench.records(
                    "chat", *go_on, lines=("Which of them floats?", "/undo", asked)
                )[-1],
            }
        )
        took = (f"{side} {one.timing.ttft_seconds:.3f} s" for side, one in rounds[-1].items())
        say(f"  TTFT: {', '.join(took)}")
    reused = {one[side].tokens.reused for one in rounds for side in one if side != "cold"}
    same = sum(len({record.output.text for record in one.values()}) == 1 for one in rounds)
    return Section(
        name="turn-10",
        title=f"Turn 10 behind {held:,} tokens",
        how=f"{TURNS} turns of `chat`, then the tenth question; 8 greedy tokens.",
        figures=tuple(_ttft(rounds)),
        notes=(
            f"{', '.join(f'{count:,}' for count in sorted(reused))} tokens were kept. All three "
            f"gave the same 8 tokens in {same} of {n} rounds.",
        ),
        warnings=condition_warnings(before, conditions.read()),
        seconds=time.perf_counter() - started,
    )


def _questions() -> list[str]:
    """So long that nine of them with their answers are about so many tokens."""
    words = (TOKENS // TURNS - ANSWER - 30) // 2
    return [
        f"Text {turn}: "
        + " ".join(f"{_THINGS[(turn + at) % len(_THINGS)].split()[-1]}" for at in range(words))
        + ". What is it about?"
        for turn in range(1, TURNS + 1)
    ]


def _ttft(rounds: list[dict[str, RunRecord]]) -> Iterator[Figure]:
    def of(side: str) -> list[float]:
        return [one[side].timing.ttft_seconds or 0 for one in rounds]

    target = Target(at_most=0.15)
    yield figure("TTFT", "s", ("same process", of("same process")), ("cold", of("cold")), target)
    yield figure("TTFT", "s", ("new process", of("new process")), ("cold", of("cold")), target)


def _ready(bench: _Bench, n: int) -> Section:
    before, started = conditions.read(), time.perf_counter()
    opened, loads = [], []
    for _ in range(n):
        opened.append(bench.seconds_to_open())
        record = bench.records("ask", "Hello.", "--max-tokens", "4", "--no-log")[0]
        loads.append(record.timing.load_seconds or 0)
    return Section(
        name="ready",
        title="A chat that is ready for typing",
        how="Opening the model before the first line, beside the load that `ask` reports.",
        figures=(figure("load", "s", ("chat", opened), ("ask", loads), Target(at_most=1.1)),),
        warnings=condition_warnings(before, conditions.read()),
        seconds=time.perf_counter() - started,
    )


def _adapter(bench: _Bench, n: int) -> Section:
    before, started = conditions.read(), time.perf_counter()
    weights = Path(model_record(bench.model).path)
    adapter = write_lora(bench.folder / "style.gguf", weights, rank=8, strength=0.05)
    ask = ("ask", "Tell a long story about a lighthouse.", "--max-tokens", "96", "--no-log")
    plain, adapted = [], []
    for _ in range(n):
        plain.append(bench.records(*ask)[0])
        adapted.append(bench.records(*ask, "--lora", str(adapter))[0])

    def per_token(records: Sequence[RunRecord]) -> list[float]:
        return [1 / (one.timing.decode_tokens_per_second or 1) for one in records]

    def peak(records: Sequence[RunRecord]) -> list[float]:
        return [float(one.memory.peak_rss_bytes or 0) for one in records]

    sides = (("with an adapter", adapted), ("without", plain))
    counts = {one.tokens.completion for records in (plain, adapted) for one in records}
    (name, a), (other, b) = sides
    predicted = adapted[0].memory.predicted_peak_bytes or 0
    return Section(
        name="adapter",
        title="An adapter of rank 8 on queries and values",
        how="`ask`, greedy, in turns with and without `--lora`.",
        figures=(
            figure(
                "decode", "s", (name, per_token(a)), (other, per_token(b)), Target(at_most=1.15)
            ),
            figure("peak RSS", "B", (name, peak(a)), (other, peak(b))),
            figure("peak RSS", "B", (name, peak(a)), ("predicted", [float(predicted)] * len(a))),
        ),
        notes=(
            f"Seconds a token; answers of {', '.join(map(str, sorted(counts)))} tokens. The "
            f"adapter has {(adapted[0].settings.adapters[0].size_bytes or 0) / 1e6:.1f} MB.",
        ),
        warnings=condition_warnings(before, conditions.read()),
        seconds=time.perf_counter() - started,
    )


_SECTIONS = {"turn-10": _turn_ten, "ready": _ready, "adapter": _adapter}


if __name__ == "__main__":
    sys.exit(main())
