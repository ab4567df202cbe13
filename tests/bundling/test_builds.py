"""Builds of llama.cpp for other CPUs: compiled once, checked, and described by what they need."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest

from localprompt import compiling
from localprompt.bundling import builds, rules
from localprompt.errors import InputError, MachineError
from tests.bundling.wheelhouse import write_wheel

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="levels of x86-64")

VERSION = metadata.version(compiling.PACKAGE)


class FakeCompiler:
    """Leaves an empty wheel where it is asked for one, and remembers how."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, arguments: Sequence[str], work: Path, _: object) -> Path:
        self.calls.append(list(arguments))
        return write_wheel(work, "llama_cpp_python", VERSION)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCompiler:
    fake = FakeCompiler()
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    monkeypatch.setattr(compiling, "compile_wheel", fake)
    monkeypatch.setattr(builds, "features_of", lambda _: ("SSE3", "AVX2", "LLAMAFILE"))
    return fake


def _build(name: str, tmp_path: Path) -> tuple[builds.Build, list[str]]:
    said: list[str] = []
    work = tmp_path / f"work-{name}"
    work.mkdir(exist_ok=True)
    return builds.build(name, work, said.append), said


def test_a_level_is_compiled_for_its_flags(made: FakeCompiler, tmp_path: Path) -> None:
    built, _ = _build("x86-64-v3", tmp_path)
    (options,) = made.calls
    assert {"-DGGML_NATIVE=OFF", "-DGGML_AVX2=ON", "-DGGML_OPENMP=OFF"} <= set(options)
    assert not any("CXX_FLAGS" in option for option in options)
    assert {"avx2", "fma", "sse4_2"} <= set(built.cpu_flags)
    assert "avx512f" not in built.cpu_flags


def test_a_level_is_compiled_once(made: FakeCompiler, tmp_path: Path) -> None:
    first, _ = _build("x86-64-v3", tmp_path)
    again, said = _build("x86-64-v3", tmp_path)
    assert again == first
    assert len(made.calls) == 1
    assert "built before" in said[0]


def test_other_options_of_the_user_are_another_build(
    made: FakeCompiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = _build("x86-64-v3", tmp_path)
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_LTO=ON")
    (tmp_path / "work-x86-64-v3" / first.wheel.name).unlink()
    again, _ = _build("x86-64-v3", tmp_path)
    assert again.wheel != first.wheel
    assert made.calls[1][:2] == ["-DGGML_LTO=ON", "-DGGML_NATIVE=OFF"]


def test_a_build_that_uses_more_than_its_level_is_refused_and_not_kept(
    made: FakeCompiler, tmp_path: Path
) -> None:
    with pytest.raises(MachineError, match="uses more of the CPU") as caught:
        _build("x86-64-v2", tmp_path)
    assert caught.value.found == "AVX2"
    assert not (tmp_path / "home" / "cache" / "wheels").exists()


def test_native_needs_every_instruction_set_of_this_cpu(
    made: FakeCompiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = frozenset({"fpu", "hypervisor", "sse4_2", "avx2", "avx512_vnni", "constant_tsc"})
    monkeypatch.setattr(rules, "cpu_flags", lambda: flags)
    built, _ = _build("native", tmp_path)
    assert built.cpu_flags == ("avx2", "avx512_vnni", "sse4_2")
    assert "-DGGML_NATIVE=ON" in made.calls[0]


def test_the_wheel_of_this_installation_is_taken_for_native(
    made: FakeCompiler, tmp_path: Path
) -> None:
    (work := tmp_path / "installing").mkdir()
    kept = compiling.kept_folder("native", compiling.cmake_arguments(["-DGGML_NATIVE=ON"]))
    compiling.keep(write_wheel(work, "llama_cpp_python", VERSION), kept)
    built, _ = _build("native", tmp_path)
    assert built.wheel.parent == kept
    assert made.calls == []


def test_an_unknown_level_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match="no such build") as caught:
        builds.check_level("x86-64-v9")
    assert caught.value.expected == "native, x86-64-v3, x86-64-v2"


def test_a_given_wheel_has_to_be_the_right_package_and_version(tmp_path: Path) -> None:
    other = write_wheel(tmp_path, "llama_cpp_python", "0.0.1")
    with pytest.raises(InputError, match="not a wheel that localprompt can use"):
        builds.given_build(other, 1)


def test_a_given_wheel_needs_what_it_says_that_it_was_built_for(
    made: FakeCompiler, tmp_path: Path
) -> None:
    given = builds.given_build(write_wheel(tmp_path, "llama_cpp_python", VERSION), 1)
    assert (given.name, given.cpu_flags) == ("given-1", ("avx2", "pni"))


def test_a_wheel_without_llama_cpp_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"no llama\.cpp in this wheel"):
        builds.features_of(write_wheel(tmp_path, "llama_cpp_python", VERSION))
