"""What a user names → the files of a bundle: weights with their cards, prompts, suites.

A folder goes along whole. A single suite or prompt brings what it refers to: every text in it that
names a file below its own folder, followed further through what it names. A ``file://`` or
``${file:…}`` that leads nowhere is an error here, where it can still be mended, and not behind the
air gap.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from localprompt import doors
from localprompt.bundling.manifest import HOME, check_path
from localprompt.errors import DatasetError, InputError, MachineError
from localprompt.gguf.splits import parts_of
from localprompt.models.cards import ModelCard, card_text
from localprompt.models.checksum import sha256_of
from localprompt.models.inspect import inspect_model
from localprompt.models.receiver import Progress
from localprompt.models.resolve import ResolvedModel, mismatch, resolve
from localprompt.models.store import name_from
from localprompt.records.bundle import BundledModel
from localprompt.records.model import Licence
from localprompt.sources.documents import load_json
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.yaml import read_yaml

_READABLE = frozenset({".yaml", ".yml", ".json", ".jsonl", ".csv", ".tsv", ".prompty", ".txt"})
_STRUCTURED = frozenset({".yaml", ".yml", ".json", ".prompty"})
_REFERENCE = re.compile(r"file://([^\s\"'`,;}\]]+)|\$\{file:([^}]+)\}")
_MOST_BYTES = 4 * 1024**2
"""Of a file that is searched for references; larger ones are data."""


class Piece(msgspec.Struct, frozen=True):
    """One file that will be in the bundle."""

    path: str
    content: Path | bytes
    size_bytes: int
    sha256: str
    executable: bool = False


class PackedModel(msgspec.Struct, frozen=True):
    """A model as it will be in the bundle."""

    card: ModelCard
    """As it will be on the other side: with its weights in the store."""
    source: Path
    """Its weights here."""
    pieces: tuple[Piece, ...]

    @property
    def record(self) -> BundledModel:
        return BundledModel(self.card.name, self.card.licence)


def text_piece(path: str, content: bytes, *, executable: bool = False) -> Piece:
    """A file whose content was made here."""
    digest = hashlib.sha256(content).hexdigest()
    return Piece(path, content, len(content), digest, executable)


def file_piece(path: str, source: Path) -> Piece:
    """A file from the disk, hashed.

    Raises:
        InputError: its name cannot be one of a bundle.
        MachineError: it cannot be read.
    """
    try:
        check_path(path, str(source))
    except MachineError as error:
        raise InputError(
            "this file's name cannot be carried in a bundle",
            where=str(source),
            expected=error.expected,
            found=error.found,
        ) from error
    try:
        with doors.open_file(source) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Piece(path, source, source.stat().st_size, digest)
    except OSError as cause:
        raise MachineError(
            "a file cannot be read", where=str(source), found=cause.strerror
        ) from cause


def pack_model(name: str, progress: Progress) -> PackedModel:
    """A model's weights and the card that describes them on the other side.

    Args:
        name: a name or the path of a GGUF file.
        progress: told of the hashing of weights that were not hashed before, stage ``verify``.

    Raises:
        UnknownNameError, ModelMissingError, ModelFileError, InputError: it cannot be found or read.
        ChecksumError: the weights are not those of the card.
    """
    found = resolve(name)
    if len(parts := parts_of(found.path)) > 1:
        merged = f"{name_from(found.path)}.gguf"
        raise InputError(
            f"{found.name} is in {len(parts)} files, but a bundle only takes models in one file",
            where=str(found.path),
            next_step=f"llama-gguf-split --merge {shlex.quote(str(found.path))} {merged}, "
            f"then bundle {merged}",
        )
    sha256 = sha256_of(found.path, progress=lambda done, total: progress("verify", done, total))
    card = _portable(found, sha256)
    weights = Piece(f"{HOME}models/{card.file}", found.path, card.size_bytes, sha256)
    described = text_piece(f"{HOME}models/{card.name}.toml", card_text(card).encode())
    return PackedModel(card, found.path, (weights, described))


def _portable(found: ResolvedModel, sha256: str) -> ModelCard:
    """The card, for weights in the store of another machine."""
    card = found.card or _made_up(found.path, sha256)
    if card.sha256 != sha256:
        raise mismatch(card, f"sha256 {card.sha256}", f"sha256 {sha256}")
    return msgspec.structs.replace(card, path=None)


def _made_up(path: Path, sha256: str) -> ModelCard:
    """A card for a file that none describes."""
    info = inspect_model(path)
    name = name_from(path)
    return ModelCard(
        name=name,
        file=f"{name}.gguf",
        sha256=sha256,
        size_bytes=info.size_bytes,
        licence=Licence(name=info.licence or "unknown"),
        description=f"{info.name or name}, {info.file_type}; added from a file.",
        chat=info.chat_template is not None,
    )


def prompt_pieces(places: Iterable[Path]) -> Iterator[Piece]:
    """The files of prompt folders or single prompts; each prompt is read, to see that it can be.

    Raises:
        InputError: there is nothing there, or a prompt is broken.
    """
    for place in places:
        for piece in _pieces(place, "prompts", "--prompts"):
            if piece.path.endswith(".prompty") and isinstance(piece.content, Path):
                load_prompt(piece.content)
            yield piece


def suite_pieces(places: Iterable[Path]) -> Iterator[Piece]:
    """The files of suite folders, or of single suites with what they refer to.

    Raises:
        InputError: there is nothing there, or a reference leads nowhere.
    """
    for place in places:
        yield from _pieces(place, "benchmarks", "--suites")


def _pieces(place: Path, folder: str, option: str) -> Iterator[Piece]:
    if doors.is_folder(place):
        root, files = place, sorted(_tree(place))
        if not files:
            raise InputError("the folder is empty", where=f"{option} {place}")
    elif doors.is_file(place):
        root, files = place.parent, sorted(_with_references(place))
    else:
        raise InputError(
            "no such file or folder",
            where=f"{option} {place}",
            next_step=f"a folder, as {option} {folder}/",
        )
    for path in files:
        yield file_piece(f"{HOME}{folder}/{path.relative_to(root).as_posix()}", path)


def _tree(folder: Path) -> Iterator[Path]:
    """The files below, but for hidden ones, what Python leaves behind and links to folders."""
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            if not path.is_symlink():
                yield from _tree(path)
        elif path.is_file():
            yield path


def _with_references(start: Path) -> set[Path]:
    """A file, the files below its folder that it names, and so on."""
    root = start.parent.resolve()
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if path.suffix.lower() in _READABLE and path.stat().st_size <= _MOST_BYTES:
            waiting += _named_in(path, root)
    return found


def _named_in(path: Path, root: Path) -> list[Path]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    named: list[Path] = []
    explicit = {(match[1] or match[2]).strip() for match in _REFERENCE.finditer(text)}
    for reference in sorted(explicit):
        if "{{" in reference or "://" in reference:
            continue
        files = _files(path.parent, reference)
        outside = [file for file in files if not file.resolve().is_relative_to(root)]
        if outside or not files:
            raise InputError(
                f"the reference {reference!r} leads {'outside' if outside else 'nowhere'}",
                where=str(path),
                expected=f"a file below {root}",
                next_step="bundle the folder that holds all of it",
            )
        named += files
    if path.suffix.lower() in _STRUCTURED:
        for word in _words(path, text):
            inside = [f for f in _files(path.parent, word) if f.resolve().is_relative_to(root)]
            named += inside
    return named


def _files(folder: Path, reference: str) -> list[Path]:
    """The files that a reference stands for; ``:name`` and ``#sheet`` behind it are no part."""
    reference = reference.removeprefix("file://")
    if not reference or len(reference) > 240 or "\n" in reference or "\0" in reference:
        return []
    if doors.has_pattern(reference):
        return doors.matching(folder, reference, where=f"{folder}: {reference}")
    candidates = (reference, re.split(r"[:#]", reference, maxsplit=1)[0])
    return next(
        ([folder / name] for name in candidates if name and doors.is_file(folder / name)), []
    )


def _words(path: Path, text: str) -> Iterator[str]:
    """Every text value of a YAML or JSON document, or of a prompt's front matter."""
    if path.suffix.lower() == ".prompty":
        text = text.split("---", 2)[1] if text.startswith("---") and text.count("---") > 1 else ""
    is_json = path.suffix.lower() == ".json"
    try:
        data = load_json(text, str(path)) if is_json else read_yaml(text, str(path)).data
    except DatasetError as cause:
        raise InputError(cause.message, where=cause.where, found=cause.found) from cause
    yield from _leaves(data)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
