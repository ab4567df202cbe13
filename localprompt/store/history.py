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

from localprompt.store.evaluations import Evaluations
from localprompt.store.finding import EXPERIMENTS, KINDS, RUNS, Found

__all__ = ["EXPERIMENTS", "KINDS", "RUNS", "Found", "History"]


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
