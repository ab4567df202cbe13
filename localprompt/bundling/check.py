"""Reading a bundle, archive or folder, and believing nothing that was not checked.

The manifest comes first. Every other file has to be named in it, once, with its size, before a byte
of it is used, and has its sha256 compared when it has been read. Both forms go through one loop;
what becomes of the bytes is up to a sink.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from localprompt import doors
from localprompt.bundling import rules
from localprompt.bundling.agreement import check_agreement, speaks_of_others
from localprompt.bundling.archive import CHUNK_BYTES, Member, members
from localprompt.bundling.manifest import MOST_BYTES, check_path, decode
from localprompt.bundling.rules import DIGEST, MANIFEST, SIGNATURE, digest_line
from localprompt.bundling.signing import SIGNATURE_BYTES, check_signature
from localprompt.errors import ChecksumError, InputError, MachineError
from localprompt.models.receiver import Progress, no_progress
from localprompt.records.bundle import BundleFile, Manifest

Sink = Callable[[BundleFile], AbstractContextManager[BinaryIO | None]]
"""Where a file's bytes go; None where they are only checked."""
Begin = Callable[[Manifest], None]
"""Called once with the manifest, before any file is read."""


class Opened:
    """A bundle that was read to its end, and found to be what its manifest says."""

    def __init__(self, manifest: Manifest, *, signed: bool, signer: str | None) -> None:
        self.manifest = manifest
        self.signed = signed
        """Whether there is a signature."""
        self.signer = signer
        """The fingerprint of the key that it was checked with; None where none was given."""


def read_bundle(
    path: Path,
    *,
    key: Path | None = None,
    begin: Begin = lambda _: None,
    sink: Sink = lambda _: nullcontext(),
    progress: Progress = no_progress,
) -> Opened:
    """Read a bundle to its end and check all of it.

    Args:
        path: the archive, or the folder that it was unpacked into.
        key: a public key; with it the bundle has to be signed by its owner.
        begin: called with the manifest, before any file is read; may raise.
        sink: opened for each file; what it gets is not checked before the block ends.
        progress: told of the bytes of the files, stage ``verify``.

    Raises:
        InputError: there is nothing at this path, or the key is none.
        ChecksumError: a file differs from the manifest (and is named), the signature does, or
            files that speak of others (cards, the bill of materials) are about other ones.
        MachineError: it is no bundle, is damaged, or contains what no bundle may.
    """
    with _members(path) as found:
        first = next(found, None)
        if first is None or first.path != MANIFEST or first.size_bytes > MOST_BYTES:
            raise MachineError(
                "not a localprompt bundle",
                where=str(path),
                expected=f"an archive that begins with {MANIFEST}",
                found=first.path if first else "nothing",
            )
        encoded = b"".join(first.chunks)
        _check_digest(encoded, next(found, None), path)
        manifest = decode(encoded, str(path))
        second = next(found, None)
        signature = None
        if second is not None and second.path == SIGNATURE:
            signature = _signature(second, path)
            second = next(found, None)
        signer = _check_signer(encoded, signature, key, path)
        begin(manifest)
        expected = {file.path: file for file in manifest.files}
        reading = _Reading(path, manifest.total_bytes, progress)
        while second is not None:
            file = _expected(second, expected, path)
            with sink(file) as target:
                reading.copy(second, file, target)
            second = next(found, None)
        if expected:
            raise ChecksumError(
                "a file of the bundle is missing",
                where=f"{path}: {min(expected)}",
                next_step="copy the bundle again",
            )
    check_agreement(manifest, reading.texts, str(path))
    return Opened(manifest, signed=signature is not None, signer=signer)


def _expected(member: Member, expected: dict[str, BundleFile], path: Path) -> BundleFile:
    check_path(member.path, str(path))
    file = expected.pop(member.path, None)
    if file is None:
        raise MachineError(
            "the bundle contains a file that its manifest does not list, or contains it twice",
            where=f"{path}: {member.path}",
        )
    if file.size_bytes != member.size_bytes:
        raise ChecksumError(
            "a file in the bundle has a different size than its manifest says",
            where=f"{path}: {member.path}",
            expected=f"{file.size_bytes} bytes",
            found=f"{member.size_bytes} bytes",
        )
    if member.executable is not None and member.executable != file.executable:
        raise ChecksumError(
            "a file in the bundle has a different mode than its manifest says",
            where=f"{path}: {member.path}",
            expected="a program" if file.executable else "no program",
        )
    return file


class _Reading:
    """Copies files to where they go, checks them, and keeps what speaks of other files."""

    def __init__(self, path: Path, total: int, progress: Progress) -> None:
        self.texts: dict[str, bytes] = {}
        self._path = path
        self._total = total
        self._done = 0
        self._progress = progress

    def copy(self, member: Member, file: BundleFile, target: BinaryIO | None) -> None:
        """
        Raises:
            ChecksumError: the file is not the one of the manifest.
        """
        digest, size = hashlib.sha256(), 0
        kept: list[bytes] | None = [] if speaks_of_others(file.path) else None
        if kept is not None and file.size_bytes > MOST_BYTES:
            raise MachineError(
                "a file in the bundle is larger than such a file can be",
                where=f"{self._path}: {file.path}",
                expected=f"at most {MOST_BYTES:,} bytes",
            )
        for chunk in member.chunks:
            size += len(chunk)
            digest.update(chunk)
            if kept is not None:
                kept.append(chunk)
            if target is not None:
                target.write(chunk)
            self._progress("verify", self._done + size, self._total)
        if digest.hexdigest() != file.sha256 or size != file.size_bytes:
            raise ChecksumError(
                "a file of the bundle is damaged",
                where=f"{self._path}: {file.path}",
                expected=f"sha256 {file.sha256}",
                found=f"sha256 {digest.hexdigest()}",
                next_step="copy the bundle again, and compare its sha256 with the original's",
            )
        self._done += size
        if kept is not None:
            self.texts[file.path] = b"".join(kept)


def _check_digest(manifest: bytes, member: Member | None, path: Path) -> None:
    right = digest_line(manifest)
    same = member is not None and (member.path, member.size_bytes) == (DIGEST, len(right))
    if member is None or not same or b"".join(member.chunks) != right:
        raise ChecksumError(
            "the bundle's manifest is damaged",
            where=f"{path}: {MANIFEST}",
            expected=f"the sha256 in {DIGEST}",
            next_step="copy the bundle again, and compare its sha256 with the original's",
        )


def _signature(member: Member, path: Path) -> bytes:
    if member.size_bytes != SIGNATURE_BYTES:
        raise MachineError(
            "the bundle's signature is not a signature", where=f"{path}: {member.path}"
        )
    return b"".join(member.chunks)


def _check_signer(
    manifest: bytes, signature: bytes | None, key: Path | None, path: Path
) -> str | None:
    if key is None:
        return None
    if signature is None:
        raise ChecksumError(
            "the bundle is not signed",
            where=str(path),
            expected=f"a signature by {key}",
            next_step="ask its sender, or leave out --key and compare the archive's sha256",
        )
    return check_signature(manifest, signature, key, str(path))


@contextmanager
def _members(path: Path) -> Iterator[Iterator[Member]]:
    """The files of a bundle with their paths inside it, the manifest first."""
    if doors.is_folder(path):
        yield _in_folder(path)
        return
    try:
        file = doors.open_file(path)
    except OSError as cause:
        raise InputError(
            "the bundle cannot be opened", where=str(path), found=cause.strerror
        ) from cause
    with file:
        yield _in_archive(file, path)


def _in_archive(file: BinaryIO, path: Path) -> Iterator[Member]:
    """All files have to lie in one folder, whose name does not matter."""
    top: str | None = None
    for member in members(file, path):
        folder, slash, inside = member.path.partition("/")
        check_path(folder, str(path))
        if not slash or (top is not None and folder != top):
            raise MachineError(
                "the archive's files are not all in one folder",
                where=str(path),
                expected=f"{top or 'kit'}/…",
                found=repr(member.path),
            )
        top = folder
        yield Member(inside, member.size_bytes, member.executable, member.chunks)


def _in_folder(folder: Path) -> Iterator[Member]:
    found = dict(rules.regular_files(folder))
    first = [name for name in (MANIFEST, DIGEST, SIGNATURE) if name in found]
    for name in [*first, *(name for name in sorted(found) if name not in first)]:
        yield Member(name, found[name], None, _read(folder / name))


def _read(path: Path) -> Iterator[bytes]:
    try:
        with doors.open_file(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as cause:
        raise MachineError(
            "a file of the bundle cannot be read", where=str(path), found=cause.strerror
        ) from cause
