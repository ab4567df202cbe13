"""Peak memory as the memory pass reports it beside the kernel's figure for the same process.

The memory pass reads VmHWM inside the worker when a repetition ends; GNU time asks the kernel when
the worker is gone. Between the two lies only the worker's own end.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import msgspec

from benchmarks.peers.results import Section, Target, figure
from benchmarks.peers.setup import Setup
from localprompt.bench.child import WORKER_COMMAND, Child
from localprompt.bench.planning import count_with_llama, plan_bench
from localprompt.bench.spec import BenchSpec
from localprompt.engine.llama.library import build
from localprompt.errors import WorkerError
from localprompt.records.cell import BenchRequest

SAME = Target(at_least=0.97, at_most=1.03)
_KILOBYTES = re.compile(r"Maximum resident set size \(kbytes\): (\d+)")
_TITLE = "Peak RSS beside the kernel's figure"


def measure(setup: Setup) -> Section:
    """The memory pass of each synthetic cell, its worker under GNU time."""
    time_program = shutil.which("time")
    if time_program is None:
        return Section("peak", _TITLE, _how(), skipped="GNU time is not installed")
    figures = []
    for workload, request in _requests(setup):
        turns = [_peaks(request, time_program) for _ in range(setup.pairs)]
        figures.append(
            figure(
                f"peak RSS, {workload}",
                "B",
                ("memory pass", [reported for reported, _ in turns]),
                ("time -v", [kernel for _, kernel in turns]),
                SAME,
            )
        )
    return Section("peak", _TITLE, _how(), tuple(figures))


def maximum_resident_bytes(report: str) -> int:
    """The figure in what ``time -v`` writes.

    Raises:
        WorkerError: it is not there; another program is called time.
    """
    found = _KILOBYTES.search(report)
    if found is None:
        raise WorkerError("this is not GNU time's report", found=repr(report[:100]))
    return int(found[1]) * 1024


def _how() -> str:
    return (
        "A worker runs the memory pass of a bench as the child of `time -v`; both figures are of "
        "that one process."
    )


def _requests(setup: Setup) -> list[tuple[str, BenchRequest]]:
    spec = BenchSpec(
        models=(setup.model,),
        prefill=(setup.prefill_tokens,),
        decode=(setup.decode_tokens,),
        axes={"n_threads": (setup.threads,)},
    )
    plan = plan_bench(spec, "peers", build=build(), count_tokens=count_with_llama)
    return [(cell.workload, msgspec.convert(cell.request, BenchRequest)) for cell in plan.cells]


def _peaks(request: BenchRequest, time_program: str) -> tuple[int, int]:
    """(reported by the pass, of the kernel)"""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "time.txt"
        with Child((time_program, "-v", "-o", str(report), *WORKER_COMMAND)) as child:
            child.open(request, "memory")
            reported = child.run().record.memory.peak_rss_bytes
        if reported is None:
            raise WorkerError("the memory pass gave no peak")
        return reported, maximum_resident_bytes(report.read_text(encoding="utf-8"))
