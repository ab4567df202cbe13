"""The one JSON form of a run record.

``--json``, the store, exports and the lines that workers send are the same JSON object, field for
field as in :mod:`localprompt.records.run`. It is made and read here and nowhere else, so that what
one of them writes the others can read.

What JSON or UTF-8 cannot hold is settled here too: a float that is not a number becomes null, and
half a surrogate pair (a byte of a path or of an argument that was no UTF-8) becomes U+FFFD. Where
neither occurs, ``decode(encode(record)) == record``.

Records outlive the version that wrote them: a field added later has a default, which is what older
records get when they are read; a field that this version does not know is passed over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import msgspec

from localprompt.records.run import RunRecord

T = TypeVar("T")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def encode(record: Any) -> bytes:
    """One JSON value on one line, UTF-8, without a line end; of a run record or another one."""
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(msgspec.to_builtins(record)))


def decode(data: bytes | str) -> RunRecord:
    """The record that ``data`` describes.

    Raises:
        msgspec.DecodeError: the data are not JSON, or not a run record (``ValidationError``, with
            the path of the field in its message).
    """
    try:
        with _one_kind_of_error():
            return _decoder().decode(data)
    except msgspec.ValidationError:
        return msgspec.convert(_with_numbers(msgspec.json.decode(data)), RunRecord)


def decode_as(data: bytes | str, kind: type[T]) -> T:
    """The record of another kind that ``data`` describes.

    Raises:
        msgspec.DecodeError: the data are not such a record, whatever is wrong with them.
    """
    with _one_kind_of_error():
        return msgspec.json.decode(data, type=kind)


@contextmanager
def _one_kind_of_error() -> Iterator[None]:
    """msgspec has errors of its own, but not for all that can be wrong."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"not UTF-8: byte {error.object[error.start]:#04x}") from error
    except RecursionError:
        raise msgspec.DecodeError("nested too deep") from None


def _with_numbers(record: Any) -> Any:
    """A record from before temperatures had to be finite: null stands for one that was not."""
    sampling = record.get("sampling") if isinstance(record, dict) else None
    if not isinstance(sampling, dict):
        return record
    names = ("temperature", "top_p", "min_p")
    lost = {name: math.nan for name in names if name in sampling and sampling[name] is None}
    return {**record, "sampling": {**sampling, **lost}}


@cache
def _decoder() -> msgspec.json.Decoder[RunRecord]:
    return msgspec.json.Decoder(RunRecord)


def well_formed(text: str) -> str:
    """The text as a record holds it: lone surrogates replaced by U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return well_formed(value)
        case dict():
            return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
        case list() | tuple():
            return [_without_surrogates(item) for item in value]
        case _:
            return value
