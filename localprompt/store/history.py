"""The history: one file, opened once, with everything that was run and measured.

    with History() as history:                     # made where there is none
        history.record(run, samples)
    with History(read_only=True) as history:       # an empty one where there is none
        found = history.find("last", ("bench", "eval"))
        run = history.run(history.find("last~2", RUNS).id)

What can be called by a name: single runs, and experiments (benches, evaluations, measurements of
quality, tunings, trainings, …). The repetitions of a bench are runs, too, and have ids of their
own, but ``last`` counts the bench and not them. See :mod:`localprompt.store.finding` for names.

Each subject has a module: :mod:`localprompt.store.runs`, :mod:`localprompt.store.experiments`,
:mod:`localprompt.store.evaluations`.
"""

from __future__ import annotations

import time

from localprompt import paths
from localprompt.store.evaluations import Evaluations
from localprompt.store.finding import EXPERIMENTS, KINDS, RUNS, Found

__all__ = ["EXPERIMENTS", "KINDS", "RUNS", "Found", "History", "stamp"]

_SECONDS_TO_SETTLE = 0.1
"""Much longer than the steps in which file systems count time."""


class History(Evaluations):
    """An open history; close it, or use it as a context manager.

    Args:
        path: the database; by default ``history.db`` in ``$LOCALPROMPT_HOME``.
        read_only: one that does not exist is then an empty one and is not made.
        busy_seconds: how long to wait for other processes that are writing.

    Raises:
        HistoryError: it cannot be opened or made (locked, damaged, not writable, disk full, …);
            any method may raise it as well.
    """


def stamp() -> tuple[tuple[int, int], ...] | None:
    """What is the same again as long as nothing was stored in between, for the price of looking at
    two files; None: something was stored so lately that the next change might look the same."""
    path = paths.history_path()
    found, newest = [], 0
    for file in (path, path.with_name(f"{path.name}-wal")):
        try:
            status = file.stat()
        except OSError:
            status = None
        if status is None or status.st_size == 0:  # readers make and remove an empty log
            found.append((0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_size))
            newest = max(newest, status.st_mtime_ns)
    return None if time.time() - newest / 1e9 < _SECONDS_TO_SETTLE else tuple(found)
