"""From what a user calls a model to the file that will be opened.

``-m`` takes a name or alias of the catalog, or the path of a GGUF file. Nothing here opens a
socket or reads weights: names are looked up in the cards, files are asked for their size.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import msgspec

from localprompt import doors, paths
from localprompt.errors import ChecksumError, ModelMissingError, UnknownNameError
from localprompt.gguf.splits import check_parts, total_bytes
from localprompt.models.cards import Catalog, ModelCard, read_catalog
from localprompt.models.checksum import known_sha256


class ResolvedModel(msgspec.Struct, frozen=True):
    """A model whose weights are on this machine."""

    name: str
    """The card's name; the file's name without ``.gguf`` for a path."""
    path: Path
    """Absolute."""
    card: ModelCard | None
    """None for a path that no card describes."""
    sha256: str | None
    """Of the file's bytes, if they were hashed before; ask
    :func:`localprompt.models.checksum.sha256_of` to have it computed."""


def resolve(name_or_path: str) -> ResolvedModel:
    """Find a model.

    Raises:
        UnknownNameError: no such name; with the nearest ones.
        ModelMissingError: the name is known and the weights are not here, or a path to nothing.
        ChecksumError: the weights are not those of the card.
        InputError: the card of that name is broken.
        ModelFileError: a path to one part of a model, or to a model that lacks one.
    """
    catalog = read_catalog()
    if card := catalog.find(name_or_path):
        return resolve_card(card)
    path = doors.expand_user(name_or_path)
    if doors.is_file(path):
        path = path.absolute()
        check_parts(path)
        name = path.stem if path.suffix.lower() == ".gguf" else path.name
        return ResolvedModel(name, path, _card_at(path, catalog), known_sha256(path))
    if _looks_like_a_path(name_or_path):
        raise ModelMissingError(
            "no such model file",
            where=str(path),
            found="a folder" if doors.is_folder(path) else None,
            next_step="localprompt models list",
        )
    raise unknown_model(name_or_path, catalog)


def resolve_card(card: ModelCard) -> ResolvedModel:
    """The weights of a card.

    Raises:
        ModelMissingError, ChecksumError: as :func:`resolve`.
    """
    path = card.weights
    try:
        size = total_bytes(path)
    except OSError as cause:
        raise missing(card, cause.filename) from None
    known = known_sha256(path)
    if size != card.size_bytes:
        raise mismatch(card, f"{card.size_bytes} bytes", f"{size} bytes")
    if known not in {None, card.sha256}:
        raise mismatch(card, f"sha256 {card.sha256}", f"sha256 {known}")
    return ResolvedModel(card.name, path.absolute(), card, known)


def find_card(name: str) -> ModelCard:
    """The card of a name or alias, whether its weights are here or not.

    Raises:
        UnknownNameError: no such name.
        InputError: the card of that name is broken.
    """
    catalog = read_catalog()
    card = catalog.find(name)
    if card is None and doors.is_file(Path(name)):
        raise UnknownNameError(
            "the file has no card, which is found by a name",
            where=name,
            next_step=f"localprompt models add {shlex.quote(name)}, then its name",
        )
    if card is None:
        raise unknown_model(name, catalog)
    return card


def unknown_model(name: str, catalog: Catalog) -> UnknownNameError:
    import difflib

    nearest = difflib.get_close_matches(name.lower()[:200], catalog.names(), n=3, cutoff=0.5)
    return UnknownNameError(
        f"no model is called {name if len(name) <= 60 else f'{name[:59]}…'!r}",
        nearest=tuple(nearest),
        next_step="localprompt models list, or give the path of a .gguf file",
    )


def missing(card: ModelCard, file: str | None = None) -> ModelMissingError:
    """The weights of a known model are not here; ``file`` says which, where there are several."""
    if not card.sources:
        what = "the file" if file in {None, str(card.weights)} else "a part"
        return ModelMissingError(
            f"{what} of {card.name} is gone",
            where=file or str(card.weights),
            next_step=f"localprompt models remove {card.name}, then models add its new PATH",
        )
    consent = " --accept-license" if card.licence.needs_acceptance else ""
    return ModelMissingError(
        f"the weights of {card.name} are not on this machine",
        where=str(card.weights),
        next_step=f"localprompt models pull {card.name}{consent}",
    )


def mismatch(card: ModelCard, expected: str, found: str) -> ChecksumError:
    """The weights are there and are not those of the card."""
    again = (
        f"models pull {card.name}"
        if card.sources
        else f"models add {shlex.quote(str(card.weights))}"
    )
    if not card.sources and paths.in_shared(card.weights):
        again = "doctor; the shared store is mended by who keeps it"
    return ChecksumError(
        f"the weights of {card.name} do not match its card",
        where=str(card.weights),
        expected=expected,
        found=found,
        next_step=f"localprompt {again}",
    )


def _card_at(path: Path, catalog: Catalog) -> ModelCard | None:
    """The card whose weights lie at this path, if any."""
    size = total_bytes(path)
    return next(
        (c for c in catalog.cards.values() if c.size_bytes == size and c.weights == path), None
    )


def _looks_like_a_path(text: str) -> bool:
    return text.lower().endswith(".gguf") or text.startswith(("~", ".")) or os.sep in text
