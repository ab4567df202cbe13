"""How values that SQLite has no type for are written: series of times, and moments."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime

_FLOAT64_BYTES = 8


def pack(seconds: Sequence[float]) -> bytes:
    """A series as it lies in ``samples.seconds``: float64, little-endian, without a header."""
    return struct.pack(f"<{len(seconds)}d", *seconds)


def unpack(blob: bytes) -> tuple[float, ...]:
    """The series again, bit for bit."""
    return struct.unpack(f"<{len(blob) // _FLOAT64_BYTES}d", blob)


def comparable(moment: datetime) -> str:
    """A moment to compare ``created_at`` with, as text: UTC, to the second, without a suffix.

    ``created_at`` may have fractions and ends in ``Z`` or ``+00:00``; as text it then compares
    with this as the moments do. A naive ``moment`` is taken as local time.
    """
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
