"""llama.cpp for CPUs that are not this one.

The wheel that pip compiles uses every instruction of the machine where it is compiled: the fastest
there, and an illegal instruction on a lesser one. A bundle therefore carries several builds.
``native`` needs all instruction sets of this CPU; the others are compiled for a level that many
CPUs have. At installation the first whose needs are met is taken.

Compiling takes minutes, so a wheel is kept in the cache folder under everything that it depends on;
the one that was made for this installation is taken again (:mod:`localprompt.compiling`).
What comes out is opened once and asked for what it was built: settings that did not reach the
compiler would otherwise be noticed behind the air gap.
"""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import msgspec

from localprompt import compiling
from localprompt.bundling import rules
from localprompt.compiling import NATIVE, PACKAGE
from localprompt.errors import InputError, MachineError
from localprompt.models.fetch_pypi import pip_failed

Say = Callable[[str], None]
"""Told, in words, of what takes long."""


class Level(msgspec.Struct, frozen=True):
    """What a build may use of a CPU."""

    options: dict[str, str]
    """CMake's, beside GGML_NATIVE."""
    cpu_flags: tuple[str, ...]
    """What a CPU has to have, by the names of /proc/cpuinfo."""
    features: frozenset[str]
    """What llama.cpp may say of such a build, among its vector instructions."""


# OpenMP's library is part of compilers and missing on many machines without one; llama.cpp's own
# threads take its place.
_PLAIN = {"GGML_OPENMP": "OFF"}
_V3_OPTIONS = ("GGML_AVX", "GGML_AVX2", "GGML_BMI2", "GGML_FMA", "GGML_F16C")
_V2_FLAGS = ("pni", "popcnt", "sse4_1", "sse4_2", "ssse3")

LEVELS: dict[str, dict[str, Level]] = {
    "x86_64": {
        "x86-64-v3": Level(
            options=_PLAIN | {"GGML_SSE42": "ON"} | dict.fromkeys(_V3_OPTIONS, "ON"),
            cpu_flags=(*_V2_FLAGS, "avx", "avx2", "bmi2", "f16c", "fma"),
            features=frozenset({"AVX", "AVX2", "BMI2", "F16C", "FMA"}),
        ),
        "x86-64-v2": Level(
            options=_PLAIN | {"GGML_SSE42": "ON"} | dict.fromkeys(_V3_OPTIONS, "OFF"),
            cpu_flags=_V2_FLAGS,
            features=frozenset(),
        ),
    },
    "aarch64": {
        "armv8-a": Level(
            options=_PLAIN | {"GGML_CPU_ARM_ARCH": "armv8-a"},
            cpu_flags=("asimd", "fp"),
            features=frozenset(),
        ),
    },
}
"""By machine; the most demanding first."""

_VECTORS = ("AVX", "AMX", "BMI", "F16C", "FMA", "SVE", "SME", "DOTPROD", "MATMUL")
_NATIVE_FLAGS = re.compile(
    r"(sse|ssse|avx|amx|bmi|fma|xop)\w*|pni|f16c|abm|movbe|popcnt|gfni|tbm"
    r"|asimd\w*|fphp|sve\w*|sme\w*|i8mm|bf16|atomics|crc32"
)
_FLAGS_OF_FEATURES = {
    "SSE3": ("pni",),
    "SSSE3": ("ssse3",),
    "AVX": ("avx",),
    "AVX2": ("avx2",),
    "AVX_VNNI": ("avx_vnni",),
    "BMI2": ("bmi2",),
    "F16C": ("f16c",),
    "FMA": ("fma",),
    "AVX512": ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"),
    "AVX512_VBMI": ("avx512vbmi",),
    "AVX512_VNNI": ("avx512_vnni",),
    "AVX512_BF16": ("avx512_bf16",),
    "AMX_INT8": ("amx_int8", "amx_tile"),
    "DOTPROD": ("asimddp",),
    "MATMUL_INT8": ("i8mm",),
    "SVE": ("sve",),
}
_ASK = """\
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.llama_print_system_info.restype = ctypes.c_char_p
print(library.llama_print_system_info().decode())
"""


class Build(msgspec.Struct, frozen=True):
    """A wheel of llama-cpp-python and what it needs."""

    name: str
    wheel: Path
    cpu_flags: tuple[str, ...]
    features: tuple[str, ...]


def known_levels() -> tuple[str, ...]:
    """The builds that can be made here, the most demanding first."""
    return (NATIVE, *LEVELS.get(platform.machine(), {}))


def default_levels() -> tuple[str, ...]:
    """The builds of a bundle where none are named."""
    return known_levels()


def check_level(name: str) -> str:
    """The name, if there is such a build for this machine.

    Raises:
        InputError: there is none.
    """
    known = known_levels()
    if name in known:
        return name
    raise InputError(
        "no such build of llama.cpp", where="--cpu", expected=", ".join(known), found=name
    )


def build(name: str, work: Path, say: Say) -> Build:
    """The wheel of a level: the kept one, or compiled now, which takes minutes.

    Args:
        name: one of :func:`known_levels`.
        work: an empty folder, which the caller deletes.

    Raises:
        FetchError, NotEnoughDiskError: pip or the compiler failed.
        MachineError: what came out does not open, or uses more of the CPU than its name allows.
    """
    level = LEVELS.get(platform.machine(), {}).get(name)
    options = [f"-D{key}={value}" for key, value in (level.options if level else {}).items()]
    arguments = compiling.cmake_arguments([f"-DGGML_NATIVE={'OFF' if level else 'ON'}", *options])
    kept = compiling.kept_folder(name, arguments)
    wheel = next(iter(kept.glob("*.whl")), None)
    if wheel is None:
        made = _compile(name, arguments, work, say)
        features = features_of(made)
        _check_features(name, level, features)
        wheel = compiling.keep(made, kept)
    else:
        say(f"llama.cpp for {name}: the wheel that was built before")
        features = features_of(wheel)
    return Build(name, wheel, level.cpu_flags if level else native_flags(), features)


def given_build(wheel: Path, number: int) -> Build:
    """A wheel that the user has.

    Raises:
        InputError: it is no wheel of llama-cpp-python in the version that localprompt needs.
    """
    wanted = f"llama_cpp_python-{metadata.version(PACKAGE)}-"
    if not wheel.name.startswith(wanted) or not zipfile.is_zipfile(wheel):
        raise InputError(
            "not a wheel that localprompt can use",
            where=f"--llama-wheel {wheel}",
            expected=f"a file {wanted}….whl",
        )
    try:
        features = features_of(wheel)
    except MachineError:  # of another platform: it will be tried where it is installed
        features = ()
    flags = {flag for feature in features for flag in _FLAGS_OF_FEATURES.get(feature, ())}
    return Build(f"given-{number}", wheel, tuple(sorted(flags)), features)


def native_flags() -> tuple[str, ...]:
    """The instruction sets of this CPU that a compiler may use."""
    flags = rules.cpu_flags() or frozenset()
    return tuple(sorted(flag for flag in flags if _NATIVE_FLAGS.fullmatch(flag)))


def features_of(wheel: Path) -> tuple[str, ...]:
    """What llama.cpp in a wheel says that it was built for; asked in a process of its own.

    Raises:
        MachineError: it cannot be opened here.
    """
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        libraries = [name for name in archive.namelist() if name.startswith("llama_cpp/lib/")]
        archive.extractall(folder, libraries)
        found = sorted(Path(folder, "llama_cpp", "lib").glob("libllama.[ds][oy]*"))
        if not found:
            raise MachineError("there is no llama.cpp in this wheel", where=str(wheel))
        asked = subprocess.run(
            [sys.executable, "-I", "-c", _ASK, str(found[0])],
            capture_output=True,
            text=True,
            check=False,
        )
    if asked.returncode:
        lines = asked.stderr.strip().splitlines()
        raise MachineError(
            "llama.cpp in this wheel cannot be opened",
            where=str(wheel),
            found=lines[-1] if lines else f"exit code {asked.returncode}",
        )
    return tuple(re.findall(r"(\w+) = 1", asked.stdout))


def _compile(name: str, arguments: Sequence[str], work: Path, say: Say) -> Path:
    try:
        return compiling.compile_wheel(arguments, work, compiling.Progress(say, name))
    except subprocess.CalledProcessError as failed:
        again = f"CMAKE_ARGS={shlex.quote(shlex.join(arguments))} {shlex.join(failed.cmd)}"
        where = f"{compiling.REQUIREMENT} for {name}"
        raise pip_failed("build llama.cpp", where, again, str(failed.output)) from failed


def _check_features(name: str, level: Level | None, features: tuple[str, ...]) -> None:
    too_much = [
        feature
        for feature in features
        if level is not None and feature.startswith(_VECTORS) and feature not in level.features
    ]
    if too_much:
        raise MachineError(
            f"the build of llama.cpp for {name} uses more of the CPU than its name allows",
            expected=", ".join(sorted(level.features)) if level else None,
            found=", ".join(too_much),
            next_step="see whether CMAKE_ARGS or the compiler's flags are set in the environment",
        )
