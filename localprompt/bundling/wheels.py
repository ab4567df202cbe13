"""The program for the other side: localprompt, everything that it needs at run time, and pip.

Versions are those of ``constraints.txt`` where localprompt runs from a checkout, and otherwise
those that are installed here: what was tested is what travels. Wheels come through the user's own
pip, out of its cache where it has them. pip itself goes along: some systems ship Python without.

``requirements.txt`` names every wheel with its sha256: the pip of the other side checks them too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import msgspec

import localprompt
from localprompt import compiling
from localprompt.bundling import builds
from localprompt.bundling.builds import Build, Say
from localprompt.bundling.contents import Piece, file_piece, text_piece
from localprompt.bundling.pip import pip
from localprompt.bundling.target import WantedTarget, target_of
from localprompt.errors import InputError, MachineError
from localprompt.records.bundle import LlamaBuild, Target

_PACKAGE = "localprompt"
_FOLDER = "wheels"


class WheelsWanted(msgspec.Struct, frozen=True):
    """What a user asked for."""

    target: WantedTarget
    levels: tuple[str, ...] = ()
    """Builds of llama.cpp by name; none means the usual ones, unless wheels are given."""
    llama_wheels: tuple[Path, ...] = ()
    """Wheels of llama-cpp-python that the user has."""


class Wheel(msgspec.Struct, frozen=True):
    """A wheel that will be in the bundle."""

    name: str
    version: str
    file: Path
    piece: Piece
    build: str | None = None
    """Which of llama.cpp's builds it is."""


class Wheels(msgspec.Struct, frozen=True):
    """Everything for the other side to install."""

    target: Target
    llama_builds: tuple[LlamaBuild, ...]
    wheels: tuple[Wheel, ...]

    @property
    def requirements(self) -> Piece:
        """Each package with its version and the sha256 of every wheel that may be taken for it."""
        hashes: dict[str, list[str]] = {}
        for wheel in self.wheels:
            requirement = f"{wheel.name}=={wheel.version}"
            hashes.setdefault(requirement, []).append(f"--hash=sha256:{wheel.piece.sha256}")
        lines = [" ".join([name, *hashes[name]]) for name in sorted(hashes)]
        return text_piece("requirements.txt", ("\n".join(lines) + "\n").encode())


def check_wanted(wanted: WheelsWanted) -> None:
    """Find out what cannot be done before anything takes long.

    Raises:
        InputError: llama.cpp for another platform without a wheel of it, an unknown build, or a
            wheel for another processor.
    """
    for name in wanted.levels:
        builds.check_level(name)
    system, machine = wanted.target.system_and_machine
    for file in wanted.llama_wheels:
        if not file.name.endswith((f"_{machine}.whl", "-any.whl")):
            raise InputError(
                "this wheel is for a different platform than the bundle",
                where=f"--llama-wheel {file}",
                expected=f"{system} {machine}",
                found=file.name.removesuffix(".whl").rsplit("-", 1)[-1],
            )
    if wanted.target.platforms and (wanted.levels or not wanted.llama_wheels):
        raise InputError(
            "llama.cpp can only be built for this machine's own platform",
            where=f"--platform {wanted.target.platforms[0]}",
            expected="a wheel of llama-cpp-python for that platform, and no --cpu",
            next_step="add --llama-wheel FILE",
        )


def collect(wanted: WheelsWanted, work: Path, say: Say) -> Wheels:
    """Gather all wheels below ``work``, which the caller deletes.

    Raises:
        InputError: as :func:`check_wanted`, or a given wheel is not the right one.
        FetchError, NotEnoughDiskError, MachineError: pip or the compiler failed.
    """
    check_wanted(wanted)
    made = _llama(wanted, work, say)
    own = _own_wheel(work / "own", say)
    say("fetching the wheels of all packages")
    dependencies = _dependencies(wanted.target, own, made[0], work / "all")
    others = [_wheel(file, f"{_FOLDER}/{file.name}") for file in (own, *dependencies)]
    llamas = [
        _wheel(build.wheel, f"{_FOLDER}/{build.name}/{build.wheel.name}", build.name)
        for build in made
    ]
    files = [own, *dependencies, *(build.wheel for build in made)]
    described = tuple(
        LlamaBuild(build.name, wheel.piece.path, build.cpu_flags, build.features)
        for build, wheel in zip(made, llamas, strict=True)
    )
    return Wheels(target_of(wanted.target, files), described, (*others, *llamas))


def _llama(wanted: WheelsWanted, work: Path, say: Say) -> list[Build]:
    """Given ones first, then from the most demanding to the least."""
    made = [builds.given_build(file, n) for n, file in enumerate(wanted.llama_wheels, start=1)]
    names = wanted.levels or (() if made else builds.default_levels())
    for name in sorted(set(names), key=builds.known_levels().index):
        folder = work / f"llama-{name}"
        folder.mkdir(parents=True)
        made.append(builds.build(name, folder, say))
    return made


def _own_wheel(folder: Path, say: Say) -> Path:
    """localprompt itself: from the checkout that is running, or from the index."""
    folder.mkdir(parents=True)
    root = Path(localprompt.__file__).resolve().parent.parent
    command = ["wheel", "--no-deps", "--wheel-dir", str(folder)]
    if (root / "pyproject.toml").is_file():
        say("building localprompt's own wheel")
        # Where the build's tools are installed here, no index has to be asked for them.
        isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
        command += [*isolation, str(root)]
    else:
        command.append(f"{_PACKAGE}=={localprompt.__version__}")
    where = f"{_PACKAGE} {localprompt.__version__}"
    pip(command, purpose="make localprompt's own wheel", where=where, work=folder)
    return next(folder.glob("*.whl"))


def _dependencies(wanted: WantedTarget, own: Path, llama: Build, folder: Path) -> list[Path]:
    """Wheels of everything that localprompt needs, and of pip; without llama.cpp's."""
    folder.mkdir(parents=True)
    constraints = folder.with_name("constraints.txt")
    constraints.write_text(_constraints(), encoding="utf-8")
    command = ["--constraint", str(constraints), "--find-links", str(llama.wheel.parent)]
    command += ["--only-binary", compiling.PACKAGE]
    if wanted.is_here:
        command = ["wheel", "--wheel-dir", str(folder), *command]
    else:
        command = ["download", "--dest", str(folder), *command, "--only-binary", ":all:"]
        command += ["--python-version", wanted.python]
        for tag in _with_own_tag(wanted):
            command += ["--platform", tag]
    pip(
        [*command, str(own), "pip"],
        purpose="fetch the wheels",
        where=f"{_PACKAGE} {localprompt.__version__} for Python {wanted.python}",
        work=folder.with_name("fetching"),
    )
    wheels = sorted(folder.glob("*.whl"))
    return [w for w in wheels if not w.name.startswith(("llama_cpp_python-", f"{_PACKAGE}-"))]


def _with_own_tag(wanted: WantedTarget) -> Sequence[str]:
    """The platforms, and the plain one that a wheel of llama-cpp-python has."""
    if not wanted.platforms:
        return ()
    system, machine = wanted.system_and_machine
    return (*wanted.platforms, f"{system}_{machine}")


def _constraints() -> str:
    """The exact versions that localprompt was tested with, or else is running with."""
    file = Path(localprompt.__file__).resolve().parent.parent / "constraints.txt"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    installed = {d.name: d.version for d in metadata.distributions() if d.name != _PACKAGE}
    return "".join(f"{name}=={version}\n" for name, version in sorted(installed.items()))


def _wheel(file: Path, path: str, build: str | None = None) -> Wheel:
    # PEP 427: {distribution}-{version}(-{build tag})?-{python tag}-{abi tag}-{platform tag}.whl
    parts = file.stem.split("-")
    if len(parts) not in {5, 6}:
        raise MachineError("not the name of a wheel", where=str(file))
    name = re.sub(r"[-_.]+", "-", parts[0]).lower()
    return Wheel(name, parts[1], file, file_piece(path, file), build)
