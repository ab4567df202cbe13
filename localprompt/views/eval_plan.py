"""What an evaluation would do, for somebody who was given its suite and wants to know first.

Above all which files it reads and writes: a suite from elsewhere may name any, and this is where
they are seen before one is opened for its content.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localprompt.evaluate.planning import Planned

if TYPE_CHECKING:
    from rich.console import Console


def print_plan(planned: Planned, console: Console) -> None:
    """Cases, models and prompts, then the files."""
    for line in plan_lines(planned):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def plan_lines(planned: Planned) -> Iterator[str]:
    """The plan as lines of text."""
    evaluation, suite = planned.evaluation, planned.suite
    repeated = f", each {evaluation.repeat} times" if evaluation.repeat > 1 else ""
    yield f"{suite.name}: {evaluation.cases} of {suite.counts.cases} cases{repeated}"
    for target in evaluation.targets:
        yield f"  {target.model.name} × {target.prompt}: {target.results} answers"
    prompts = (p.template.path for p in suite.prompts if p.template.path)
    prompts = (path for path in prompts if not path.startswith(f"{suite.path}:"))  # written there
    yield from _files("reads", (suite.path, *prompts, *suite.reads))
    yield from _files("writes", suite.outputs)
    code = "python" if "code" in suite.needs else "none"
    yield f"code that it runs: {code}"
    for note in suite.notes:
        yield f"note: {note}"


def _files(what: str, paths: tuple[str, ...]) -> Iterator[str]:
    shown = dict.fromkeys(str(Path(path).absolute()) for path in paths)
    yield f"{what}: {len(shown) or 'no'} file{'' if len(shown) == 1 else 's'}"
    for path in shown:
        yield f"  {path}"
