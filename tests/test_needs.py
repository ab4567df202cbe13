"""What tests lack is counted, said how to have, and made a failure where it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import needs

ROOT = Path(__file__).resolve().parent.parent
BROWSER = "tests/views/test_html_eval_browser.py"


def test_what_is_missing_is_counted_with_the_command_that_brings_it() -> None:
    reasons = [f"Skipped: {needs.CHROMIUM}"] * 2 + [needs.model("tiny", " --accept-license")]
    assert needs.summary([*reasons, "Skipped: looks into /proc"]) == (
        "skipped: 2 for want of chromium (apt-get install chromium), "
        "1 for want of tiny (localprompt models pull tiny --accept-license)"
    )
    assert needs.missing_tools(reasons) == ["chromium"]


def test_where_nothing_is_missing_nothing_is_said() -> None:
    assert needs.summary(["Skipped: looks into /proc"]) == ""
    assert needs.missing_tools([]) == []


def _pytest(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The browser's tests on a machine without one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, *arguments, BROWSER],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )


def test_a_missing_tool_is_the_last_line_and_a_failure_only_where_tools_are_needed(
    tmp_path: Path,
) -> None:
    ran = _pytest(tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.splitlines()[-1].endswith("for want of chromium (apt-get install chromium)")
    failed = _pytest(tmp_path, "--need-tools")
    assert failed.returncode == 1
    assert "error: tests were skipped for want of chromium" in failed.stdout.splitlines()[-1]
