"""What a kept file ends with, and how it shows that the file is whole.

::

    state, as llama.cpp writes and reads it │ seal: 60 bytes
                                            │   8  magic  "LPprefix"
                                            │   4  format version
                                            │  32  key
                                            │   8  length of the state
                                            │   4  CRC-32 of the state
                                            │   4  CRC-32 of the seal up to here

The seal stands at the end because llama.cpp reads a state from the first byte of a file, and
because what is written last proves that all before it was. Numbers are little-endian.

CRC-32 finds every burst of up to 32 flipped bits and all but one in four billion other damages,
at 2.8 GB/s where reading a state into the cache takes 5.5 GB/s; a cryptographic digest takes two
to four times as long and would protect only from somebody who can write to the user's own folder.
Because damage is found when a file is read, none of it is forced to the disk when it is written:
what a power cut takes is evaluated again.
"""

from __future__ import annotations

import enum
import hashlib
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

_MAGIC = b"LPprefix"
_SEAL = struct.Struct("<8sI32sQI")
_CHECK = struct.Struct("<I")
SEAL_BYTES = _SEAL.size + _CHECK.size
_CHUNK_BYTES = 1024**2


class Verdict(enum.Enum):
    """What a file under a key's name turned out to be."""

    WHOLE = enum.auto()
    BROKEN = enum.auto()
    """Cut off, damaged, or the state of another key."""
    OTHER_VERSION = enum.auto()
    """Whole, but of another format version; somebody else's business."""


def append_seal(path: Path, key: str) -> None:
    """Seal a state that is completely written.

    Raises:
        OSError: the file cannot be read or written.
    """
    with path.open("r+b", buffering=0) as file:
        length = os.fstat(file.fileno()).st_size
        crc = _crc32(file.fileno(), length)
        if crc is None:
            raise OSError(f"{path} became shorter while it was read")
        seal = _SEAL.pack(_MAGIC, FORMAT_VERSION, bytes.fromhex(key), length, crc)
        file.seek(0, os.SEEK_END)
        data = seal + _CHECK.pack(zlib.crc32(seal))
        if file.write(data) != len(data):
            raise OSError(f"{path} could not be written completely")


def examine(descriptor: int, key: str) -> Verdict:
    """Read the whole file and say what it is.

    Raises:
        OSError: it cannot be read.
    """
    size = os.fstat(descriptor).st_size
    length = size - SEAL_BYTES
    if length < 0:
        return Verdict.BROKEN
    data = os.pread(descriptor, SEAL_BYTES, length)
    seal, check = data[: _SEAL.size], data[_SEAL.size :]
    if len(data) != SEAL_BYTES or _CHECK.unpack(check) != (zlib.crc32(seal),):
        return Verdict.BROKEN
    magic, version, sealed_key, sealed_length, crc = _SEAL.unpack(seal)
    if magic != _MAGIC:
        return Verdict.BROKEN
    if version != FORMAT_VERSION:
        return Verdict.OTHER_VERSION
    if (sealed_key.hex(), sealed_length) != (key, length) or _crc32(descriptor, length) != crc:
        return Verdict.BROKEN
    return Verdict.WHOLE


def _crc32(descriptor: int, length: int) -> int | None:
    """Of the first ``length`` bytes; None if there are not so many."""
    crc, position = 0, 0
    while position < length:
        data = os.pread(descriptor, min(_CHUNK_BYTES, length - position), position)
        if not data:
            return None
        crc = zlib.crc32(data, crc)
        position += len(data)
    return crc


FORMAT_VERSION = 1
"""Of our files. Another version has other keys, so neither looks at the other's files; those of
the older one are evicted in time."""


def key_of(model_sha256: str, token_ids: Sequence[int], conditions: Mapping[str, Any]) -> str:
    """A digest of everything that a state depends on, as 64 hexadecimal digits.

    Args:
        model_sha256: of the weights.
        token_ids: of the whole beginning, in order.
        conditions: what else has a say, see
            :attr:`localprompt.engine.base.Engine.state_conditions`.
    """
    facts = {"format": FORMAT_VERSION, "model": model_sha256, "conditions": dict(conditions)}
    digest = hashlib.sha256(msgspec.json.encode(facts, order="deterministic"))
    digest.update(b"\0")
    digest.update(struct.pack(f"<{len(token_ids)}i", *token_ids))
    return digest.hexdigest()
