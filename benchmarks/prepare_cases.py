"""What it takes to prepare the cases of a suite: read, check and render them, without a model.

    python -m benchmarks.prepare_cases [-n TIMES] [--cases N] [-o RESULT.json]

A csv file of 10,000 rows and a Nunjucks template of 1 kB with a condition, a loop and filters. Each
time is a new process, in turns with one that prepares ten cases: time and peak memory beyond those
of the small one are what the cases took. Peak memory is that of the process and that of its child,
in which the templates are rendered, added up. Everything is done that ``eval`` does before an
answer: the suite is read and checked (one pass), then every case is made and its prompt rendered.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.peers.processes import run
from localprompt.measure import machine

CASES = 10_000
FEW = 10
AT_ONCE = 64
"""As ``eval`` hands cases to the template engine."""
PARAGRAPH = (
    "You answer letters to a small shop that sells lamps, kettles and garden chairs. Be friendly "
    "and short. Never promise a date. If money is asked for, say that a colleague will look at it. "
)
TEMPLATE = (
    PARAGRAPH * 4
    + "{% if urgent == 'yes' %}This letter is urgent. {% endif %}"
    + "{% for word in ['lamp', 'kettle', 'chair'] %}{{ word | upper }} {% endfor %}"
    + "Letter of {{ name | trim }}, {{ number }}: {{ letter }}"
)


def main() -> None:
    options = _options()
    if options.inside:
        print(json.dumps(prepare(Path(options.inside))))
        return
    with TemporaryDirectory() as folder:
        many, few = _suite(Path(folder), options.cases), _suite(Path(folder), FEW)
        rows = [(_apart(many), _apart(few)) for _ in range(options.times)]
    result = {
        "what": f"preparing {options.cases:,} cases of a csv suite, template of {len(TEMPLATE)} B",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": machine.describe().cpu, "os": machine.describe().os},
        "targets": "2 s and 50 MiB beyond those of ten cases, for 10,000",
        "n": options.times,
        "seconds": _beyond(rows, "seconds"),
        "peak_bytes": _beyond(rows, "peak_bytes"),
        "own_peak_bytes": _beyond(rows, "own_peak_bytes"),
        "child_peak_bytes": _beyond(rows, "child_peak_bytes"),
        "raw": rows,
    }
    text = json.dumps(result, indent=2) + "\n"
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    print(text)


def prepare(suite: Path) -> dict[str, Any]:
    """All that ``eval`` does before an answer; seconds, and the peaks of both processes."""
    from localprompt.javascript import engine
    from localprompt.sources.suite.messages import render_cases
    from localprompt.sources.suite.suite import load_suite

    started = time.perf_counter()
    loaded = load_suite(suite)
    template = loaded.prompts[0].template
    stream = loaded.cases()
    characters = 0
    while some := list(islice(stream, AT_ONCE)):
        for messages in render_cases(template, [case.vars for case in some]):
            assert isinstance(messages, tuple)
            characters += len(messages[0].text)
    seconds = time.perf_counter() - started
    own = _peak_bytes(resource.RUSAGE_SELF)
    engine.close()  # what a child took is known when it has ended
    child = _peak_bytes(resource.RUSAGE_CHILDREN)
    return {
        "seconds": seconds,
        "peak_bytes": own + child,
        "own_peak_bytes": own,
        "child_peak_bytes": child,
        "characters": characters,
    }


def _peak_bytes(who: int) -> int:
    """The largest resident size; a child's is at least what this process had when it began it."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _apart(suite: Path) -> dict[str, Any]:
    """The same in a process of its own."""
    done = run([sys.executable, "-m", "benchmarks.prepare_cases", "--inside", str(suite)])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _beyond(rows: list[tuple[dict[str, Any], dict[str, Any]]], key: str) -> dict[str, Any]:
    return {
        "median_of_all": statistics.median(many[key] for many, _ in rows),
        "median_beyond_ten_cases": statistics.median(many[key] - few[key] for many, few in rows),
    }


def _suite(folder: Path, cases: int) -> Path:
    inside = folder / str(cases)
    inside.mkdir()
    (inside / "cases.csv").write_text("\n".join(_lines(cases)), encoding="utf-8")
    suite = {"prompts": [TEMPLATE], "providers": ["smollm2-135m"], "tests": "file://cases.csv"}
    path = inside / "suite.json"
    path.write_text(json.dumps(suite), encoding="utf-8")
    return path


def _lines(cases: int) -> Iterator[str]:
    yield "name,number,letter,urgent,__expected"
    for number in range(cases):
        letter = (
            f"The lamp that came on day {number} hums. What can I do about the {number % 97}th?"
        )
        yield f' Ada {number} ,{number},"{letter}",{"yes" if number % 3 else "no"},icontains: lamp'


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-n", "--times", type=int, default=5)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
