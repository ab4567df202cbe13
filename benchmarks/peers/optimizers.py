"""``improve`` beside CAPO and DSPy: the same model, cases and wall time.

    python -m benchmarks.peers.optimizers plan -o optimizers.json
    python -m benchmarks.peers.optimizers run -o optimizers.json --suites reviews --seeds 0
    python -m benchmarks.peers.optimizers show optimizers.json

Each peer is installed on demand in an environment of its own and talks to ``llama-server`` of the
very library that localprompt runs on. Ours goes first; the peers get the minutes that it took. All
learn from the same rows and answer the same held-out ones, which are scored by one rule: the
expected text stands in the answer. Tokens are those that the server evaluated and wrote (its own
counters; what it found in its cache is not among them), ours those that ``improve`` evaluated.

CAPO tells closed labels apart by their first occurrence, so it is left out where answers are free.
What is in the file is not measured again.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.improve_gain import LEARNT, SUITES
from benchmarks.peers.builds import build_tools, cache, given_tools
from benchmarks.peers.processes import run, say
from benchmarks.peers.server import Server, running
from localprompt.errors import LocalPromptError, WorkerError
from localprompt.evaluate.models import Models
from localprompt.improve.opening import open_search
from localprompt.improve.running import improve
from localprompt.records.improvement import ImproveRequest
from localprompt.records.run import RequestedSettings
from localprompt.running.assemble import model_record
from localprompt.sources.prompt.file import load_prompt
from localprompt.store.history import History
from localprompt.views.messages import format_error

HERE = Path(__file__).parent
BENCHMARKS = HERE.parent
PEERS = {"dspy": "dspy==3.4.1", "capo": "promptolution[api]==2.3.0"}
"""The package that each is installed from."""
SIDES = ("improve", *PEERS)
_SLOTS = 4
_CELLS = 4096
"""Of each slot: eight long examples and a case fit."""
_FRAME_TOKENS = {"dspy": 32}
"""What a side writes around an answer: DSPy the names of its fields."""
_MINUTES = {"reviews": 3.0, "tickets": 4.0, "meetings": 8.0, "notes": 5.0}
"""Of one search with the starter model: estimated."""


class Side(msgspec.Struct, frozen=True):
    """One optimizer, on one suite."""

    side: str
    suite: str
    seed: int
    model: str
    n: int
    score: float
    """Of the held-out cases."""
    wall_seconds: float
    tokens: int
    """Evaluated and written until it had found what it found."""
    found: str
    failed: str | None = None


class Row(msgspec.Struct, frozen=True):
    text: str
    answer: str


def rows_of(suite: str, seed: int) -> tuple[list[Row], list[Row]]:
    """What to learn from and what to be scored on; a suite without a file of held-out cases is
    split here, with the seed."""
    _, cases, final = SUITES[suite]
    rows = _read(BENCHMARKS / "datasets" / cases)
    if final is not None:
        return rows[:LEARNT], _read(BENCHMARKS / "datasets" / final)
    random.Random(seed).shuffle(rows)
    third = len(rows) // 3
    return rows[third:], rows[:third]


def _read(path: Path) -> list[Row]:
    if path.suffix == ".jsonl":
        kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    else:
        with path.open(encoding="utf-8", newline="") as file:
            kept = list(csv.DictReader(file))
    found = []
    for row in kept:
        expected = row.pop("__expected", None) or row.pop("expected")
        answer = expected if isinstance(expected, str) else json.dumps(expected)
        answer = answer.removeprefix("icontains:").strip()
        found.append(Row("\n".join(map(str, row.values())), answer))
    return found


def right(row: Row, answer: str) -> bool:
    """The same for all: an object's every value, or the text, stands in the answer."""
    expected = json.loads(row.answer) if row.answer.startswith("{") else {"": row.answer}
    return all(str(value).lower() in answer.lower() for value in expected.values())


def ours(suite: str, seed: int, model: str, threads: int, folder: Path) -> Side:
    """``improve``, with a cache of its own that is empty at first."""
    prompt, _, _ = SUITES[suite]
    learnt, held_out = _files(suite, seed, folder)
    request = ImproveRequest(
        prompt=str(BENCHMARKS / "prompts" / f"{prompt}.prompty"),
        cases=str(learnt),
        final=str(held_out),
        model=model,
        seed=seed,
        cached=False,
        settings=RequestedSettings(n_threads=threads),
    )
    with History(folder / "answers.db") as store, Models(keep=True) as models:
        record = improve(open_search(request), store, models, keep=lambda _: None)
    final, winner = record.final, record.trial(record.winner)
    if final is None or winner is None:
        raise WorkerError("the search did not end", where=suite)
    found = f"{winner.asked}; examples: {winner.examples}; {winner.weighing.name}"
    score, seconds = final.after, record.seconds or 0.0
    return Side("improve", suite, seed, model, final.n, score, seconds, record.tokens, found)


def _files(suite: str, seed: int, folder: Path) -> tuple[Path, Path]:
    """The rows of both parts as they stand in the suite's own file."""
    _, cases, final = SUITES[suite]
    source = BENCHMARKS / "datasets" / cases
    head, lines = _lines(source)
    if final is not None:
        return _written(folder / cases, head, lines[:LEARNT]), BENCHMARKS / "datasets" / final
    random.Random(seed).shuffle(lines)
    third = len(lines) // 3
    learnt = _written(folder / f"learnt-{cases}", head, lines[third:])
    return learnt, _written(folder / f"held-out-{cases}", head, lines[:third])


def _lines(path: Path) -> tuple[str, list[str]]:
    """The header, where there is one, and a line for each row: none of the files has a row that
    goes over several."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return ("", lines) if path.suffix == ".jsonl" else (lines[0], lines[1:])


def _written(path: Path, head: str, lines: list[str]) -> Path:
    path.write_text(head + "".join(lines), encoding="utf-8")
    return path


def theirs(side: str, suite: str, seed: int, model: str, minutes: float, server: Server) -> Side:
    """A peer, for so many minutes.

    Raises:
        WorkerError: it fails; with what it said.
    """
    python = install(side)
    learnt, held_out = rows_of(suite, seed)
    template = load_prompt(BENCHMARKS / "prompts" / f"{SUITES[suite][0]}.prompty")
    task = {
        "url": server.url,
        "slots": server.slots,
        "minutes": minutes,
        "seed": seed,
        "max_tokens": template.options["maxOutputTokens"] + _FRAME_TOKENS.get(side, 0),
        "labels": list(template.choices),
        "instruction": _instruction(template.body),
        "train": [msgspec.to_builtins(row) for row in learnt],
        "held_out": [msgspec.to_builtins(row) for row in held_out],
    }
    before = tokens_of(server)
    began = time.monotonic()
    done = subprocess.run(
        [str(python), str(HERE / "optimizing" / f"{side}_side.py")],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = " | ".join(done.stderr.strip().splitlines()[-4:])
        raise WorkerError(f"{side} ended with {done.returncode}", where=suite, found=said)
    took = time.monotonic() - began
    reply = json.loads(done.stdout.strip().splitlines()[-1])
    used = tokens_of(server) - before
    # Its answers to the held-out cases come after the search: their share is taken off by time.
    used = round(used * min(1.0, reply["seconds"] / took))
    scores = [right(row, str(a)) for row, a in zip(held_out, reply["answers"], strict=True)]
    score = sum(scores) / len(scores)
    return Side(
        side, suite, seed, model, len(scores), score, reply["seconds"], used, reply["found"]
    )


def _instruction(body: str) -> str:
    """What the prompt says to the model, without role lines and inputs."""
    lines = [line for line in body.splitlines() if "{{" not in line]
    return " ".join(line for line in lines if line and not re.fullmatch(r"\w+:", line))


def tokens_of(server: Server) -> int:
    """Evaluated and written since the server began, by its own counters."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = dict(re.findall(r"^llamacpp:(\w+) (\S+)$", text, re.MULTILINE))
    return round(float(found["prompt_tokens_total"]) + float(found["tokens_predicted_total"]))


def install(side: str) -> Path:
    """The Python of a peer's environment, made now or earlier.

    Raises:
        WorkerError: pip fails.
    """
    folder = cache() / side
    python = folder / "bin" / "python"
    if not (folder / "installed").is_file():
        say(f"Installing {PEERS[side]} and what it needs.")
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        run([str(python), "-m", "pip", "install", "--quiet", PEERS[side]])
        (folder / "installed").write_text(PEERS[side])
    return python


def left(given: argparse.Namespace, kept: list[Side]) -> list[tuple[str, int, str]]:
    """What is not in the file: ours before the peers, whose time it sets."""
    done = {(one.suite, one.seed, one.side) for one in kept if one.model == given.model}
    every = [
        (suite, seed, side)
        for seed in given.seeds
        for suite in given.suites
        for side in given.sides
    ]
    closed = {"reviews", "tickets"}
    return [one for one in every if one not in done and (one[2] != "capo" or one[0] in closed)]


def measure(given: argparse.Namespace, kept: list[Side]) -> None:
    """What is left, one after the other; each is in the file as soon as it is there."""
    began = time.monotonic()
    tools = given_tools(given.tools) if given.tools else build_tools(with_server=True)
    weights = Path(model_record(given.model).path)
    for suite, seed, side in left(given, kept):
        same = [
            k for k in kept if (k.suite, k.seed, k.side, k.failed) == (suite, seed, "improve", None)
        ]
        minutes = same[0].wall_seconds / 60 if same else _MINUTES[suite]
        if given.within and time.monotonic() - began + 75 * minutes > 60 * given.within:
            say(f"not begun: {side}, {suite}, seed {seed}: about {minutes:.1f} min")
            continue
        say(f"{side}, {suite}, seed {seed}: about {minutes:.1f} min")
        folder = cache() / "optimizers" / f"{given.model}-{suite}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if side == "improve":
                found = ours(suite, seed, given.model, given.threads, folder)
            else:
                with running(
                    tools, weights, threads=given.threads, slots=_SLOTS, cells=_CELLS
                ) as server:
                    found = theirs(side, suite, seed, given.model, minutes, server)
        except WorkerError as error:
            say(format_error(error))
            found = Side(
                side, suite, seed, given.model, 0, 0.0, 0.0, 0, "", failed=format_error(error)
            )
        kept.append(found)
        draft = given.output.with_suffix(".part")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
        draft.replace(given.output)


def table(kept: list[Side]) -> str:
    """As Markdown."""
    lines = ["| model | suite | seed | side | score | held out | time | tokens | found |"]
    lines.append("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | --- |")
    for one in sorted(kept, key=lambda k: (k.model, k.suite, k.seed, SIDES.index(k.side))):
        found = " ".join((one.failed or one.found).split())[:160].replace("|", "/")
        score = "failed" if one.failed else f"{one.score:.1%}"
        lines.append(
            f"| {one.model} | {one.suite} | {one.seed} | {one.side} | {score} | {one.n} | "
            f"{one.wall_seconds:.0f} s | {one.tokens:,} | {found} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.optimizers")
    doing = parser.add_subparsers(dest="doing", required=True)
    for name in ("plan", "run"):
        one = doing.add_parser(name)
        one.add_argument("-m", "--model", default="smollm2-135m")
        one.add_argument("--suites", type=_words, default=list(SUITES))
        one.add_argument("--seeds", type=lambda text: [*map(int, _words(text))], default=[0])
        one.add_argument("--sides", type=_words, default=list(SIDES))
        one.add_argument("--threads", type=int, default=2)
        one.add_argument("--within", type=float, metavar="MINUTES")
        one.add_argument("--tools", type=Path, help="a folder with llama-server")
        one.add_argument("-o", "--output", type=Path, required=True)
    doing.add_parser("show").add_argument("output", type=Path)
    given = parser.parse_args()
    there = given.output.is_file()
    kept = msgspec.json.decode(given.output.read_bytes(), type=list[Side]) if there else []
    if given.doing == "show":
        print(table(kept), end="")
        return 0
    if given.doing == "plan":
        wanted = left(given, kept)
        for suite, seed, side in wanted:
            print(f"{side:<8} {suite:<9} seed {seed}  about {_MINUTES[suite]:.0f} min (estimated)")
        print(f"in all about {sum(_MINUTES[suite] for suite, _, _ in wanted):.0f} min")
        return 0
    try:
        measure(given, kept)
    except LocalPromptError as error:
        say(format_error(error))
        return error.exit_code
    print(table(kept), end="")
    return 0


def _words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
