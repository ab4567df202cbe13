"""Measurements that run at the same time disturb each other; a bench learns of the others here.

Who is there is known from :mod:`localprompt.store.under_way`: other benches, evaluations, tunings,
and runs from the local page.
"""

from __future__ import annotations

from collections.abc import Sequence

from localprompt.records.run import RunWarning
from localprompt.store.under_way import UnderWay, under_way


def warnings_about(others: Sequence[UnderWay]) -> tuple[RunWarning, ...]:
    """For the repetition that has just ended beside them."""
    if not others:
        return ()
    benches = [one for one in others if one.kind == "bench"]
    if len(benches) == len(others):
        who = ", ".join(str(one.pid) for one in others)
        message = f"another bench is running (process {who})"
    else:
        message = f"something else is being measured: {'; '.join(one.text for one in others)}"
    return (
        RunWarning(
            "another_bench",
            message,
            "wait for one of them to finish, then repeat the other's measurements",
        ),
    )


def running_now() -> tuple[RunWarning, ...]:
    """About what is running before a bench begins."""
    return warnings_about(under_way())
