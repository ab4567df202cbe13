"""``localprompt ask`` in a new process beside a bare script and ``llm``: benchmarks/ask_cold.py."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.installs import llm_versions
from benchmarks.peers.processes import run
from benchmarks.peers.results import Figure, Ratio, Section, Target
from benchmarks.peers.setup import Setup

TARGETS = {
    ("ask / bare", "wall_seconds"): Target(at_most=1.25),
    ("ask / bare", "peak_rss_bytes"): Target(at_most=1.15),
    ("llm / ask", "wall_seconds"): Target(at_least=2.3),
    ("localprompt --help / llm --help", "wall_seconds"): Target(at_most=0.25),
}
_SCRIPT = Path(__file__).parents[1] / "ask_cold.py"
_UNITS = {"wall_seconds": ("wall", "s"), "peak_rss_bytes": ("peak RSS", "B")}


def measure(setup: Setup) -> Section:
    """All commands in turns; the script leaves its first round out."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "ask_cold.json"
        command = [sys.executable, str(_SCRIPT), "-n", str(setup.pairs), "-o", str(output)]
        if setup.llm:
            command += ["--llm", str(_llm_with_options(setup.llm, Path(folder)))]
        run(command)
        found = json.loads(output.read_text(encoding="utf-8"))
    note = (
        f"llm's environment: {llm_versions(setup.llm)}. Its model has no options: the limit of 16 "
        "tokens and greedy sampling were added to it; its own defaults (threads, n_ctx) were kept."
        if setup.llm
        else "llm was not measured: give its program with --llm, or have it installed with "
        "--install-llm."
    )
    return Section(
        name="cold",
        title="A cold prompt, whole process",
        how="`python benchmarks/ask_cold.py`: the starter model, 16 greedy tokens, page cache "
        "warm, each command a new process.",
        figures=figures(found),
        notes=(note,),
    )


def _llm_with_options(llm: Path, folder: Path) -> Path:
    """A program that runs llm_options.py with the Python of llm's environment."""
    program = folder / "llm"
    python, source = llm.absolute().with_name("python"), Path(__file__).with_name("llm_options.py")
    command = shlex.join((str(python), str(source)))
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


def figures(found: dict[str, Any]) -> tuple[Figure, ...]:
    """What the script wrote, in the form of a result."""
    made = []
    for pair, ratios in found["ratios"].items():
        a, b = pair.split(" / ")
        for metric, ratio in ratios.items():
            what, unit = _UNITS[metric]
            made.append(
                Figure(
                    what=what,
                    unit=unit,
                    a=a,
                    b=b,
                    a_median=found["medians"][a][metric],
                    b_median=found["medians"][b][metric],
                    ratio=Ratio(
                        ratio["median"], ratio["lowest"], ratio["highest"], found["rounds"]
                    ),
                    target=TARGETS.get((pair, metric)),
                )
            )
    return tuple(made)
