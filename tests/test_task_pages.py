"""The guide's pages for a task run as they stand: their commands are typed here as a reader would.

A page's ``sh`` blocks are one session, in their order, in an empty folder; what needs a network or
another machine stands in blocks of other kinds. ``sudo`` is a word that is passed over, and the
shared store a folder of the test's own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide"
PAGES = (
    "from-llm",
    "from-promptfoo",
    "in-ci",
    "team",
    "team-air-gap",
    "which-model",
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str, kind: str) -> list[str]:
    text = (GUIDE / f"{page}.md").read_text(encoding="utf-8")
    return [match[2] for match in _BLOCK.finditer(text) if match[1] == kind]


@pytest.fixture
def session(lab_home: Path, tmp_path: Path, starter_model: Path) -> dict[str, str]:
    """The environment of a reader's shell."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, line in (
        ("localprompt", f'exec "{sys.executable}" -m localprompt "$@"'),
        ("sudo", 'exec "$@"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(GUIDE.parent.parent),
        "LOCALPROMPT_SHARED": str(tmp_path / "shared"),
        "COLUMNS": "80",
    }


def _typed(script: str, session: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=session,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({*PAGES} - {"which-model"}))
def test_a_page_runs_as_it_stands(
    page: str, session: dict[str, str], tmp_path: Path, starter_model: Path
) -> None:
    if page == "team":  # what the first command would fetch
        (tmp_path / "shared" / "models").mkdir(parents=True)
        (tmp_path / "shared" / "models" / starter_model.name).symlink_to(starter_model)
    _check(page, session)


@pytest.mark.model
@pytest.mark.slow
def test_the_page_about_models_runs_as_it_stands(
    laptop_model: Path, session: dict[str, str], lab_home: Path
) -> None:
    (lab_home / "models" / laptop_model.name).symlink_to(laptop_model)
    _check("which-model", session)


def _check(page: str, session: dict[str, str]) -> None:
    scripts = blocks(page, "sh")
    jobs = [yaml.safe_load(text)["jobs"] for text in blocks(page, "yaml")]
    steps = [step["run"] for job in jobs for each in job.values() for step in each["steps"] if step]
    assert any("localprompt" in script for script in scripts)
    done = _typed("\n".join(["set -x", *scripts, *steps]), session)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_every_page_for_a_task_is_tried_here() -> None:
    tried = {path.stem for path in GUIDE.glob("*.md") if "```sh\n" in path.read_text("utf-8")}
    assert tried == set(PAGES)


def test_a_line_that_fails_would_be_noticed(session: dict[str, str]) -> None:
    assert _typed("localprompt ask --no-such-option | cat\necho on", session).returncode == 2
