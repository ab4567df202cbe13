"""Which machines the wheels of a bundle are for."""

from __future__ import annotations

import platform
import re
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from localprompt.errors import InputError
from localprompt.records.bundle import Target

_PLATFORM = re.compile(
    r"(?P<system>linux|manylinux(1|20\d\d|_\d+_\d+)|musllinux_\d+_\d+|macosx_\d+_\d+)"
    r"_(?P<machine>\w+)",
    re.ASCII,
)
_LEGACY = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}
_SYMBOL = re.compile(rb"GLIBC_2\.(\d+)")


class WantedTarget(msgspec.Struct, frozen=True):
    """What a user asked for."""

    python: str
    """3.11"""
    platforms: tuple[str, ...] = ()
    """Tags as pip has them; none means this machine's."""

    @property
    def is_here(self) -> bool:
        """Whether this Python on this machine could install the wheels."""
        return not self.platforms and self.python == _this_python()

    @property
    def system_and_machine(self) -> tuple[str, str]:
        if not self.platforms:
            return platform.system().lower(), platform.machine()
        match = _PLATFORM.fullmatch(self.platforms[0])
        if match is None:
            raise InputError(
                "not a platform",
                where="--platform",
                expected="a tag as manylinux_2_28_x86_64 or macosx_11_0_arm64",
                found=self.platforms[0],
            )
        system = "darwin" if match["system"].startswith("macosx") else "linux"
        return system, match["machine"]


def wanted_target(python: str | None, platforms: Iterable[str]) -> WantedTarget:
    """The target of a command line, checked.

    Raises:
        InputError: no version of Python, no platform, or platforms of different processors.
    """
    if python is not None and not re.fullmatch(r"3\.\d{1,2}", python):
        raise InputError(
            "not a Python version", where="--python", expected="3.11, 3.12, …", found=python
        )
    wanted = WantedTarget(python or _this_python(), tuple(platforms))
    kinds = {WantedTarget("", (tag,)).system_and_machine for tag in wanted.platforms}
    if len(kinds) > 1:
        raise InputError(
            "a bundle is for one kind of machine",
            where="--platform",
            found=" and ".join(f"{system} {machine}" for system, machine in sorted(kinds)),
        )
    return wanted


def target_of(wanted: WantedTarget, wheels: Iterable[Path]) -> Target:
    """The target that these wheels make of what was wanted: they bring the oldest C library."""
    system, machine = wanted.system_and_machine
    needed = [minor for wheel in wheels if (minor := glibc_minor(wheel)) is not None]
    glibc = f"2.{max(needed)}" if needed else None
    return Target(system=system, machine=machine, python=wanted.python, glibc=glibc)


def glibc_minor(wheel: Path) -> int | None:
    """The x of the oldest glibc 2.x that a wheel runs with; None for one that needs none.

    From its tags where they say it (the best of several counts), otherwise from the versions of
    glibc's symbols that its libraries name.
    """
    tags = wheel.stem.rsplit("-", 1)[1].split(".")
    named = [int(match[1]) for tag in tags if (match := re.match(r"manylinux_2_(\d+)_", tag))]
    named += [
        minor for name, minor in _LEGACY.items() for tag in tags if tag.startswith(name + "_")
    ]
    if named:
        return min(named)
    if not any(tag.startswith("linux_") for tag in tags):
        return None
    minors: list[int] = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if ".so" in name:
                minors += [int(minor) for minor in _SYMBOL.findall(archive.read(name))]
    return max(minors, default=None)


def _this_python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"
