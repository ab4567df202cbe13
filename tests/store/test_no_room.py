"""A full or read-only disk: readers read, pruning makes room, writers say what they could not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_FILL = """
import os
from pathlib import Path
from localprompt.store.history import History
from tests.sample_runs import make_run

home = Path(os.environ["LOCALPROMPT_HOME"])
with History() as history:
    for number in range(40):
        history.record(make_run(number))
"""
_USE = """
import os
from pathlib import Path
from localprompt.errors import HistoryError, NotEnoughDiskError
from localprompt.store.history import History
from localprompt.store.pruning import prune

{before}
with History(read_only=True) as history:
    runs = history.stats().runs
    print("read", runs)
{after}
"""
_FULL = """
file = os.open(os.environ["LOCALPROMPT_HOME"] + "/filler", os.O_WRONLY | os.O_CREAT)
try:
    while True:
        os.write(file, bytes(512))
except OSError:
    os.close(file)
"""
_PRUNE = """
pruned = prune(keep_last=5)
print("pruned", pruned.runs, pruned.runs_left, pruned.freed_bytes > 0)
with History(read_only=True) as history:
    print("left", history.stats().runs)
"""
_WRITE = """
from tests.sample_runs import make_run
try:
    with History() as history:
        history.record(make_run(99))
    print("written")
except HistoryError as error:
    print("refused", error.message)
"""


def _in_small_disk(folder: Path, *steps: str, then: str = "true") -> str:
    """Run Python in a file system of 8 MB; between the first step and the rest, ``then``."""
    first, *rest = (f"{sys.executable} -c '{step}'" for step in steps)
    script = " && ".join(
        [f"mount -t tmpfs -o size=8m none {folder}", "export LOCALPROMPT_HOME=" + str(folder),
         first, then, *rest]
    )  # fmt: skip
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("this machine lets nobody mount a file system of their own")
    assert done.returncode == 0, done.stderr
    return done.stdout


def _use(before: str = "", after: str = "") -> str:
    return _USE.format(before=before, after=after)


def test_a_full_disk_is_read_and_makes_room_for_itself(tmp_path: Path) -> None:
    out = _in_small_disk(tmp_path, _FILL, _use(_FULL, _PRUNE))
    assert out.split("\n")[:3] == ["read 40", "pruned 35 5 True", "left 5"]


def test_a_read_only_disk_is_read_and_says_that_nothing_was_written(tmp_path: Path) -> None:
    remount = f"mount -o remount,ro {tmp_path}"
    out = _in_small_disk(tmp_path, _FILL, _use(after=_WRITE), then=remount)
    assert out.startswith("read 40\nrefused the history ")
