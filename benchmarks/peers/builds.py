"""llama.cpp's own programs, from the very sources of the library that localprompt runs on.

The sdist of the installed llama-cpp-python contains the llama.cpp that its library was built from.
It is built once more with the sdist's own CMake file and flags, with llama.cpp's tools switched on.
The tools then run on the installed package's libraries (the loader is told so, and ``ldd`` is
asked whether it listened): both sides compute with the same machine code, whatever flags the
package was built with.

All of it lies in localprompt's cache folder, outside the tree, and is reused when it is there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import msgspec

from benchmarks.peers.processes import run, say
from localprompt import compiling, paths
from localprompt.errors import FetchError, MachineError, WorkerError
from localprompt.measure import machine

PACKAGE = "llama-cpp-python"
BENCH_TOOLS = ("llama-bench", "llama-batched-bench")
SERVER = "llama-server"

OWN_FLAGS = ("-DCMAKE_BUILD_TYPE=Release",)
"""What scikit-build-core gives to CMake when pip builds the package; its default build type."""
TOOL_FLAGS = (
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_UI=OFF",
)
_LIBRARIES = ("libllama", "libggml-base", "libggml-cpu")
_LOADER_PATH = "DYLD_LIBRARY_PATH" if sys.platform == "darwin" else "LD_LIBRARY_PATH"
_FULL_VERSION = re.compile(r"\.\d+\.\d+\.\d+")
_FROM_LDD = re.compile(r"^\s*(\S+) => (\S+)", re.MULTILINE)


class Tools(msgspec.Struct, frozen=True):
    """llama.cpp's programs, ready to run."""

    folder: Path
    origin: str
    libraries: str
    """In words, for the result."""
    env: dict[str, str]
    """To run them with."""

    def program(self, name: str) -> str:
        """The path of one of them.

        Raises:
            MachineError: it is not there.
        """
        path = self.folder / name
        if not path.is_file():
            raise MachineError(
                f"{name} is not among the tools",
                where=str(self.folder),
                next_step="leave out --tools, and it is built",
            )
        return str(path)


def build_tools(*, with_server: bool) -> Tools:
    """The programs built here, now or earlier.

    Raises:
        FetchError: pip cannot fetch the sdist.
        MachineError: CMake or the compiler is missing or fails; names the log.
    """
    wanted = (*BENCH_TOOLS, *((SERVER,) if with_server else ()))
    installed = version(PACKAGE)
    place = cache() / f"{PACKAGE}-{installed}"
    binaries = place / "build" / "bin"
    if not all((binaries / name).is_file() for name in wanted):
        source = _unpacked_sdist(installed, place)
        _compile(source, place / "build", wanted, place / "build.log")
    return _tools(binaries, f"built from the sdist of {PACKAGE} {installed}")


def given_tools(folder: Path) -> Tools:
    """Programs that exist already, for instance those of a distribution."""
    return _tools(folder.expanduser().absolute(), "given by the user")


def cache() -> Path:
    """Where peers are kept."""
    return paths.cache_folder() / "peers"


def library_origin(ldd: str, installed: Path) -> bool:
    """Whether ``ldd`` resolves every library that computes into the folder ``installed``."""
    found = {name.partition(".")[0]: path for name, path in _FROM_LDD.findall(ldd)}
    return all(Path(found.get(name, "/")).parent == installed for name in _LIBRARIES)


def _tools(folder: Path, origin: str) -> Tools:
    installed = _installed_libraries()
    same_version = _library_versions(folder) == _library_versions(installed)
    env = {_LOADER_PATH: str(installed)} if same_version else {}
    shared = same_version and _uses(folder / BENCH_TOOLS[0], installed, env)
    words = "the installed package's own libraries" if shared else "their own libraries"
    return Tools(folder, origin, words, env if shared else {})


def _uses(program: Path, installed: Path, env: dict[str, str]) -> bool:
    ldd = shutil.which("ldd")
    return ldd is not None and library_origin(run([ldd, str(program)], env=env).stdout, installed)


def _installed_libraries() -> Path:
    spec = find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        raise MachineError(f"{PACKAGE} is not installed", next_step="make demo")
    return Path(spec.submodule_search_locations[0]) / "lib"


def _library_versions(folder: Path) -> set[str]:
    """``libllama.so.0.5.0`` and the like: the libraries that compute, by their full versions."""
    return {
        path.name
        for name in _LIBRARIES
        for path in folder.glob(f"{name}.*")
        if _FULL_VERSION.search(path.name)
    }


def _unpacked_sdist(installed: str, place: Path) -> Path:
    source = place / f"llama_cpp_python-{installed}"
    if (source / "CMakeLists.txt").is_file():
        return source
    place.mkdir(parents=True, exist_ok=True)
    say(f"Fetching the sources of {PACKAGE} {installed} with pip.")
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", PACKAGE]
    pip += ["--quiet", "--disable-pip-version-check", "--dest", str(place)]
    try:
        run([*pip, f"{PACKAGE}=={installed}"])
    except WorkerError as error:
        raise FetchError(
            "pip cannot fetch the sources", where=f"{PACKAGE}=={installed}", found=error.found
        ) from error
    with tarfile.open(place / f"{source.name}.tar.gz") as archive:
        archive.extractall(place, filter="data")
    return source


def configure_command(source: Path, build: Path) -> list[str]:
    """CMake's arguments: the package's own, those that the package was compiled with, ours."""
    own = compiling.cmake_arguments(["-DGGML_NATIVE=ON"])
    return ["cmake", "-S", str(source), "-B", str(build), *OWN_FLAGS, *own, *TOOL_FLAGS]


def _compile(source: Path, build: Path, targets: Sequence[str], log: Path) -> None:
    if shutil.which("cmake") is None:
        raise MachineError("CMake is not installed", next_step="python -m pip install cmake")
    jobs = str(max(1, int(machine.usable_cores())))
    say(f"Building {', '.join(targets)}. Log: {log}")
    commands = (
        configure_command(source, build),
        ["cmake", "--build", str(build), "-j", jobs, "--target", *targets],
    )
    with log.open("w", encoding="utf-8") as output, compiling.Progress(say, "the peers") as moving:
        for command in commands:
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as child:
                for line in child.stdout or ():
                    output.write(line)
                    moving.take(line)
            if child.returncode != 0:
                raise MachineError(
                    "llama.cpp's tools could not be built",
                    where=str(log),
                    found=f"cmake ended with {child.returncode}",
                    next_step=f"less {log}, or give tools that exist with --tools",
                )
        moving.finished()
