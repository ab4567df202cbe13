"""A process whose clock is wrong: the environment for it.

Python reads ``sitecustomize`` before anything else, so a worker, Dask in it and its children all
believe the same.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.cluster.harness import ROOT

AHEAD_SECONDS = 5 * 3600
_PATCH = f"""
import datetime, time
right, there = time.time, datetime.datetime
time.time = lambda: right() + {AHEAD_SECONDS}
class Ahead(there):
    @classmethod
    def now(cls, tz=None):
        return there.now(tz) + datetime.timedelta(seconds={AHEAD_SECONDS})
datetime.datetime = Ahead
"""


def ahead(folder: Path) -> dict[str, str]:
    """Makes a process five hours early."""
    patched = folder / "ahead"
    patched.mkdir()
    (patched / "sitecustomize.py").write_text(_PATCH, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(patched), str(ROOT)])}
