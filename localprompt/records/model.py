"""Which model: what its weights are, and how a card names them."""

from __future__ import annotations

from typing import Annotated

import msgspec


class ModelRecord(msgspec.Struct, frozen=True):
    """The weights that answered."""

    name: str
    path: str
    sha256: str | None = None
    """Of the file's bytes; None while it has not been computed."""
    architecture: str | None = None
    quantization: str | None = None
    """The file's type by llama.cpp's name: Q4_1, Q4_K_M, F16, …"""
    parameters: int | None = None
    size_bytes: int | None = None


class AdapterUse(msgspec.Struct, frozen=True):
    """A LoRA adapter on top of the weights."""

    name: str
    path: str
    sha256: str
    """Of the file's bytes."""
    scale: float = 1.0
    """Its matrices' product is multiplied with this, and with alpha / rank."""
    rank: int | None = None
    """The largest of its matrices'."""
    size_bytes: int | None = None
    """Of its matrices, which are read beside the weights."""

    @property
    def label(self) -> str:
        """As it is typed: ``style:0.8``, and ``style`` at the scale that it was trained with."""
        return self.name if self.scale == 1.0 else f"{self.name}:{self.scale:g}"


NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,99}\Z"

Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Licence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Under what terms the weights may be used."""

    name: str
    """SPDX identifier where there is one, otherwise the title of the terms."""
    url: str | None = None
    """Where the full text is."""
    notice: str = ""
    """What a user has to be shown before accepting."""
    needs_acceptance: bool = False
    """True: the weights are fetched only after the user has said yes."""
