"""Two files of the same weights in 32 bit, compared number by number."""

from __future__ import annotations

from pathlib import Path

import msgspec

from localprompt.errors import InputError
from localprompt.gguf.header import TensorInfo, read_gguf


class WeightChanges(msgspec.Struct, frozen=True):
    """How many numbers differ."""

    total: int
    changed: int
    tensors: int
    tensors_changed: int


def weight_changes(before: Path, after: Path) -> WeightChanges:
    """Compare all tensors of two GGUF files bit by bit.

    Raises:
        ModelFileError: a file cannot be read.
        InputError: they are not the same tensors in 32 bit.
    """
    import numpy as np

    old, new = read_gguf(before), read_gguf(after)
    ours, theirs = {t.name: t for t in old.tensors}, {t.name: t for t in new.tensors}
    if {n: t.shape for n, t in ours.items()} != {n: t.shape for n, t in theirs.items()}:
        raise InputError("these are not two versions of one model", where=str(after))
    old_data = np.memmap(before, np.uint8, "r")
    new_data = np.memmap(after, np.uint8, "r")
    total = changed = tensors_changed = 0
    for name, tensor in ours.items():
        a = _bits(old_data, old.data_offset, tensor)
        b = _bits(new_data, new.data_offset, theirs[name])
        if a.size != b.size:
            raise InputError("the weights are not both in 32 bit", where=f"{after}: {name}")
        differ = int(np.count_nonzero(a != b))
        total += a.size
        changed += differ
        tensors_changed += differ > 0
    return WeightChanges(total, changed, len(ours), tensors_changed)


def _bits(data: object, data_offset: int, tensor: TensorInfo):  # type: ignore[no-untyped-def]
    """A tensor's numbers as 32-bit words: equal words are equal numbers, NaN included."""
    import numpy as np

    start = data_offset + tensor.offset
    return np.asarray(data)[start : start + tensor.n_bytes].view(np.uint32)
