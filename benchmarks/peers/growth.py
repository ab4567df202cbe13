"""What more cases cost: time should grow with them, and memory should not.

Not beside another program but beside itself: 2,000 cases and ten times 200 of them, and the first
200 rows of a file that has 100,000. Choices after a shared beginning, as in *choices*.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.peers import workloads
from benchmarks.peers.contenders import Evaluated, localprompt_eval
from benchmarks.peers.results import Section, Target, figure
from benchmarks.peers.setup import Setup

_FEW = 200
_TIMES = 10
_ROWS = 100_000
LINEAR = Target(at_most=1.1)
FLAT = Target(at_most=1.05)


def measure(setup: Setup) -> Section:
    """In turns: few cases, many, few of a long file."""
    few_cases = setup.cases or _FEW
    few, many, long = (workloads.choices(count) for count in (few_cases, few_cases * _TIMES, _ROWS))
    rounds: list[tuple[Evaluated, Evaluated, Evaluated]] = []
    with tempfile.TemporaryDirectory() as folder:
        rounds += [
            (
                localprompt_eval(setup, few, Path(folder)),
                localprompt_eval(setup, many, Path(folder)),
                localprompt_eval(setup, long, Path(folder), limit=few_cases),
            )
            for _ in range(setup.pairs)
        ]
    names = (f"{few_cases} cases", f"{few_cases * _TIMES} cases", f"{few_cases} of {_ROWS} rows")
    of_few, of_many, of_long = (
        (name, [float(one[at].peak_rss_bytes) for one in rounds]) for at, name in enumerate(names)
    )
    return Section(
        name="growth",
        title=f"{_TIMES} times as many cases",
        how=f"`localprompt eval` over {few_cases} and {few_cases * _TIMES} cases, and over the "
        f"first {few_cases} of {_ROWS} rows of a csv, each as a process of its own. Wall times "
        "without loading, and peak RSS.",
        figures=(
            figure(
                "wall",
                "s",
                (names[1], [one[1].answers.wall_seconds for one in rounds]),
                (
                    f"{_TIMES} × {names[0]}",
                    [_TIMES * one[0].answers.wall_seconds for one in rounds],
                ),
                LINEAR,
            ),
            figure("peak RSS", "B", of_many, of_few, FLAT),
            figure("peak RSS", "B", of_long, of_few, FLAT),
        ),
    )
