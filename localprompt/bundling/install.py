"""A bundle's models, prompts and suites into the home of this machine.

Everything is unpacked beside the home and checked there; only then the files get their places,
each in one step, weights before the card by which they are found. What is there already with the
same content is left alone; what is there with another is not overwritten unless the user says so,
and that is asked before anything is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import msgspec

from localprompt import paths
from localprompt.bundling.check import Opened, read_bundle
from localprompt.bundling.manifest import goes_home
from localprompt.errors import InputError
from localprompt.files import (
    check_free_disk,
    disk_errors_explained,
    give_place,
    replace_file,
    staging,
    sync,
)
from localprompt.models.checksum import remember_sha256, sha256_of
from localprompt.models.ownership import others_using, somebodys_own
from localprompt.models.receiver import Progress, no_progress
from localprompt.records.bundle import BundleFile, Manifest


class Installed(msgspec.Struct, frozen=True):
    """What an installation did."""

    models: tuple[str, ...]
    """Names that can be used now."""
    new: tuple[str, ...]
    """Files that were added or replaced, below the home."""
    unchanged: int
    """How many were there already."""


def install(
    path: Path,
    *,
    key: Path | None = None,
    replace: bool = False,
    accept_license: bool = False,
    progress: Progress = no_progress,
) -> Installed:
    """Take over what a bundle has for the home.

    Args:
        path: the archive, or the folder that it was unpacked into.
        key: a public key; with it the bundle has to be signed by its owner.
        replace: overwrite files of the home that have another content.
        accept_license: the user accepts the models' licences, where that is needed.
        progress: told of the bytes read, stage ``verify``.

    Raises:
        InputError: a licence has to be accepted, or a file of the home would be overwritten.
        ChecksumError, MachineError: as :func:`localprompt.bundling.check.read_bundle`.
        NotEnoughDiskError: there is no room; nothing was changed.
    """
    store = paths.weights_folder()
    with disk_errors_explained(store), staging(store, "install", "installation") as folder:
        taking = _Taking(folder / "work", replace=replace, accept_license=accept_license)
        opened = read_bundle(path, key=key, begin=taking.begin, sink=taking.sink, progress=progress)
        return taking.publish(opened)


class _Taking:
    """One installation, from the manifest to the last file in its place."""

    def __init__(self, work: Path, *, replace: bool, accept_license: bool) -> None:
        self._work = work
        self._replace = replace
        self._accept_license = accept_license
        self._new: dict[str, BundleFile] = {}
        """By their place below the home."""
        self._unchanged = 0

    def begin(self, manifest: Manifest) -> None:
        """Find out what is new, and whether it may and can be written."""
        for model in manifest.models:
            licence = model.licence
            if licence.needs_acceptance and not self._accept_license:
                raise InputError(
                    f"{model.name} is under the {licence.name}, which you have to accept first",
                    where=licence.url,
                    expected="your consent",
                    found=licence.notice.strip() or None,
                    next_step="run the same command with --accept-license",
                )
        for file in manifest.files:
            place = goes_home(file.path)
            if place is None:
                continue
            if _same(paths.home() / place, file):
                self._unchanged += 1
            else:
                self._new[place] = file
        others = [place for place in sorted(self._new) if (paths.home() / place).exists()]
        if others and not self._replace:
            raise InputError(
                "existing files with different content would be overwritten",
                where=str(paths.home() / others[0]),
                found=f"{len(others)} such file{'s' if len(others) > 1 else ''}",
                next_step="run the same command with --replace, or set another LOCALPROMPT_HOME",
            )
        self._check_owners(others, {model.name for model in manifest.models})
        self._check_space()

    def sink(self, file: BundleFile) -> AbstractContextManager[BinaryIO | None]:
        """Unpack what is new; the rest is only checked."""
        place = goes_home(file.path)
        return nullcontext() if place not in self._new else self._unpacked(self._work / place)

    @contextmanager
    def _unpacked(self, draft: Path) -> Iterator[BinaryIO]:
        paths.make_folder(draft.parent)
        with draft.open("xb") as target:
            yield target
        sync(draft)

    def publish(self, opened: Opened) -> Installed:
        """Give every file its place: weights, then prompts and suites, then cards."""
        order = sorted(self._new, key=lambda place: (place.endswith(".toml"), place))
        for place in order:
            if place.endswith(".toml"):  # never an old card with new weights
                (paths.home() / place).unlink(missing_ok=True)
        for place in order:
            target = paths.home() / place
            if place.endswith(".gguf"):
                give_place(self._work / place, target)
                remember_sha256(target, self._new[place].sha256)
            else:  # perhaps on another disk than the weights
                replace_file(target, (self._work / place).read_bytes())
        names = tuple(model.name for model in opened.manifest.models)
        return Installed(names, tuple(order), self._unchanged)

    def _check_owners(self, others: list[str], bundled: set[str]) -> None:
        """Weights that are replaced are the store's, and belong to models of the bundle."""
        for place in others:
            if not place.endswith(".gguf"):
                continue
            target = paths.home() / place
            if (owner := somebodys_own(target)) is not None:
                raise InputError(
                    f"the bundle would overwrite the weights of {owner}, which are yours",
                    where=str(target),
                    found="a file that was registered with models add",
                    next_step="move the file away, or install with another LOCALPROMPT_HOME",
                )
            if users := set(others_using(target)) - bundled:
                raise InputError(
                    f"the bundle would overwrite the weights of {min(users)}",
                    where=str(target),
                    found="different weights",
                    next_step=f"localprompt models remove {min(users)}, "
                    "or install with another LOCALPROMPT_HOME",
                )

    def _check_space(self) -> None:
        needed = sum(file.size_bytes for file in self._new.values())
        check_free_disk(self._work, needed, "this bundle")


def _same(place: Path, file: BundleFile) -> bool:
    """Whether the home has this file already, with this content."""
    try:
        if place.stat().st_size != file.size_bytes:
            return False
        if place.suffix == ".gguf":
            return sha256_of(place) == file.sha256
        return hashlib.sha256(place.read_bytes()).hexdigest() == file.sha256
    except OSError:
        return False
