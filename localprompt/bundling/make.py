"""Making a bundle: everything is gathered first, then written once, then renamed.

The archive grows under a name that nobody looks for; only complete, on the disk and with every
file as the manifest describes it does it get its own. A weight file that changes between its
hashing and its copying is noticed. Files are copied in pieces, however large they are.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import BinaryIO

import msgspec

import localprompt
from localprompt import doors, paths
from localprompt.bundling import archive, licences, rules, signing
from localprompt.bundling.contents import (
    PackedModel,
    Piece,
    pack_model,
    prompt_pieces,
    suite_pieces,
    text_piece,
)
from localprompt.bundling.manifest import encode
from localprompt.bundling.rules import DIGEST, MANIFEST, SIGNATURE, digest_line
from localprompt.bundling.sbom import sbom_piece
from localprompt.bundling.wheels import Wheels, WheelsWanted, check_wanted, collect
from localprompt.errors import ChecksumError, InputError, MachineError
from localprompt.files import check_free_disk, disk_errors_explained, staging, sync
from localprompt.models.receiver import Progress, no_progress
from localprompt.records.bundle import BundleFile, Manifest
from localprompt.records.run import RunWarning
from localprompt.units import GIB

_ELSEWHERE = "free some space, or write to another disk"
_WHEELS_BYTES = GIB
"""Room for fetching and building wheels: 330 MB were needed, and compiling takes more."""
_HERE = Path(__file__).resolve().parent
_INSTALLER = (
    "localprompt/__init__.py",
    "localprompt/bundling/__init__.py",
    "localprompt/bundling/on_target.py",
    "localprompt/bundling/rules.py",
    "localprompt/errors.py",
)
"""What runs before localprompt is installed, with its own names."""
_INSTALLER_MAIN = """\
import sys
from pathlib import Path

from localprompt.bundling.on_target import main

sys.exit(main(Path(__file__).resolve().parent.parent, sys.argv[1:]))
"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a user asked for."""

    output: Path
    models: tuple[str, ...] = ()
    """Names, or paths of GGUF files."""
    prompts: tuple[Path, ...] = ()
    suites: tuple[Path, ...] = ()
    wheels: WheelsWanted | None = None
    """None: without the program."""
    sign_with: Path | None = None
    """An Ed25519 private key."""
    licence_texts: tuple[str, ...] = ()
    """NAME=FILE."""


class Made(msgspec.Struct, frozen=True):
    """A bundle that is there."""

    path: Path
    manifest: Manifest
    size_bytes: int
    sha256: str
    """Of the archive."""
    warnings: tuple[RunWarning, ...]


def make(
    wanted: Wanted,
    *,
    progress: Progress = no_progress,
    say: Callable[[str], None] = lambda _: None,
) -> Made:
    """Write a bundle.

    Args:
        wanted: what goes into it, and where to.
        progress: told of hashing, stage ``verify``, and of writing, stage ``bundle``.
        say: told in words what takes long.

    Raises:
        InputError: nothing to bundle, or a part cannot be found or is broken.
        NotEnoughDiskError: there is no room for it; nothing was written.
        ChecksumError: weights are not those of their card, or changed while they were copied.
        FetchError, MachineError: wheels are not available, or the archive cannot be written.
    """
    output = wanted.output.expanduser().absolute()
    _check_output(output)
    if wanted.wheels is not None:
        check_wanted(wanted.wheels)
    models = [pack_model(name, progress) for name in dict.fromkeys(wanted.models)]
    texts = licences.licence_texts(wanted.licence_texts, models)
    own = [
        *chain.from_iterable(model.pieces for model in models),
        *prompt_pieces(wanted.prompts),
        *suite_pieces(wanted.suites),
    ]
    if not own and wanted.wheels is None:
        raise InputError(
            "nothing to bundle",
            expected="models, --prompts, --suites or --with-wheels",
            next_step="localprompt models bundle smollm2-135m --with-wheels -o kit.tar",
        )
    with _wheels(wanted.wheels, say) as wheels:
        terms = list(licences.model_pieces(models, texts))
        pieces = [*own, *(item for item in terms if isinstance(item, Piece))]
        pieces.append(sbom_piece(models, wheels.wheels if wheels else ()))
        pieces += _program(wheels) if wheels else ()
        manifest = _manifest(models, pieces, wheels)
        sha256, size = _write(wanted, output, manifest, pieces, progress)
    warnings = tuple(item for item in terms if isinstance(item, RunWarning))
    return Made(output, manifest, size, sha256, warnings)


def _check_output(output: Path) -> None:
    if doors.is_folder(output) or not doors.is_folder(output.parent):
        raise InputError(
            "the bundle cannot be written there",
            where=f"-o {output}",
            expected="a file in a folder that exists",
            found="a folder" if doors.is_folder(output) else f"no folder {output.parent}",
        )
    if not rules.is_safe_path(output.stem) or len(output.stem.encode()) > 40:
        raise InputError(
            "the bundle's file name cannot be used as the name of its folder",
            where=f"-o {output.name}",
            expected="at most 40 plain characters, as kit.tar",
        )


@contextmanager
def _wheels(wanted: WheelsWanted | None, say: Callable[[str], None]) -> Iterator[Wheels | None]:
    """The wheels, in a folder that is gone when the block ends."""
    if wanted is None:
        yield None
        return
    store = paths.weights_folder()
    with disk_errors_explained(store), staging(store, "bundle", "bundle") as folder:
        check_free_disk(folder, _WHEELS_BYTES, "the wheels", next_step=_ELSEWHERE)
        yield collect(wanted, folder / "work", say)


def _program(wheels: Wheels) -> Iterator[Piece]:
    """Wheels, their licences, and what installs them."""
    yield from (wheel.piece for wheel in wheels.wheels)
    yield from licences.wheel_pieces(wheels.wheels)
    yield wheels.requirements
    for module in _INSTALLER:
        code = (_HERE.parent.parent / module).read_bytes()
        yield text_piece(f"install/{module}", code)
    yield text_piece("install/__main__.py", _INSTALLER_MAIN.encode())
    script = (_HERE / "install.sh").read_text(encoding="utf-8")
    script = script.replace("@PYTHON@", wheels.target.python)
    yield text_piece("install.sh", script.encode(), executable=True)


def _manifest(
    models: Iterable[PackedModel], pieces: list[Piece], wheels: Wheels | None
) -> Manifest:
    pieces.sort(key=lambda piece: piece.path)
    for one, other in pairwise(pieces):
        if one.path.casefold() == other.path.casefold():
            raise InputError(
                "two files would get the same path in the bundle",
                where=one.path,
                found=" and ".join(_origin(piece) for piece in (one, other)),
                next_step="bundle one of them, or rename it",
            )
    return Manifest(
        localprompt=localprompt.__version__,
        models=tuple(model.record for model in models),
        target=wheels.target if wheels else None,
        llama_builds=wheels.llama_builds if wheels else (),
        files=tuple(BundleFile(p.path, p.size_bytes, p.sha256, p.executable) for p in pieces),
    )


def _write(
    wanted: Wanted, output: Path, manifest: Manifest, pieces: list[Piece], progress: Progress
) -> tuple[str, int]:
    """The archive, complete and under its name; its sha256 and size."""
    encoded = encode(manifest)
    first = [text_piece(MANIFEST, encoded), text_piece(DIGEST, digest_line(encoded))]
    if wanted.sign_with is not None:
        first.append(text_piece(SIGNATURE, signing.sign(encoded, wanted.sign_with)))
    everything = [*first, *pieces]
    total = archive.archive_bytes(piece.size_bytes for piece in everything)
    with disk_errors_explained(output.parent), _draft(output) as (draft, file):
        check_free_disk(output.parent, total, output.name, next_step=_ELSEWHERE)
        writer = _Writer(file, total, progress)
        for piece in everything:
            writer.add(f"{output.stem}/{piece.path}", piece)
        writer.write(archive.END)
        file.flush()
        sync(draft)
        draft.replace(output)
    return writer.digest.hexdigest(), total


@contextmanager
def _draft(output: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """The archive while it is incomplete, for one process at a time; gone when the block ends.

    What a kill leaves is taken over, and overwritten, by the next one of the same name.
    """
    draft = output.with_name(f".{output.name}.incomplete")
    with draft.open("ab") as file:
        if not _is_ours(file, draft):
            raise MachineError("this bundle is being written by another process", where=str(output))
        try:
            os.ftruncate(file.fileno(), 0)
            yield draft, file
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _is_ours(file: BinaryIO, draft: Path) -> bool:
    """Locked, and still what lies there: another process may just have renamed it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), draft.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


class _Writer:
    """Appends files to the archive, hashing both."""

    def __init__(self, file: BinaryIO, total: int, progress: Progress) -> None:
        self.digest = hashlib.sha256()
        self._file = file
        self._total = total
        self._done = 0
        self._progress = progress

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self._done += len(data)
        self._progress("bundle", self._done, self._total)

    def add(self, path: str, piece: Piece) -> None:
        """A file; what is copied has to be what was hashed."""
        self.write(archive.header(path, piece.size_bytes, executable=piece.executable))
        digest, size = hashlib.sha256(), 0
        for chunk in _chunks(piece.content):
            digest.update(chunk)
            size += len(chunk)
            self.write(chunk)
        if (size, digest.hexdigest()) != (piece.size_bytes, piece.sha256):
            raise ChecksumError(
                "a file was changed while it was bundled",
                where=_origin(piece),
                expected=f"sha256 {piece.sha256}",
                found=f"sha256 {digest.hexdigest()}",
                next_step="for weights: localprompt models verify NAME; then bundle again",
            )
        self.write(archive.padding(size))


def _origin(piece: Piece) -> str:
    return str(piece.content) if isinstance(piece.content, Path) else piece.path


def _chunks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(archive.CHUNK_BYTES):
            yield chunk
