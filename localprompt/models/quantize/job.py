"""What will be made of what: names and types checked before anything is started.

The new model is called ``<parent>-<type>``. A card of its own says whose child it is (the parent's
sha256) and under what licence (the parent's). So that this is true, the parent's weights are hashed
here, unless that was done before.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec

from localprompt import paths
from localprompt.errors import InputError, UnknownNameError
from localprompt.gguf.header import GgufFile
from localprompt.gguf.splits import read_model
from localprompt.gguf.tensor_types import FILE_TYPES
from localprompt.models.cards import ModelCard, read_catalog
from localprompt.models.checksum import sha256_of
from localprompt.models.inspect import ModelInfo, describe
from localprompt.models.ownership import check_may_be_replaced
from localprompt.models.receiver import Progress, no_progress
from localprompt.models.resolve import ResolvedModel, mismatch, resolve
from localprompt.models.store import name_from
from localprompt.records.model import Licence
from localprompt.records.run import RunWarning

# llama.cpp runs NVFP4 files, and makes none.
FILE_TYPE_IDS = {name: number for number, name in FILE_TYPES.items() if name != "NVFP4"}
"""The file types that llama.cpp makes, by name: its ``enum llama_ftype``."""
FULL_TYPES = frozenset({"F32", "F16", "BF16"})
"""The types that are not quantized."""

_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
_LONGEST_NAME = 100


class Job(msgspec.Struct, frozen=True):
    """One quantization, checked and not begun."""

    parent: ModelCard
    """Of a file that no card describes: made up from the file, and not written anywhere."""
    source: Path
    source_type: str
    head: GgufFile
    """Of the source."""
    name: str
    """What the new model will be called."""
    file_type: str
    target: Path
    """Where its weights will be."""
    warnings: tuple[RunWarning, ...]


def prepare(model: str, to: str, *, force: bool = False, progress: Progress = no_progress) -> Job:
    """Check that a model can be quantized to a type.

    Args:
        model: a name or the path of a GGUF file.
        to: a file type by llama.cpp's name, in any case.
        force: make it even where there is one already.
        progress: told of the hashing of the parent, stage ``verify``.

    Raises:
        UnknownNameError: no such model, or no such type; with the nearest names.
        InputError: the model is of that type, or there is a model of the new one's name.
        ModelMissingError, ModelFileError, ChecksumError: the parent is not here, damaged, or not
            what its card says.
    """
    file_type = file_type_named(to, "--to")
    resolved = resolve(model)
    head = read_model(resolved.path)
    info = describe(head)
    if info.file_type == file_type:
        raise InputError(
            f"{resolved.name} is {file_type} already",
            where=str(resolved.path),
            next_step=f"localprompt models show {shlex.quote(model)}, or another --to",
        )
    stem = resolved.card.name if resolved.card else name_from(resolved.path)
    suffix = f"-{file_type.lower()}"
    name = stem[: _LONGEST_NAME - len(suffix)] + suffix
    target = paths.weights_folder() / f"{name}.gguf"
    again = f"localprompt models quantize {shlex.quote(model)} --to {file_type.lower()} --force"
    _check_free(name, target, again, force)
    return Job(
        parent=_parent(resolved, stem, info, progress),
        source=resolved.path,
        source_type=info.file_type,
        head=head,
        name=name,
        file_type=file_type,
        target=target,
        warnings=_warnings(stem, info, file_type),
    )


def file_type_named(to: str, where: str = "--types") -> str:
    """llama.cpp's name of a file type that it makes, given in any case or by an alias.

    Raises:
        UnknownNameError: it makes none of that name; with the nearest.
    """
    wanted = to.strip().upper()
    wanted = _ALIASES.get(wanted, wanted)
    if wanted in FILE_TYPE_IDS:
        return wanted
    import difflib

    names = [*FILE_TYPE_IDS, *_ALIASES]
    nearest = difflib.get_close_matches(wanted, names, n=4, cutoff=0.5)
    raise UnknownNameError(
        f"llama.cpp cannot quantize to {to!r}",
        nearest=tuple(name.lower() for name in nearest),
        where=where,
        next_step=f"one of {', '.join(name.lower() for name in FILE_TYPE_IDS)}",
    )


def _check_free(name: str, target: Path, again: str, force: bool) -> None:
    """The name is free, or it is the name of what an earlier quantization made."""
    taken = read_catalog().find(name)
    elsewhere = "give the model another name: localprompt models add PATH --name NAME"
    if taken is None:
        check_may_be_replaced(target, name, way_out=elsewhere)
        return
    if taken.weights != target or taken.sources:
        raise InputError(
            f"another model is already called {name}",
            where=str(taken.weights),
            next_step=f"localprompt models show {name}",
        )
    if not force and target.exists():
        raise InputError(
            f"{name} exists already",
            where=str(target),
            next_step=f"localprompt ask -m {name} 'Hello.', or to make it again: {again}",
        )
    check_may_be_replaced(target, name, way_out=elsewhere)


def _parent(resolved: ResolvedModel, name: str, info: ModelInfo, progress: Progress) -> ModelCard:
    sha256 = sha256_of(resolved.path, progress=lambda done, total: progress("verify", done, total))
    card = resolved.card
    if card is None:
        return ModelCard(
            name=name,
            file=f"{name}.gguf",
            sha256=sha256,
            size_bytes=info.size_bytes,
            licence=Licence(name=info.licence or "unknown"),
            path=str(resolved.path),
        )
    if card.sha256 != sha256:
        raise mismatch(card, f"sha256 {card.sha256}", f"sha256 {sha256}")
    return card


def _warnings(parent: str, info: ModelInfo, file_type: str) -> tuple[RunWarning, ...]:
    if all(share.type in FULL_TYPES for share in info.tensor_types):
        return ()
    if file_type in FULL_TYPES:
        return (
            RunWarning(
                "unpacked",
                f"{parent} is quantized ({info.file_type}): as {file_type} it takes more memory "
                "and does not get back what was lost",
                "use it for comparisons and for training, not to answer better",
            ),
        )
    return (
        RunWarning(
            "quantized_twice",
            f"{parent} is already quantized ({info.file_type}): quality is lost a second time",
            f"quantize the F16 or F32 original where you have it: "
            f"localprompt models quantize PATH --to {file_type.lower()}",
        ),
    )
