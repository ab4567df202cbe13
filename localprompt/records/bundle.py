"""The frozen records of a bundle: what is in it, and which machines it is for.

Together they are its manifest. They hold no time and no name of a machine: the same input gives the
same manifest.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from localprompt.records.model import Licence, Name, Sha256


class BundleFile(msgspec.Struct, frozen=True):
    """One file of a bundle."""

    path: str
    """Relative to the bundle's folder, with slashes."""
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Sha256
    executable: bool = False


class LlamaBuild(msgspec.Struct, frozen=True):
    """One wheel of llama-cpp-python; they differ in what they need of the CPU."""

    name: str
    """native, x86-64-v3, …; its wheel lies in ``wheels/<name>/``."""
    wheel: str
    """Path in the bundle."""
    cpu_flags: tuple[str, ...]
    """What the CPU has to have, by the names of Linux's /proc/cpuinfo."""
    features: tuple[str, ...] = ()
    """What llama.cpp says that it was built for; empty where it could not be asked."""


class Target(msgspec.Struct, frozen=True):
    """The machines that the wheels are for."""

    system: str
    """linux or darwin."""
    machine: str
    """x86_64, aarch64, arm64."""
    python: str
    """3.11"""
    glibc: str | None = None
    """The oldest that all wheels run with; None where they need none."""


class BundledModel(msgspec.Struct, frozen=True):
    """A model of the bundle; its card is ``home/models/<name>.toml``."""

    name: Name
    licence: Licence


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a bundle but the bytes of its files."""

    format: Literal["localprompt-bundle"] = "localprompt-bundle"
    version: Literal[1] = 1
    localprompt: str
    """The version that made it, which is also the one in its wheels."""
    models: tuple[BundledModel, ...] = ()
    target: Target | None = None
    """None: without wheels, for every machine that has localprompt."""
    llama_builds: tuple[LlamaBuild, ...] = ()
    """Most demanding first."""
    files: tuple[BundleFile, ...] = ()
    """Sorted by path; all but the manifest itself, its digest and signature."""

    @property
    def total_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)
