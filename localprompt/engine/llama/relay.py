"""A state of one context, re-laid for another that computes attention in another way.

With flash attention llama.cpp keeps the values of the KV cache cell by cell, as the keys; without,
transposed, so that the scores meet them row by row. A context refuses a state of the other layout.
The numbers are the same, so that re-laying changes nothing: what was evaluated with flash attention
goes on without. It happens where the state lies, a layer at a time.

What is read here is the format of ``llama_state_seq_get_data`` of the pinned version
(``llama_kv_cache::state_write``), for caches of one kind and one stream::

    magic, sequence, streams = 1, cells, (position, 1, sequence) for each cell,
    transposed?, layers,
    for each layer: type of K, bytes of a row (64 bit), rows
    for each layer: type of V, bytes of a row (64 bit), rows                  cell by cell
                    type of V, bytes of an element, elements of a row, columns     transposed
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from localprompt.errors import EngineError

Bytes = npt.NDArray[np.uint8]

_ELEMENTS: dict[int, np.dtype[Any]] = {0: np.dtype("<u4"), 1: np.dtype("<u2"), 30: np.dtype("<u2")}
"""By ggml's type: F32, F16, BF16. Others are packed in blocks, and need flash attention anyway."""
_HEAD = struct.Struct("<IiII")
_CELL_BYTES = 12
_TWO = struct.Struct("<II")
_BY_CELL = struct.Struct("<iQ")
_TRANSPOSED = struct.Struct("<iII")


def transpose_values(state: Bytes) -> None:
    """Turn the state of a context with flash attention into that of one without.

    Raises:
        EngineError: it is not laid out as this version of llama.cpp does it.
    """
    reader = _Reader(state)
    _, _, streams, cells = reader.take(_HEAD)
    if streams != 1:
        raise _unknown("a state of one stream", f"{streams}")
    reader.skip(cells * _CELL_BYTES)
    flag_at = reader.at
    is_transposed, layers = reader.take(_TWO)
    if is_transposed:
        raise _unknown("values cell by cell", "transposed ones")
    for _ in range(layers):
        _, row_bytes = reader.take(_BY_CELL)
        reader.skip(cells * row_bytes)
    for _ in range(layers):
        head_at = reader.at
        kind, row_bytes = reader.take(_BY_CELL)
        element = _ELEMENTS.get(kind)
        if element is None or row_bytes % element.itemsize:
            raise _unknown("values of 16 or 32 bit", f"type {kind}")
        part = reader.skip(cells * row_bytes)
        width = row_bytes // element.itemsize
        rows = part.copy().view(element).reshape(cells, width)
        part[:] = np.ascontiguousarray(rows.T).reshape(-1).view(np.uint8)
        _TRANSPOSED.pack_into(state.data, head_at, kind, element.itemsize, width)
    if reader.at != len(state):
        raise _unknown(f"{reader.at} bytes", f"{len(state)}")
    _TWO.pack_into(state.data, flag_at, 1, layers)


class _Reader:
    def __init__(self, state: Bytes) -> None:
        self._state = state
        self.at = 0

    def take(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self.skip(layout.size).tobytes())

    def skip(self, count: int) -> Bytes:
        part = self._state[self.at : self.at + count]
        if len(part) != count:
            raise _unknown(f"{self.at + count} bytes", f"{len(self._state)}")
        self.at += count
        return part


def _unknown(expected: str, found: str) -> EngineError:
    return EngineError(
        "the state of a context is not laid out as expected", expected=expected, found=found
    )
