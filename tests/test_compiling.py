"""llama.cpp is compiled with flags that this compiler needs, kept, and shown while it compiles."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import pytest

from localprompt import compiling
from localprompt.compiling import KEEP_STORES, Progress, right_flags
from tests import needs

NAME = "kept_by_the_compiler"
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    for name in ("CMAKE_ARGS", "CXXFLAGS", "CXX"):
        monkeypatch.delenv(name, raising=False)
    compiling._macros.cache_clear()


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test writes the script that is the C++ compiler."""
    path = _program(tmp_path / "c++", "exit 1")
    monkeypatch.setenv("CXX", str(path))
    return path


# ------------------------------------------------------------------------------ flags


def test_a_compiler_that_keeps_the_tile_configuration_needs_no_flags(compiler: Path) -> None:
    _program(compiler, f"echo 'lea {NAME}(%rip), %rax'")
    assert right_flags(("-mamx-tile",)) == ()


def test_a_compiler_that_drops_the_tile_configuration_is_told_not_to(compiler: Path) -> None:
    _program(compiler, f'case "$*" in *-fno-dse*) echo "lea {NAME}";; *) echo ret;; esac')
    assert right_flags(("-mamx-tile",)) == KEEP_STORES
    assert compiling.cmake_arguments(["-DGGML_NATIVE=ON"])[-1] == (
        f"-DCMAKE_CXX_FLAGS={' '.join(KEEP_STORES)}"
    )


def test_a_compiler_that_drops_it_whatever_it_is_told_gets_no_tiles(compiler: Path) -> None:
    _program(compiler, "echo ret")
    assert "-mno-amx-tile" in right_flags(("-march=native",))


def test_a_compiler_without_tiles_needs_no_flags(compiler: Path) -> None:
    assert right_flags(("-mamx-tile",)) == ()


def test_without_a_compiler_there_is_nothing_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert compiling.compiler() is None
    assert right_flags(("-mamx-tile",)) == ()


@pytest.mark.skipif(compiling.compiler() is None, reason=needs.COMPILER)
def test_the_flags_that_are_chosen_keep_the_stores_in_this_compilers_code() -> None:
    if compiling._compiled(compiling._TILES, "-S", "-mamx-tile") is None:
        pytest.skip("this compiler knows no tiles")
    flags = right_flags(("-mamx-tile",))
    assembly = compiling._compiled(compiling._TILES, "-S", "-O3", "-mamx-tile", *flags)
    assert NAME in (assembly or "")


def test_flags_of_the_user_stay_and_ours_come_after_them(
    compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(compiler, f'case "$*" in *-fno-dse*) echo {NAME};; esac')
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_LTO=ON '-DCMAKE_CXX_FLAGS=-g -pipe'")
    arguments = compiling.cmake_arguments()
    assert arguments[0] == "-DGGML_LTO=ON"
    assert [a for a in arguments if "CXX_FLAGS" in a] == [
        f"-DCMAKE_CXX_FLAGS=-g -pipe {' '.join(KEEP_STORES)}"
    ]


def test_a_build_for_lesser_cpus_has_no_tiles_to_care_for(compiler: Path) -> None:
    _program(compiler, f'case "$*" in *-march=native*) echo {NAME};; *) exit 1;; esac')
    assert not any("CXX_FLAGS" in a for a in compiling.cmake_arguments(["-DGGML_NATIVE=OFF"]))


# ------------------------------------------------------------------------------ the wheel


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for ``python -m pip wheel``; counts its calls in a file beside it."""
    wheel = f"llama_cpp_python-{compiling.VERSION}-py3-none-any.whl"
    program = _program(
        tmp_path / "python",
        f'echo x >> "{tmp_path}/calls"\necho "[1/2] c++ -c /a/ops.cpp"\n'
        f'while [ "$1" != --wheel-dir ]; do shift; done\ntouch "$2/{wheel}"',
    )
    monkeypatch.setattr(sys, "executable", str(program))
    return program


def _quiet() -> Progress:
    return Progress(lambda _: None)


def test_a_wheel_is_compiled_once_and_kept_under_what_it_depends_on(
    pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiling.native_wheel(_quiet())
    assert compiling.native_wheel(_quiet()) == first
    assert (tmp_path / "calls").read_text() == "x\n"
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_LTO=ON")
    assert compiling.native_wheel(_quiet()).parent != first.parent
    compiling.native_wheel(_quiet(), again=True)
    assert (tmp_path / "calls").read_text() == "x\n" * 3


def test_a_home_that_cannot_be_written_costs_the_keeping_and_not_the_wheel(
    pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "home").write_text("a file where the home should be")
    said: list[str] = []
    assert compiling.native_wheel(Progress(said.append)).is_file()
    assert any("not kept" in line for line in said)


@pytest.mark.parametrize(
    ("printed", "step"),
    [
        ("fatal error: error writing to /tmp/x.s: No space left on device", "free some space"),
        ("connection broken by NewConnectionError(...)", "check the network"),
        ("ops.cpp:1: error: no such thing", "less "),
    ],
)
def test_what_failed_is_said_with_its_cause_and_what_helps(
    compiler: Path,
    pip: Path,
    printed: str,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _program(pip, f"echo '{printed}'; exit 1")
    monkeypatch.setattr(compiling, "_installed_version", lambda: None)
    assert compiling.main([]) == 3
    told = capsys.readouterr().err
    assert "error: llama.cpp could not be compiled" in told
    assert printed in told
    assert step in told
    assert "Traceback" not in told


def test_without_a_compiler_it_is_said_what_to_install(
    pip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _program(pip, "echo 'CMake Error: No CMAKE_CXX_COMPILER could be found.'; exit 1")
    monkeypatch.setattr(compiling, "_installed_version", lambda: None)
    monkeypatch.setattr(compiling, "compiler", lambda: None)
    assert compiling.main([]) == 3
    assert "install a C++ compiler" in capsys.readouterr().err


def test_an_installed_library_is_left_alone_unless_asked(
    pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "_installed_version", lambda: compiling.VERSION)
    assert compiling.main([]) == 0
    assert not (tmp_path / "calls").exists()
    assert "--again" in capsys.readouterr().err


def test_ctrl_c_takes_the_compilers_along(pip: Path, tmp_path: Path) -> None:
    _program(pip, f"sleep 60 & echo $! > {tmp_path}/child\necho '[1/2] x'\nwait")

    class Interrupted(Progress):
        def take(self, line: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compiling.native_wheel(Interrupted(lambda _: None))
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("a compiler outlived the program")


# ------------------------------------------------------------------------------ progress


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[57/83] /usr/bin/c++ -DX -O3 -o x/ops.cpp.o -c /src/ops.cpp\n", "57 of 83 ops.cpp"),
        ("  [ 12%] Building CXX object src/llama-vocab.cpp.o\n", "12 % llama-vocab.cpp"),
        ("[83/83] : && /usr/bin/c++ -shared -o libllama.so\n", "83 of 83"),
    ],
)
def test_something_moves_while_it_compiles(
    line: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    said: list[str] = []
    with Progress(said.append) as progress:
        now[0] = 5.0
        progress.take(line)
        assert len(said) == 1
        now[0] = 80.0
        progress.take(line)
    assert said[1] == f"  {told}, 1 min 20 s"


def test_the_next_time_it_is_said_how_long_the_last_time_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with _quiet() as progress:
        now[0] = 168.0
        progress.finished()
    said: list[str] = []
    with Progress(said.append):
        pass
    assert said == ["llama.cpp for this CPU: compiling, the last time it took 2 min 48 s"]


def test_the_version_is_the_one_that_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert compiling.REQUIREMENT in project["dependencies"]
    constraints = (ROOT / "constraints.txt").read_text()
    assert f"llama_cpp_python=={compiling.VERSION}\n" in constraints


def test_it_runs_before_anything_is_installed() -> None:
    # -S: without site-packages; -E: without the user's paths.
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "localprompt.compiling", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "--again" in done.stdout
