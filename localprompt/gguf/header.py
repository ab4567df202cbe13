"""Reading the head of a GGUF file, without llama.cpp and without its weights.

A GGUF file is: magic, version, counts; then metadata as key, type, value; then one description
for each tensor (name, shape, type, offset); then, aligned, the tensors themselves. Everything but
the last is read here, from a memory map, so that gigabytes of weights cost nothing. The
tokenizer's string arrays (49,152 tokens and 48,900 merges in SmolLM2, 262,144 tokens in Gemma 3)
are stepped over and only their length is kept, unless they are asked for.

A file may come from anywhere: every count and length is checked against the bytes that are there
before anything is allocated, and what cannot be right is a :class:`ModelFileError` that says why.
Versions 2 and 3, little endian, which is all that current tools write.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import msgspec

from localprompt import doors
from localprompt.errors import ModelFileError
from localprompt.gguf.recognize import what_it_seems_to_be
from localprompt.gguf.tensor_types import TENSOR_TYPES, TensorType

MAGIC = b"GGUF"
VERSIONS = (2, 3)

# Far above what real models have (a 671 B model: 1,025 tensors, 50 keys); a file beyond them is
# damaged or made to hurt.
_MOST_TENSORS = 100_000
_MOST_KEYS = 100_000
_MOST_STRINGS = 8_000_000
_LONGEST_KEY = 65_535
_LONGEST_TEXT = 16 * 1024**2
_MOST_DIMENSIONS = 4
_LARGEST_FILE = 2**62
# Arrays up to this length are decoded without being asked for: they are per layer, or tags.
_SMALL_NUMBERS = 1024
_SMALL_STRINGS = 64

_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY, _DOUBLE = 8, 9, 12


class SkippedArray(msgspec.Struct, frozen=True):
    """Stands in the metadata for a long array that was not decoded."""

    count: int
    kind: int = 8
    """GGUF's number of the items' type; 8 are texts."""


class TensorInfo(msgspec.Struct, frozen=True):
    """One tensor's description."""

    name: str
    shape: tuple[int, ...]
    """In ggml's order: the first dimension is contiguous. A matrix is (n_in, n_out)."""
    type: TensorType
    offset: int
    """From the beginning of the data, in bytes."""

    @property
    def n_elements(self) -> int:
        return prod(self.shape)

    @property
    def n_bytes(self) -> int:
        return self.type.bytes_for(self.n_elements)


class GgufFile(msgspec.Struct, frozen=True):
    """The head of a GGUF file."""

    path: Path
    size_bytes: int
    version: int
    metadata: dict[str, Any]
    """Numbers, booleans, strings, tuples of these, or :class:`SkippedArray`."""
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    """Where the first tensor begins, from the start of the file."""
    doubles: frozenset[str] = frozenset()
    """Keys of numbers of 64 bits: llama.cpp asks for 32, and ends the process at these."""


def read_gguf(path: Path, *, decode: Collection[str] = ()) -> GgufFile:
    """Read metadata and tensor descriptions.

    Args:
        path: the file.
        decode: keys of long arrays whose items are wanted, as ``tokenizer.ggml.tokens``. Bytes
            of theirs that are no UTF-8 come as lone surrogates; other texts get U+FFFD there.

    Raises:
        ModelFileError: not readable, no GGUF, of an unknown version, damaged or truncated.
    """
    with _mapped(path) as buffer:
        cursor = _Cursor(path, buffer)
        version, n_tensors, n_keys = _read_counts(cursor)
        doubles: set[str] = set()
        metadata = dict(_read_entry(cursor, decode, doubles) for _ in range(n_keys))
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            cursor.fail("the alignment is not a power of two", found=repr(alignment))
        tensors = tuple(_read_tensor(cursor) for _ in range(n_tensors))
        head = GgufFile(
            path=path,
            size_bytes=len(buffer),
            version=version,
            metadata=metadata,
            tensors=tensors,
            data_offset=_padded(cursor.position, alignment),
            doubles=frozenset(doubles),
        )
    _check_data(head, alignment)
    return head


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    try:
        with doors.open_file(path) as file:
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as cause:  # ValueError: an empty file cannot be mapped
        if doors.is_file(path) and path.stat().st_size == 0:
            raise _not_gguf(path, "an empty file") from cause
        found = "a folder" if doors.is_folder(path) else str(getattr(cause, "strerror", cause))
        raise ModelFileError(
            "the model file cannot be read", where=str(path), found=found
        ) from cause
    with buffer:
        yield buffer


class _Cursor:
    """A position in the file that never leaves it."""

    def __init__(self, path: Path, buffer: mmap.mmap) -> None:
        self.path = path
        self.buffer = buffer
        self.position = 0

    def unpack(self, layout: str) -> Any:
        """One value; ``layout`` as struct has it."""
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout)))
        return value

    def take(self, n_bytes: int) -> bytes:
        start = self.position
        self.skip(n_bytes)
        return self.buffer[start : self.position]

    def skip(self, n_bytes: int) -> None:
        if n_bytes > len(self.buffer) - self.position:
            self.fail(
                "the model file is truncated inside its header, or damaged",
                expected=f"{n_bytes} more bytes at {self.position}",
                found=f"the end of the file at {len(self.buffer)} bytes",
            )
        self.position += n_bytes

    def text(self, longest: int, errors: str = "replace") -> str:
        length = self.unpack("<Q")
        if length > min(longest, len(self.buffer) - self.position):
            self.fail(
                "a string in the header is longer than the file allows",
                expected=f"at most {longest} bytes",
                found=f"{length} bytes at {self.position}",
            )
        return self.take(length).decode("utf-8", errors=errors)

    def skip_texts(self, count: int) -> None:
        """Step over ``count`` strings; the inner loop of reading a large vocabulary."""
        length_at = struct.Struct("<Q").unpack_from
        buffer, position = self.buffer, self.position
        try:
            for _ in range(count):
                (length,) = length_at(buffer, position)
                position += length + 8
        except (struct.error, OverflowError):
            position = len(buffer) + 1
        self.skip(position - self.position)

    def fail(self, message: str, *, expected: str | None = None, found: str | None = None) -> None:
        raise _damaged(self.path, message, expected, found)


def _read_counts(cursor: _Cursor) -> tuple[int, int, int]:
    """Version, number of tensors, number of metadata entries."""
    beginning = cursor.buffer[:4096]
    if not beginning.startswith(MAGIC):
        raise _not_gguf(cursor.path, what_it_seems_to_be(beginning))
    cursor.skip(len(MAGIC))
    version = cursor.unpack("<I")
    if version not in VERSIONS:
        # A big-endian file shows its small version number in the upper bytes.
        found = "a big-endian file" if version & 0xFFFF == 0 and version else f"version {version}"
        cursor.fail("this version of GGUF is not supported", expected="version 2 or 3", found=found)
    n_tensors, n_keys = cursor.unpack("<Q"), cursor.unpack("<Q")
    if n_tensors > _MOST_TENSORS or n_keys > _MOST_KEYS:
        cursor.fail(
            "the counts in the header cannot be right",
            expected=f"at most {_MOST_TENSORS} tensors and {_MOST_KEYS} keys",
            found=f"{n_tensors} tensors and {n_keys} keys",
        )
    return version, n_tensors, n_keys


def _read_entry(cursor: _Cursor, decode: Collection[str], doubles: set[str]) -> tuple[str, Any]:
    key = cursor.text(_LONGEST_KEY)
    kind = cursor.unpack("<I")
    if kind == _STRING:
        return key, cursor.text(_LONGEST_TEXT)
    if kind == _ARRAY:
        return key, _read_array(cursor, key, key in decode)
    if kind == _DOUBLE:
        doubles.add(key)
    return key, cursor.unpack(_scalar_layout(cursor, key, kind))


def _read_array(cursor: _Cursor, key: str, wanted: bool) -> tuple[Any, ...] | SkippedArray:
    kind, count = cursor.unpack("<I"), cursor.unpack("<Q")
    room = len(cursor.buffer) - cursor.position
    if kind == _STRING:
        if count > min(_MOST_STRINGS, room // 8):
            cursor.fail(f"the array {key} is longer than the file allows", found=f"{count} strings")
        if wanted or count <= _SMALL_STRINGS:
            return tuple(cursor.text(_LONGEST_TEXT, "surrogateescape") for _ in range(count))
        cursor.skip_texts(count)
        return SkippedArray(count)
    layout = _scalar_layout(cursor, key, kind)
    item_bytes = struct.calcsize(layout)
    if count > room // item_bytes:
        cursor.fail(f"the array {key} is longer than the file allows", found=f"{count} numbers")
    if wanted or count <= _SMALL_NUMBERS:
        items = cursor.take(count * item_bytes)
        return tuple(value for (value,) in struct.iter_unpack(layout, items))
    cursor.skip(count * item_bytes)
    return SkippedArray(count, kind)


def _scalar_layout(cursor: _Cursor, key: str, kind: int) -> str:
    layout = _SCALARS.get(kind)
    if layout is None:
        what = "an array of arrays" if kind == _ARRAY else f"type {kind}"
        raise _damaged(cursor.path, f"the value of {key[:80]!r} has an unknown type", None, what)
    return layout


def _read_tensor(cursor: _Cursor) -> TensorInfo:
    name = cursor.text(_LONGEST_KEY)
    n_dimensions = cursor.unpack("<I")
    if n_dimensions > _MOST_DIMENSIONS:
        cursor.fail(
            f"the tensor {name[:80]!r} has too many dimensions",
            expected=f"at most {_MOST_DIMENSIONS}",
            found=str(n_dimensions),
        )
    shape = tuple(cursor.unpack("<Q") for _ in range(n_dimensions))
    type_id, offset = cursor.unpack("<I"), cursor.unpack("<Q")
    tensor_type = TENSOR_TYPES.get(type_id)
    if tensor_type is None:
        raise _damaged(
            cursor.path, f"the tensor {name[:80]!r} has an unknown type", None, f"type {type_id}"
        )
    row = shape[0] if shape else 1
    if prod(shape) > _LARGEST_FILE or row % tensor_type.block_elements:
        cursor.fail(
            f"the shape of the tensor {name[:80]!r} cannot be right",
            expected=f"rows of whole blocks of {tensor_type.block_elements} elements",
            found=" x ".join(str(n) for n in shape),
        )
    return TensorInfo(name, shape, tensor_type, offset)


def _check_data(head: GgufFile, alignment: int) -> None:
    """The tensors lie one after the other, aligned, and the file holds all of them."""
    expected_offset = 0
    for tensor in head.tensors:
        if tensor.offset != expected_offset:
            raise _damaged(
                head.path,
                f"the tensor {tensor.name[:80]!r} is not where the one before it ends",
                f"offset {expected_offset}",
                f"offset {tensor.offset}",
            )
        expected_offset = _padded(tensor.offset + tensor.n_bytes, alignment)
    needed = head.data_offset + max((t.offset + t.n_bytes for t in head.tensors), default=0)
    if head.size_bytes < needed:
        raise _damaged(
            head.path,
            "the model file is truncated",
            f"at least {needed} bytes",
            f"{head.size_bytes} bytes",
        )


def _padded(position: int, alignment: int) -> int:
    return (position + alignment - 1) // alignment * alignment


def _not_gguf(path: Path, found: str) -> ModelFileError:
    return ModelFileError(
        "not a GGUF file",
        where=str(path),
        expected="a file that begins with GGUF",
        found=found,
        next_step="localprompt models list",
    )


def _damaged(path: Path, message: str, expected: str | None, found: str | None) -> ModelFileError:
    return ModelFileError(
        message,
        where=str(path),
        expected=expected,
        found=found,
        next_step="fetch the file again: localprompt models pull NAME",
    )
