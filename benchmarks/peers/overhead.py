"""What a bench costs beside what it measures.

``localprompt bench`` with four cells, as a whole process, beside the sum of what its own records
say: every repetition of both passes, and every load. The rest is start-up, planning, warm-ups and
storing. The probe of the machine's limits runs once per machine, not once per bench, so a plan is
made beforehand.
"""

from __future__ import annotations

import json

from benchmarks.peers.accounting import STORY
from benchmarks.peers.processes import localprompt_command, run, scratch_home
from benchmarks.peers.results import Section, Target, figure
from benchmarks.peers.setup import Setup
from benchmarks.peers.synthetic import bench_result
from localprompt.errors import WorkerError

SMALL = Target(at_most=1.15)
CELLS = ("--n-ctx", "512,768", "--n-batch", "256,512")
_TITLE = "Wall time of a bench beside what it measures"


def measure(setup: Setup) -> Section:
    """One bench; it has no other side to take turns with, and it repeats by itself."""
    bench = ["bench", str(STORY), *setup.model_and_threads, *CELLS]
    bench += ["-r", str(setup.repetitions)]
    with scratch_home() as env:
        run(localprompt_command(*bench, "--plan-only"), env=env)
        done = run(localprompt_command(*bench, "--quiet", "--format", "json"), env=env)
        exported = run(localprompt_command("runs", "export", "--kind", "bench"), env=env)
    cells = len(bench_result(done.stdout).cells)
    records = [json.loads(line) for line in exported.stdout.splitlines()]
    if len(records) != cells * (setup.repetitions + 1):
        raise WorkerError(
            "the bench has not stored all of its repetitions",
            expected=f"{cells} cells x ({setup.repetitions} + 1)",
            found=f"{len(records)}",
        )
    timed = [record for record in records if record["bench"]["phase"] == "timing"]
    wall = ("wall time", [done.wall_seconds])
    usual = sorted(record["timing"]["total_seconds"] for record in timed)[len(timed) // 2]
    return Section(
        name="overhead",
        title=_TITLE,
        how=f"`localprompt bench story.prompty` with {cells} cells, {setup.repetitions} "
        "repetitions each and one in the memory pass, as a process; beside the sum of the "
        "repetitions and loads in its records.",
        figures=(
            figure("both passes", "s", wall, ("measured", [measured_seconds(records)]), SMALL),
            figure("timing pass only", "s", wall, ("measured", [measured_seconds(timed)])),
        ),
        notes=(f"One repetition took {usual:.2f} s (median).",),
    )


def measured_seconds(records: list[dict[str, dict[str, float | None]]]) -> float:
    """Repetitions and loads; a worker that repeats has loaded once, and its records say so."""
    return sum(
        (record["timing"]["total_seconds"] or 0.0) + (record["timing"]["load_seconds"] or 0.0)
        for record in records
    )
