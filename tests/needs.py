"""What tests need beside Python: said where it is missing, and counted at the end.

A test that lacks something is skipped for a reason of one form, so that the last line of a run can
say how many were, and for want of what. ``--need-tools`` (as in .ci/run) makes a missing tool a
failure; a model that is not pulled stays a skip, because the larger ones are a matter of taste.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

_FORM = re.compile(r"needs the (tool|model) (\S+): (.+)", re.DOTALL)

CHROMIUM = "needs the tool chromium: apt-get install chromium"
OPENSSL = "needs the tool openssl: apt-get install openssl"
COMPILER = "needs the tool c++: apt-get install g++"
SECOND_USER = (
    "needs the tool second-user: as root, setpriv (util-linux) and a checkout that others may read"
)
DEV_EXTRA = "needs the tool dev-extra: python -m pip install --editable '.[dev]'"


def model(name: str, more: str = "") -> str:
    """The reason to skip a test whose model is not pulled."""
    return f"needs the model {name}: localprompt models pull {name}{more}"


def summary(reasons: Iterable[str]) -> str:
    """One line of what was skipped for want of something and how to have it; "" for nothing.

    Args:
        reasons: of all skipped tests, with pytest's ``Skipped: `` before them or not.
    """
    counts = Counter(match.groups()[1:] for r in reasons if (match := _FORM.search(r)))
    if not counts:
        return ""
    parts = (f"{count} for want of {what} ({how})" for (what, how), count in counts.most_common())
    return f"skipped: {', '.join(parts)}"


def missing_tools(reasons: Iterable[str]) -> list[str]:
    """Tools, sorted, for want of which something was skipped."""
    found = (_FORM.search(reason) for reason in reasons)
    return sorted({match[2] for match in found if match and match[1] == "tool"})
