"""The models of this machine: adding, listing, verifying, removing.

Weights are in the store (``$LOCALPROMPT_HOME/models``), where a pull or a quantization put them,
or they stay where the user has them and only a card in the same folder points there. Removing
deletes the former, unless another card uses the file, and forgets the latter.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Literal

import msgspec

from localprompt import doors, paths
from localprompt.errors import (
    ChecksumError,
    InputError,
    LocalPromptError,
    MachineError,
    ModelMissingError,
)
from localprompt.files import disk_errors_explained
from localprompt.gguf.adapter import is_adapter_file, read_adapter
from localprompt.gguf.splits import total_bytes
from localprompt.models.cards import FILE_PATTERN, Catalog, ModelCard, read_catalog, write_card
from localprompt.models.checksum import known_sha256, sha256_of
from localprompt.models.inspect import ModelInfo, inspect_model
from localprompt.models.ownership import others_using
from localprompt.models.receiver import Progress, no_progress
from localprompt.models.resolve import find_card, mismatch, missing, resolve_card
from localprompt.models.soundness import check_vocabulary
from localprompt.records.model import NAME_PATTERN, Licence

State = Literal["present", "missing", "damaged"]
Place = Literal["own", "shared", "elsewhere"]
"""The user's store, the one that all users of this machine read, or where somebody put the file."""


IN_SHARED = "it lies in the shared store"


class ModelEntry(msgspec.Struct, frozen=True):
    """One line of ``models list``."""

    card: ModelCard
    card_file: Path
    state: State
    """missing: not pulled, or its file is gone; damaged: there, but not what the card says."""
    place: Place = "own"


class Removal(msgspec.Struct, frozen=True):
    """What :func:`remove_model` did."""

    card: ModelCard
    weights_deleted: bool
    """False: only the registration is gone, the file stays where it is."""
    freed_bytes: int
    kept: str | None = None
    """Why a file that is there, still or now found, was not deleted, in words."""


def list_models() -> tuple[tuple[ModelEntry, ...], tuple[InputError, ...]]:
    """Every known model by name, and what was wrong with the cards that cannot be read.

    Reads cards and file sizes, no weights.
    """
    catalog = read_catalog()
    entries = tuple(
        ModelEntry(card, catalog.card_files[name], _state(card), place_of(card.weights))
        for name, card in catalog.cards.items()
    )
    return entries, tuple(catalog.problems.values())


def place_of(weights: Path) -> Place:
    """Whose store a file lies in."""
    if paths.in_shared(weights):
        return "shared"
    return "own" if weights.parent == paths.weights_folder() else "elsewhere"


def add_model(
    path: Path,
    *,
    name: str | None = None,
    parent: ModelCard | None = None,
    progress: Progress = no_progress,
) -> ModelCard:
    """Register the GGUF file of a model or an adapter where it lies. Hashes it once, which takes
    about a second per GB.

    Args:
        path: the file. It stays the user's, in the store's folder, too; unless it has a
            ``parent``, for then localprompt made it, and removing the model deletes it.
        name: the name to use; None derives it from the file's.
        parent: for a quantized child: whose card gives licence and lineage.
        progress: told of the hashing, stage ``verify``.

    Raises:
        ModelFileError: no GGUF, damaged, or no language model.
        InputError: the name is taken or cannot be a name.
        MachineError, NotEnoughDiskError: the registration cannot be written.
    """
    path = doors.expand_user(path).absolute()
    if is_adapter_file(path):
        return _add_adapter(path, name, progress)
    info = inspect_model(path)
    if known_sha256(path) is None:
        check_vocabulary(path)
    name = _free_name(name or name_from(path), path, read_catalog())
    sha256 = sha256_of(path, progress=lambda done, total: progress("verify", done, total))
    in_store = path.parent == paths.weights_folder() and re.match(FILE_PATTERN, path.name)
    ours = in_store and parent is not None
    card = ModelCard(
        name=name,
        file=path.name if in_store else f"{name}.gguf",
        sha256=sha256,
        size_bytes=info.size_bytes,
        licence=parent.licence if parent else Licence(name=info.licence or "unknown"),
        description=_description(info, parent),
        chat=info.chat_template is not None,
        parent_sha256=parent.sha256 if parent else None,
        path=None if ours else str(path),
    )
    folder = paths.weights_folder()
    with disk_errors_explained(folder):
        write_card(card, folder / f"{name}.toml")
    return card


def _add_adapter(path: Path, name: str | None, progress: Progress) -> ModelCard:
    head = read_adapter(path)
    name = _free_name(name or name_from(path), path, read_catalog())
    made_for = head.base or f"models of architecture {head.architecture}"
    card = ModelCard(
        name=name,
        file=f"{name}.gguf",
        sha256=sha256_of(path, progress=lambda done, total: progress("verify", done, total)),
        size_bytes=head.size_bytes,
        licence=Licence(name=head.licence or "unknown"),
        description=f"LoRA adapter of rank {head.rank} for {made_for}; added from a file.",
        kind="adapter",
        path=str(path),
    )
    folder = paths.weights_folder()
    with disk_errors_explained(folder):
        write_card(card, folder / f"{name}.toml")
    return card


def verify_model(name: str, *, progress: Progress = no_progress) -> ModelCard:
    """Hash a model's weights anew and compare with its card.

    Raises:
        UnknownNameError: no such model.
        ModelMissingError: its weights are not here.
        ChecksumError: size or sha256 differ.
        MachineError: the file cannot be read.
    """
    card = find_card(name)
    weights = card.weights
    try:
        size = total_bytes(weights)
    except OSError as cause:
        raise missing(card, cause.filename) from None
    if size != card.size_bytes:
        raise mismatch(card, f"{card.size_bytes} bytes", f"{size} bytes")
    try:
        found = sha256_of(
            weights, progress=lambda done, total: progress("verify", done, total), fresh=True
        )
    except OSError as cause:
        raise MachineError(
            "the weights cannot be read", where=str(weights), found=cause.strerror
        ) from cause
    if found != card.sha256:
        raise mismatch(card, f"sha256 {card.sha256}", f"sha256 {found}")
    return card


def remove_model(name: str) -> Removal:
    """Delete a model's weights from the store, or forget a file that was added.

    The weights stay where they are the user's, another card's as well, or not what the card says;
    and in the shared store, unless that is the home now (:func:`files.for_all_users`).

    Raises:
        UnknownNameError: no such model.
        ModelMissingError: there is nothing to remove.
        InputError: all that there is are weights that another model uses.
        MachineError: a file cannot be deleted.
    """
    card = find_card(name)
    store = paths.weights_folder()
    card_file = read_catalog().card_files[card.name]
    registered = card_file == store / f"{card.name}.toml" and not card.sources
    reason = _why_kept(card, card_file)
    where = card.weights
    freed, deletes = 0, reason is None and os.path.lexists(where)
    if not deletes and not registered:
        raise _nothing_to_remove(card, reason)
    with disk_errors_explained(store):
        if deletes:
            freed = where.lstat().st_size
            where.unlink()
        if registered:
            card_file.unlink(missing_ok=True)
    if deletes and paths.in_shared(card.weights):  # what is found now
        reason = IN_SHARED
    return Removal(card, deletes, freed, reason)


def _why_kept(card: ModelCard, card_file: Path) -> str | None:
    """Why the file of a card is not to be deleted; None where it may be, or is not there."""
    if not os.path.lexists(card.weights):
        return None
    if paths.in_shared(card.weights):
        return IN_SHARED
    if others := others_using(card.weights, card_file):
        return f"{', '.join(others[:3])} {'uses' if len(others) == 1 else 'use'} it"
    if card.path is not None:
        return "it is yours"
    return "it is not the file that the card describes" if _state(card) == "damaged" else None


def _nothing_to_remove(card: ModelCard, reason: str | None) -> LocalPromptError:
    if reason is None:
        return ModelMissingError(
            f"the store has nothing of {card.name}",
            where=str(paths.weights_folder()),
            next_step="localprompt models list",
        )
    if reason == IN_SHARED:
        return InputError(
            f"the weights of {card.name} are not deleted: {reason}",
            where=str(card.weights),
            next_step=f"localprompt models remove {card.name} --system, as who keeps that store",
        )
    return InputError(
        f"the weights of {card.name} are not deleted: {reason}",
        where=str(card.weights),
        next_step="localprompt models list, then models remove what uses it; or delete the file",
    )


def _state(card: ModelCard) -> State:
    try:
        resolve_card(card)
    except ModelMissingError:
        return "missing"
    except ChecksumError:
        return "damaged"
    return "present"


def name_from(path: Path) -> str:
    """What a model is called whose file nobody named: ``Some Model.GGUF`` → ``some-model``."""
    stem = path.stem if path.suffix.lower() == ".gguf" else path.name
    stem = re.sub(r"-00001-of-\d{5}$", "", stem)  # the first part of several
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:100] or "model"


def _free_name(name: str, path: Path, catalog: Catalog) -> str:
    """The name, if it can be one and no other model has it; adding a file again is fine."""
    quoted = shlex.quote(str(path))
    if not re.match(NAME_PATTERN, name):
        raise InputError(
            "not a valid name for a model",
            where="--name",
            expected="lower-case letters, digits, dots, dashes and underscores",
            found=name,
            next_step=f"localprompt models add {quoted} --name {name_from(Path(name))}",
        )
    if not str(path).isprintable():
        raise InputError(
            "the path of the file cannot be written into a card",
            where=repr(str(path)),
            expected="a path without control characters and undecodable bytes",
        )
    taken = catalog.find(name)
    if taken is not None and (taken.weights != path or taken.sources):
        raise InputError(
            f"another model is already called {name}",
            where=str(taken.weights),
            next_step=f"localprompt models add {quoted} --name {name}-2",
        )
    return name


def _description(info: ModelInfo, parent: ModelCard | None) -> str:
    if parent is not None:
        return f"{parent.name}, quantized to {info.file_type}."
    return f"{info.name or Path(info.path).stem}, {info.file_type}; added from a file."
