"""What both sides of an air gap agree on: safe paths, whole folders, fitting machines.

These rules also run where localprompt is not installed yet (see :mod:`.on_target`): nothing but the
standard library and :mod:`localprompt.errors`, which travels with them, is imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from localprompt.errors import MachineError

MANIFEST = "manifest.json"
DIGEST = "manifest.json.sha256"
SIGNATURE = "manifest.json.sig"
LONGEST_PATH = 240
"""Bytes of a path in a bundle; what a tar header of 1988 can always say."""

_CHUNK_BYTES = 1024**2


def is_safe_path(path: str) -> bool:
    """Whether a bundle may contain this path: relative, below its folder, the same everywhere."""
    parts = path.split("/")
    return (
        path.isprintable()
        and "\\" not in path
        and len(path.encode(errors="replace")) <= LONGEST_PATH
        and all(part not in {"", ".", ".."} for part in parts)
        and not parts[0].startswith(("-", "~"))
        and ":" not in parts[0]
    )


def digest_line(manifest: bytes) -> bytes:
    """What stands beside the manifest: ``sha256sum --check`` reads it."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def regular_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Path and size of everything in an unpacked bundle, sorted.

    Raises:
        MachineError: there is something that is not an ordinary file: a link, a device, a pipe.
    """
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*files, *(f for f in folders if (Path(root) / f).is_symlink())]):
            path = Path(root) / name
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise MachineError(
                    "the bundle contains something that is not an ordinary file",
                    where=str(path),
                    expected="files only: no links, devices or pipes",
                    found=kind_of(status.st_mode),
                )
            yield path.relative_to(folder).as_posix(), status.st_size


def kind_of(mode: int) -> str:
    """What a file's mode says it is, in words."""
    kinds = {
        stat.S_ISLNK: "a symbolic link",
        stat.S_ISCHR: "a character device",
        stat.S_ISBLK: "a block device",
        stat.S_ISFIFO: "a pipe",
        stat.S_ISSOCK: "a socket",
    }
    return next((what for is_kind, what in kinds.items() if is_kind(mode)), "something else")


def check_target(target: dict[str, Any]) -> None:
    """This Python, system and processor are those that the bundle's wheels are for.

    Args:
        target: of the manifest: system, machine, python, glibc.

    Raises:
        MachineError: they are not; with both sides.
    """
    again = "on a machine with a network, make a bundle for this one"
    machine = f"{target['system']} {target['machine']}"
    here = f"{platform.system().lower()} {platform.machine()}"
    if machine != here:
        raise MachineError(
            "this bundle is for another platform", expected=machine, found=here, next_step=again
        )
    python = f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"
    if python != f"cpython {target['python']}":
        raise MachineError(
            "this bundle is for another version of Python",
            where=sys.executable,
            expected=f"cpython {target['python']}",
            found=python,
            next_step=f"PYTHON=python{target['python']} sh install.sh, or {again}",
        )
    if target.get("glibc"):
        library, version = platform.libc_ver()
        if library != "glibc" or _numbers(version) < _numbers(target["glibc"]):
            raise MachineError(
                "this bundle is for a newer C library",
                expected=f"glibc {target['glibc']} or newer",
                found=f"{library} {version}".strip() or "another C library",
                next_step=again,
            )


def cpu_flags() -> frozenset[str] | None:
    """What the processor can do, by Linux's names; None where that is not known."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = (line.partition(":") for line in text.splitlines())
    flags = next((f for key, _, f in lines if key.strip() in {"flags", "Features"}), None)
    return None if flags is None else frozenset(flags.split())


def suitable_builds(builds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The builds of llama.cpp that this CPU can run, fastest first as the bundle has them.

    Where nobody says what the CPU can do, the least demanding comes first.

    Raises:
        MachineError: there is none.
    """
    have = cpu_flags()
    if have is None:
        return list(reversed(builds))
    fitting = [build for build in builds if have.issuperset(build["cpu_flags"])]
    if not fitting:
        missing = sorted(set(builds[-1]["cpu_flags"]) - have)
        raise MachineError(
            "none of the bundle's builds of llama.cpp runs on this processor",
            expected=f"at least {builds[-1]['name']}",
            found=f"a processor without {', '.join(missing)}",
            next_step="make the bundle with a lower --cpu, as --cpu x86-64-v2",
        )
    return fitting


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an unpacked bundle.

    Raises:
        MachineError: there is none, or it is another program's.
    """
    path = folder / MANIFEST
    try:
        encoded = path.read_bytes()
        whole = (folder / DIGEST).read_bytes() == digest_line(encoded)
        manifest: dict[str, Any] = json.loads(encoded)
        known = (manifest["format"], manifest["version"]) == ("localprompt-bundle", 1)
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise MachineError(
            "the manifest cannot be read", where=str(path), found=str(cause)
        ) from cause
    if not whole:
        raise MachineError(
            "the manifest is damaged", where=str(path), next_step="copy the bundle again"
        )
    if not known:
        raise MachineError("the manifest is of another program or version", where=str(path))
    return manifest


def check_folder(folder: Path, files: Iterable[dict[str, Any]]) -> None:
    """An unpacked bundle holds exactly the files of its manifest.

    Raises:
        MachineError: one is missing, too many, changed, or no ordinary file.
    """
    found = dict(regular_files(folder))
    for name in (MANIFEST, DIGEST, SIGNATURE):
        found.pop(name, None)
    for entry in files:
        path = folder / entry["path"]
        if not is_safe_path(entry["path"]) or found.pop(entry["path"], None) is None:
            raise MachineError("a file of the bundle is missing", where=str(path))
        if path.stat().st_size != entry["size_bytes"]:
            raise MachineError(
                "a file in the bundle has a different size than its manifest says",
                where=str(path),
                expected=f"{entry['size_bytes']} bytes",
                found=f"{path.stat().st_size} bytes",
                next_step="copy the bundle again",
            )
        if (digest := _sha256(path)) != entry["sha256"]:
            raise MachineError(
                "a file of the bundle is damaged",
                where=str(path),
                expected=f"sha256 {entry['sha256']}",
                found=f"sha256 {digest}",
                next_step="copy the bundle again",
            )
    if found:
        raise MachineError(
            "the folder contains a file that is not part of the bundle",
            where=str(folder / min(found)),
            next_step="unpack the bundle into a new folder",
        )


def check_licences(models: Sequence[dict[str, Any]], *, accepted: bool) -> None:
    """Terms that have to be accepted were.

    Raises:
        MachineError: they were not; with their notice.
    """
    for model in models:
        licence = model["licence"]
        if licence["needs_acceptance"] and not accepted:
            raise MachineError(
                f"{model['name']} is under the {licence['name']}, which you have to accept first",
                where=licence["url"],
                expected="your consent",
                found=licence["notice"].strip() or None,
                next_step="run the same command with --accept-license",
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
