"""Ids of cases that have none of their own.

A case is known by what is asked, so its id is a digest of its variables: results stay comparable
when cases are added, moved or removed. Equal variables may occur twice, and then the later case
needs something more, its position. Which digests occurred is kept in a bitmap of fixed size
rather than in a set, so that memory does not grow with the cases; the bitmap may take a new digest
for a known one (1 in 80 at 100,000 cases), which does no more than append a position.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_BITS = 23


class CaseIds:
    def __init__(self) -> None:
        self._seen = bytearray(1 << (_BITS - 3))

    def next(self, variables: Mapping[str, Any], index: int) -> str:
        """The id of the next case, unique and the same in every pass."""
        text = json.dumps(variables, sort_keys=True, ensure_ascii=False, default=str)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        place = int(digest[-8:], 16) & ((1 << _BITS) - 1)
        byte, bit = place >> 3, 1 << (place & 7)
        known = self._seen[byte] & bit
        self._seen[byte] |= bit
        return f"{digest[:12]}-{index}" if known else digest[:12]
