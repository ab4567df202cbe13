"""llama.cpp compiled for this CPU with flags that compute right.

``python -m localprompt.compiling`` installs it; ``--again`` compiles it anew.

pip alone would compile it, silently for minutes, keep the wheel without knowing how it was made,
and on some machines make one that dies: GCC 12 drops the stores of AMX's tile configuration
(docs/decisions/0037). So a tiny function is compiled first and looked at, the flags are chosen by
what is found, and the wheel is kept in the cache folder under everything that it depends on.

This runs before anything is installed, so that nothing but the standard library is imported.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib import metadata, util
from pathlib import Path

from localprompt import paths

PACKAGE = "llama-cpp-python"
VERSION = "0.3.36"
REQUIREMENT = f"{PACKAGE}=={VERSION}"
LLAMA_CPP_COMMIT = "0c1e57098"
"""The commit of llama.cpp that this version was made from."""
NATIVE = "native"

Say = Callable[[str], None]

KEEP_STORES = ("-fno-dse", "-fno-tree-dse")
_WITHOUT_TILES = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")
_CANDIDATES: tuple[tuple[str, ...], ...] = ((), KEEP_STORES)

# Stands for llama.cpp's ggml_tile_config_init(): the address of a name that is used nowhere else
# is stored into the last of the 64 bytes that _tile_loadconfig() reads. Where the name is not in
# the assembly, the compiler has taken the store for useless.
_TILES = """\
#ifdef __AMX_TILE__
#include <immintrin.h>
extern "C" char kept_by_the_compiler;
extern "C" void configure() {
    const void * words[8] = {};
    words[7] = &kept_by_the_compiler;
    _tile_loadconfig(words);
}
#else
#error no tiles
#endif
"""
_OPTIMIZED = ("-O3", "-DNDEBUG")  # CMake's Release, which is what the package is built as

# llama.cpp's command-line helpers and its image encoder are never called from here. The package's
# own CMake file insists on the former in CMake's cache; a plain variable comes before that.
_UNUSED = ("-DLLAVA_BUILD=OFF",)
_ONLY_THE_LIBRARY = "set(LLAMA_BUILD_COMMON OFF)\n"

_STEP = re.compile(r"^\s*\[\s*(\d+)(?:/(\d+)|%)\]\s*(.*)")
_SOURCE = re.compile(r"([\w.+-]+\.(?:cpp|cc|c|S|m|mm))(?=['\"]?(?:\s|$|\.o\b))")
_SECONDS_BETWEEN_LINES = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Install llama.cpp into the environment that runs this; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m localprompt.compiling", description=_HELP)
    parser.add_argument("--again", action="store_true", help="compile and install it again")
    options = parser.parse_args(arguments)
    installed = _installed_version()
    if installed == VERSION and not options.again:
        _note(f"llama.cpp is here ({REQUIREMENT}); to compile it anew: {rebuild_command()}")
        return 0
    _borrow_platformdirs()
    try:
        wheel = native_wheel(Progress(), again=options.again)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--force-reinstall", str(wheel)]
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as failed:
        _note(_explained(failed))
        return 3
    except KeyboardInterrupt:
        _note("stopped; nothing was installed")
        return 130
    return 0


_HELP = "Compile llama.cpp for this CPU and install it into this Python environment."


def rebuild_command() -> str:
    """What to type where the installed library is wrong or slow on this CPU."""
    return f"{shlex.quote(sys.executable)} -m localprompt.compiling --again"


# ------------------------------------------------------------------------------ flags


def cmake_arguments(options: Iterable[str] = ()) -> list[str]:
    """CMake's arguments: the user's ``CMAKE_ARGS``, ``options``, and the flags that compute right.

    Args:
        options: as ``-DGGML_NATIVE=ON``; they come after the user's own.
    """
    arguments = [*shlex.split(os.environ.get("CMAKE_ARGS", "")), *options]
    setting = re.compile(r"-DCMAKE_CXX_FLAGS(?::\w+)?=(.*)", re.DOTALL)
    given = [match[1] for argument in arguments if (match := setting.fullmatch(argument))]
    others = [argument for argument in arguments if not setting.fullmatch(argument)]
    own = given[-1] if given else os.environ.get("CXXFLAGS", "")
    flags = " ".join([*own.split(), *right_flags(_architecture(arguments), own.split())])
    return [*others, *_UNUSED, *([f"-DCMAKE_CXX_FLAGS={flags}"] if flags else [])]


def right_flags(architecture: tuple[str, ...], own: Sequence[str] = ()) -> tuple[str, ...]:
    """What the C++ compiler has to be told so that it keeps the stores before ``ldtilecfg``.

    Args:
        architecture: the CPU to compile for, as ``("-march=native",)``.
        own: the user's own flags.

    Returns:
        Nothing where there are no tiles, no compiler, or no fault.
    """
    for flags in _CANDIDATES:
        assembly = _compiled(_TILES, "-S", *_OPTIMIZED, *own, *architecture, *flags)
        if assembly is None or "kept_by_the_compiler" in assembly:
            return flags
    return _WITHOUT_TILES


def _architecture(arguments: Sequence[str]) -> tuple[str, ...]:
    """What llama.cpp's CMake file makes of GGML_NATIVE and GGML_AMX_TILE."""
    joined = " ".join(arguments)
    native = re.findall(r"-DGGML_NATIVE(?::BOOL)?=(\w+)", joined)
    if not native or native[-1].upper() in {"ON", "1", "TRUE", "YES"}:
        return ("-march=native",)
    return ("-mamx-tile",) if re.search(r"-DGGML_AMX_TILE(?::BOOL)?=(ON|1)", joined) else ()


def compiler() -> str | None:
    """The C++ compiler that CMake will take; None where there is none."""
    named = os.environ.get("CXX", "").split()
    return next(filter(None, map(shutil.which, (*named[:1], "c++", "g++", "clang++"))), None)


def _compiled(source: str, *flags: str) -> str | None:
    """What the compiler makes of a source, as text; None where it refuses."""
    if (program := compiler()) is None:
        return None
    command = [program, *flags, "-x", "c++", "-o", "-", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


# ------------------------------------------------------------------------------ the wheel


def native_wheel(progress: Progress, *, again: bool = False) -> Path:
    """The wheel for this CPU: the kept one, or compiled now.

    Raises:
        subprocess.CalledProcessError: pip or the compiler failed.
    """
    arguments = cmake_arguments(["-DGGML_NATIVE=ON"])
    kept = kept_folder(NATIVE, arguments)
    if not again and (wheel := next(iter(kept.glob("*.whl")), None)):
        progress.say(f"llama.cpp for this CPU: the wheel that was built before, {kept.name}")
        return wheel
    with tempfile.TemporaryDirectory() as folder:
        made = compile_wheel(arguments, Path(folder), progress)
        try:
            return keep(made, kept)
        except OSError as cause:
            progress.say(f"the wheel is not kept for the next time: {cause}")
            elsewhere = Path(tempfile.mkdtemp()) / made.name
            return Path(shutil.copyfile(made, elsewhere))


def compile_wheel(arguments: Sequence[str], work: Path, progress: Progress) -> Path:
    """Let pip compile llama.cpp; the wheel lies in ``work``.

    pip's own cache is left out: it does not know how its wheels were compiled. It has a process
    group of its own, so that Ctrl-C takes the compilers with it.

    Raises:
        subprocess.CalledProcessError: it failed; with all that it printed.
    """
    only = work / "only_the_library.cmake"
    only.write_text(_ONLY_THE_LIBRARY, encoding="utf-8")
    arguments = [*arguments, f"-DCMAKE_PROJECT_llama_cpp_INCLUDE={only}"]
    command = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-cache-dir"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--no-binary", PACKAGE] if compiler() else []  # else a wheel of the user's index
    command += ["--wheel-dir", str(work), REQUIREMENT]
    environment = {**os.environ, "CMAKE_ARGS": shlex.join(arguments), "TMPDIR": str(work)}
    environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(_cores()))
    output: list[str] = []
    with (
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
            env=environment,
        ) as pip,
        progress,
    ):
        try:
            for line in pip.stdout or ():
                output.append(line)
                progress.take(line)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(pip.pid, signal.SIGTERM)
            raise
    wheel = next(iter(work.glob("*.whl")), None)
    if pip.returncode or wheel is None:
        raise subprocess.CalledProcessError(pip.returncode or 1, command, "".join(output))
    progress.finished()
    return wheel


def kept_folder(name: str, arguments: Sequence[str]) -> Path:
    """Where a wheel that was compiled so, by this compiler for this CPU, is kept."""
    target = "-march=native" if name == NATIVE else "-w"
    facts = [platform.system(), platform.machine(), *arguments, _macros(target) or ""]
    digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:12]
    return paths.cache_folder() / "wheels" / f"{PACKAGE}-{VERSION}-{name}-{digest}"


def keep(wheel: Path, kept: Path) -> Path:
    """Into the cache in one step.

    Raises:
        OSError: the cache folder cannot be written.
    """
    paths.make_folder(kept.parent)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        draft = Path(folder) / "draft"
        draft.mkdir()
        shutil.copyfile(wheel, draft / wheel.name)
        shutil.rmtree(kept, ignore_errors=True)
        draft.rename(kept)
    return kept / wheel.name


@cache
def _macros(target: str) -> str | None:
    """Version and instruction sets of the compiler, as it says them itself."""
    return _compiled("", "-dM", "-E", target)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _installed_version() -> str | None:
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return None


def _borrow_platformdirs() -> None:
    """pip brings the one package along that says where the cache folder is."""
    if util.find_spec("platformdirs") is None:
        sys.modules["platformdirs"] = importlib.import_module("pip._vendor.platformdirs")


# ------------------------------------------------------------------------------ progress


class Progress:
    """What is being compiled, how far, for how long, and how long it took the last time.

    On a terminal one line is drawn over; elsewhere there is a line every 20 seconds.
    """

    def __init__(self, say: Say | None = None, what: str = "this CPU") -> None:
        self.say: Say = say or _note
        self._what = what
        self._line = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        self._began = self._said = time.monotonic()
        self._doing = "fetching the sources"

    def __enter__(self) -> Progress:
        last = _times().get(self._what)
        took = f"the last time it took {_minutes(last)}" if last else "some minutes"
        self.say(f"llama.cpp for {self._what}: compiling, {took}")
        self._began = self._said = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        if self._line:
            sys.stderr.write("\r\x1b[K")

    def take(self, line: str) -> None:
        """A line that pip, CMake or the compiler printed."""
        if match := _STEP.match(line):
            sources = _SOURCE.findall(match[3])
            done = f"{match[1]} of {match[2]}" if match[2] else f"{match[1]} %"
            self._doing = f"{done} {sources[-1]}" if sources else done
        elif "Installing build dependencies" in line:
            self._doing = "fetching CMake and what else builds it"
        now = time.monotonic()
        if self._line:
            text = f"  {self._doing}, {_minutes(now - self._began)}"
            sys.stderr.write(f"\r{text[: shutil.get_terminal_size().columns - 1]}\x1b[K")
            sys.stderr.flush()
        elif now - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = now
            self.say(f"  {self._doing}, {_minutes(now - self._began)}")

    def finished(self) -> None:
        """Say how long it took, and remember it for the next time."""
        seconds = time.monotonic() - self._began
        self.say(f"llama.cpp for {self._what}: done in {_minutes(seconds)}")
        with suppress(OSError):
            paths.make_folder(_times_file().parent)
            times = {**_times(), self._what: round(seconds, 1)}
            _times_file().write_text(json.dumps(times), encoding="utf-8")


def _times_file() -> Path:
    return paths.cache_folder() / "wheels" / "last-builds.json"


def _times() -> dict[str, float]:
    """Seconds of the last build, by what was built."""
    try:
        times = json.loads(_times_file().read_text(encoding="utf-8"))
        return {str(what): float(seconds) for what, seconds in times.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def _explained(failed: subprocess.CalledProcessError) -> str:
    """Why it failed, from what pip printed, and what helps."""
    lines = [line.strip() for line in str(failed.output or "").splitlines() if line.strip()]
    faults = [line for line in lines if re.search(r"\b(error|fatal|killed)\b", line, re.IGNORECASE)]
    log = _times_file().with_name("last-build.log")
    with suppress(OSError):
        paths.make_folder(log.parent)
        log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    step = f"less {log}"
    if compiler() is None:
        step = "install a C++ compiler (g++ on Debian), then the same again"
    elif any(re.search(r"No space left|Disk quota", line) for line in lines):
        step = "free some space, or set TMPDIR to a folder on a larger disk"
    elif any(re.search(r"NewConnectionError|NameResolution|Timeout", line) for line in lines):
        step = "check the network and pip's settings: python -m pip config list"
    found = (faults or lines or ["no output from pip"])[0]
    return (
        f"error: llama.cpp could not be compiled\n  found:    {found}\n"
        f"  log:      {log}\n  try:      {step}"
    )


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
