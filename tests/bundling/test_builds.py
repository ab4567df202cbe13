"""Builds of llama.cpp for other CPUs: compiled once, checked, and described by what they need."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from localprompt.bundling import builds, rules
from localprompt.errors import InputError, MachineError
from tests.bundling.wheelhouse import write_wheel

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="levels of x86-64")

VERSION = metadata.version(builds.PACKAGE)


class FakePip:
    """Leaves an empty wheel where it is asked for one, and remembers how."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], Mapping[str, str]]] = []

    def __call__(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], **_: Any
    ) -> None:
        self.calls.append((list(arguments), environment))
        folder = Path(arguments[arguments.index("--wheel-dir") + 1])
        write_wheel(folder, "llama_cpp_python", VERSION)


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePip:
    fake = FakePip()
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    monkeypatch.setattr(builds, "pip", fake)
    monkeypatch.setattr(builds, "features_of", lambda _: ("SSE3", "AVX2", "LLAMAFILE"))
    return fake


def _build(name: str, tmp_path: Path) -> tuple[builds.Build, list[str]]:
    said: list[str] = []
    work = tmp_path / f"work-{name}"
    work.mkdir(exist_ok=True)
    return builds.build(name, work, said.append), said


def test_a_level_is_compiled_for_its_flags_without_pip_s_cache(
    pip: FakePip, tmp_path: Path
) -> None:
    built, said = _build("x86-64-v3", tmp_path)
    arguments, environment = pip.calls[0]
    assert "--no-cache-dir" in arguments
    options = environment["CMAKE_ARGS"].split()
    assert {"-DGGML_NATIVE=OFF", "-DGGML_AVX2=ON", "-DGGML_OPENMP=OFF"} <= set(options)
    assert {"avx2", "fma", "sse4_2"} <= set(built.cpu_flags)
    assert "avx512f" not in built.cpu_flags
    assert "compiling, 3 to 4 minutes" in said[0]


def test_a_level_is_compiled_once(pip: FakePip, tmp_path: Path) -> None:
    first, _ = _build("x86-64-v3", tmp_path)
    again, said = _build("x86-64-v3", tmp_path)
    assert again == first
    assert len(pip.calls) == 1
    assert "built before" in said[0]


def test_other_options_of_the_user_are_another_build(
    pip: FakePip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = _build("x86-64-v3", tmp_path)
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_LTO=ON")
    (tmp_path / "work-x86-64-v3" / first.wheel.name).unlink()
    again, _ = _build("x86-64-v3", tmp_path)
    assert again.wheel != first.wheel
    assert pip.calls[1][1]["CMAKE_ARGS"].startswith("-DGGML_LTO=ON -DGGML_NATIVE=OFF")


def test_a_build_that_uses_more_than_its_level_is_refused_and_not_kept(
    pip: FakePip, tmp_path: Path
) -> None:
    with pytest.raises(MachineError, match="uses more of the CPU") as caught:
        _build("x86-64-v2", tmp_path)
    assert caught.value.found == "AVX2"
    assert not (tmp_path / "home" / "cache" / "wheels").exists()


def test_native_needs_every_instruction_set_of_this_cpu(
    pip: FakePip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = frozenset({"fpu", "hypervisor", "sse4_2", "avx2", "avx512_vnni", "constant_tsc"})
    monkeypatch.setattr(rules, "cpu_flags", lambda: flags)
    built, _ = _build("native", tmp_path)
    assert built.cpu_flags == ("avx2", "avx512_vnni", "sse4_2")
    assert "--no-cache-dir" not in pip.calls[0][0]


def test_an_unknown_level_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match="no such build") as caught:
        builds.check_level("x86-64-v9")
    assert caught.value.expected == "native, x86-64-v3, x86-64-v2"


def test_a_given_wheel_has_to_be_the_right_package_and_version(tmp_path: Path) -> None:
    other = write_wheel(tmp_path, "llama_cpp_python", "0.0.1")
    with pytest.raises(InputError, match="no wheel that localprompt can use"):
        builds.given_build(other, 1)


def test_a_given_wheel_needs_what_it_says_that_it_was_built_for(
    pip: FakePip, tmp_path: Path
) -> None:
    given = builds.given_build(write_wheel(tmp_path, "llama_cpp_python", VERSION), 1)
    assert (given.name, given.cpu_flags) == ("given-1", ("avx2", "pni"))


def test_a_wheel_without_llama_cpp_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"no llama\.cpp in this wheel"):
        builds.features_of(write_wheel(tmp_path, "llama_cpp_python", VERSION))
