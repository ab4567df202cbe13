"""Adapters by name: ``--lora FILE[:SCALE]`` → which file, and how strong.

An adapter has a card as a model has (``models add`` makes one), with ``kind = "adapter"``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from localprompt import doors
from localprompt.errors import ChecksumError, InputError, ModelMissingError
from localprompt.gguf.adapter import read_adapter
from localprompt.models.checksum import sha256_of
from localprompt.models.resolve import resolve
from localprompt.records.model import AdapterUse

MOST_SCALE = 1000.0


def adapters_of(texts: Iterable[str], option: str = "--lora") -> tuple[AdapterUse, ...]:
    """The adapters as they were typed, in that order.

    Args:
        option: where they were typed.

    Raises:
        InputError: one is named twice, or its scale is not a number.
        UnknownNameError, ModelMissingError: it is not known, or not here.
        ModelFileError: it is not an adapter.
    """
    uses: list[AdapterUse] = []
    for text in texts:
        use = _use(text, option)
        if use.sha256 in {other.sha256 for other in uses}:
            raise InputError("an adapter is named twice", where=f"{option} {text}")
        uses.append(use)
    return tuple(uses)


def as_recorded(uses: Iterable[AdapterUse]) -> tuple[AdapterUse, ...]:
    """The adapters of a stored run, which are still what they were.

    Raises:
        ModelMissingError: the file of one is gone.
        ChecksumError: it has another content now.
    """
    found = tuple(uses)
    for use in found:
        path = Path(use.path)
        if not path.is_file():
            raise ModelMissingError("the adapter of this run is gone", where=use.path)
        sha256 = sha256_of(path)
        if sha256 != use.sha256:
            raise ChecksumError(
                "the adapter's file has changed since",
                where=use.path,
                expected=f"sha256 {use.sha256}",
                found=f"sha256 {sha256}",
                next_step=f"--lora {use.path} takes it as it is",
            )
    return found


def _use(text: str, option: str) -> AdapterUse:
    name, scale = _name_and_scale(text, option)
    found = resolve(name)
    head = read_adapter(found.path)
    return AdapterUse(
        name=found.name,
        path=str(found.path),
        sha256=sha256_of(found.path),
        scale=scale,
        rank=head.rank,
        size_bytes=head.tensor_bytes,
    )


def _name_and_scale(text: str, option: str) -> tuple[str, float]:
    name, colon, number = text.rpartition(":")
    if not colon or doors.is_file(doors.expand_user(text)):
        return text, 1.0
    try:
        scale = float(number)
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale) or abs(scale) > MOST_SCALE or not name:
        raise InputError(
            "not a scale", where=f"{option} {text}", expected="as style.gguf:0.8", found=number
        )
    return name, scale
