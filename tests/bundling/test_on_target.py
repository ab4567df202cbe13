"""The installer, run as it will be: by ``sh``, in a network namespace with nothing in it, with an
empty home.

The wheels are localprompt's own, built from the tree, the pip that runs these tests, and stand-ins:
everything else comes from this environment through a ``.pth`` file, so that nothing is fetched.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.bundling import make as making
from localprompt.bundling import on_target, rules
from localprompt.bundling.make import make
from localprompt.bundling.target import target_of, wanted_target
from localprompt.bundling.wheels import Wheels, WheelsWanted, _own_wheel, _wheel
from localprompt.errors import MachineError
from localprompt.records.bundle import LlamaBuild
from tests.bundling.conftest import wanted
from tests.bundling.wheelhouse import pip_wheel, write_wheel

pytestmark = pytest.mark.slow

BROKEN = b'raise OSError("libgomp.so.1: cannot open shared object file")\n'


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """localprompt's wheel, pip's, and two of llama.cpp of which the first does not open."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    here = sysconfig.get_path("purelib")
    more = "".join(f"Provides-Dist: {name}\n" for name in ("unused",))
    return {
        "own": _own_wheel(folder / "own", lambda _: None),
        "pip": pip_wheel(folder),
        "rest": write_wheel(folder, "rest", files={"rest.pth": f"{here}\n".encode()}, more=more),
        "broken": write_wheel(
            folder / "broken",
            "llama_cpp_python",
            files={"llama_cpp/__init__.py": b"", "llama_cpp/llama_cpp.py": BROKEN},
        ),
        "works": write_wheel(folder / "works", "llama_cpp_python"),
    }


@pytest.fixture
def kit(near: Path, wheelhouse: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An unpacked bundle with a build of llama.cpp that does not open before one that does."""
    _without_requirements(wheelhouse["own"])
    builds = {"native": wheelhouse["broken"], "x86-64-v2": wheelhouse["works"]}
    plain = [wheelhouse[name] for name in ("own", "pip", "rest")]
    others = [_wheel(file, f"wheels/{file.name}") for file in plain]
    llamas = [_wheel(file, f"wheels/{name}/{file.name}", name) for name, file in builds.items()]
    described = tuple(LlamaBuild(w.build or "", w.piece.path, ()) for w in llamas)
    target = target_of(wanted_target(None, ()), [])
    wheels = Wheels(target, described, (*others, *llamas))
    monkeypatch.setattr(making, "collect", lambda *_: wheels)
    with_wheels = msgspec.structs.replace(
        wanted(near), wheels=WheelsWanted(wanted_target(None, ()))
    )
    path = make(with_wheels).path
    subprocess.run(["tar", "xf", path.name], cwd=near, check=True)
    return near / "kit"


def _without_requirements(wheel: Path) -> None:
    """The stand-ins provide what localprompt requires, under no names that pip knows."""
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in content if name.endswith(".dist-info/METADATA"))
    lines = content[name].split(b"\n")
    content[name] = b"\n".join(line for line in lines if not line.startswith(b"Requires-Dist"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for member, data in content.items():
            archive.writestr(zipfile.ZipInfo(member), data)


def _install(kit: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``sh install.sh`` with an empty home, and without a network where the machine allows it."""
    alone = ["unshare", "-rn"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        alone = []
    home = kit.parent / "empty"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [*alone, "sh", str(kit / "install.sh"), *arguments],
        cwd=kit.parent,
        env={
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "PYTHON": sys.executable,
            "PIP_INDEX_URL": "http://localhost:9/",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_installs_takes_over_and_says_what_to_type(kit: Path) -> None:
    done = _install(kit, "--home", "lab", "--link", "bin")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "native does not open here (" in done.stdout
    assert "libgomp.so.1" in done.stdout
    assert "llama.cpp uses: " in done.stdout
    program = kit.parent / "localprompt-venv" / "bin" / "localprompt"
    assert f"LOCALPROMPT_HOME=lab {program} ask -m tiny 'Hello.'" in done.stdout
    assert (kit.parent / "lab" / "models" / "tiny.gguf").is_file()
    assert not (kit.parent / "empty" / ".local").exists()
    listed = subprocess.run(
        [kit.parent / "bin" / "localprompt", "prompts", "list"],
        cwd=kit,
        env={"LOCALPROMPT_HOME": str(kit.parent / "lab")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "say" in listed.stdout
    again = _install(kit)
    assert again.returncode == 3
    assert "there is already something" in again.stderr


def test_for_all_users_it_goes_where_all_find_it_and_all_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        options = on_target._options(tmp_path).parse_args(["--system"])
        on_target._decide_places(tmp_path, options)
        assert os.umask(0o022) == 0o022
        assert options.venv == Path("/opt/localprompt")
        assert options.link == Path("/usr/local/bin")
        named = on_target._options(tmp_path).parse_args(["--system", "--venv", "/srv/lp"])
        on_target._decide_places(tmp_path, named)
        assert named.venv == Path("/srv/lp")
        own = on_target._options(tmp_path / "kit").parse_args([])
        on_target._decide_places(tmp_path / "kit", own)
        assert own.venv == tmp_path / "localprompt-venv"
        assert own.link is None
    finally:
        os.umask(before)


def test_one_flipped_bit_is_named_and_nothing_is_made(kit: Path) -> None:
    wheel = next((kit / "wheels").glob("rest-*.whl"))
    data = bytearray(wheel.read_bytes())
    data[40] ^= 1
    wheel.write_bytes(data)
    done = _install(kit)
    assert done.returncode == 3
    assert "a file of the bundle is damaged" in done.stderr
    assert wheel.name in done.stderr
    assert not (kit.parent / "localprompt-venv").exists()


def test_a_failure_half_way_leaves_no_environment(kit: Path) -> None:
    for build in ("native", "x86-64-v2"):
        _damage_quietly(kit, build)
    done = _install(kit)
    assert done.returncode == 3
    assert "pip did not install the packages" in done.stderr
    assert not (kit.parent / "localprompt-venv").exists()


def _damage_quietly(kit: Path, build: str) -> None:
    """Another wheel than the one that requirements.txt expects, with a manifest that agrees."""
    import hashlib
    import json

    manifest = json.loads((kit / rules.MANIFEST).read_bytes())
    wheel = next((kit / "wheels" / build).glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    for entry in manifest["files"]:
        if entry["path"].startswith(f"wheels/{build}/"):
            entry["size_bytes"] = wheel.stat().st_size
            entry["sha256"] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    encoded = json.dumps(manifest).encode()
    (kit / rules.MANIFEST).write_bytes(encoded)
    (kit / rules.DIGEST).write_bytes(rules.digest_line(encoded))


def test_another_python_is_refused_by_the_shell_already(kit: Path, tmp_path: Path) -> None:
    other = tmp_path / "python9"
    other.write_text("#!/bin/sh\necho 3.9\n")
    other.chmod(0o755)
    done = _install(kit, PYTHON=str(other))
    assert done.returncode == 3
    assert "another version of Python" in done.stderr
    assert f"expected: Python {sys.version_info[0]}.{sys.version_info[1]}" in done.stderr
    assert "python9 is 3.9" in done.stderr


def test_no_python_is_said(kit: Path) -> None:
    done = _install(kit, PYTHON="no-such-python")
    assert done.returncode == 3
    assert "there is no Python on this machine" in done.stderr


TARGET: dict[str, Any] = {
    "system": platform.system().lower(),
    "machine": platform.machine(),
    "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
    "glibc": None,
}


def test_this_machine_is_its_own_target() -> None:
    rules.check_target(TARGET)


@pytest.mark.parametrize(
    ("change", "message", "found"),
    [
        ({"machine": "riscv64"}, "another platform", platform.machine()),
        ({"system": "plan9"}, "another platform", platform.machine()),
        ({"python": "3.2"}, "another version of Python", "cpython 3."),
        ({"glibc": "2.99"}, "a newer C library", ""),
    ],
)
def test_another_machine_is_refused_with_both_sides(
    change: dict[str, str], message: str, found: str
) -> None:
    with pytest.raises(MachineError, match=message) as caught:
        rules.check_target({**TARGET, **change})
    assert next(iter(change.values())) in str(caught.value.expected)
    assert found in str(caught.value.found)


BUILDS = [
    {"name": "native", "cpu_flags": ["avx2", "avx512f"]},
    {"name": "x86-64-v3", "cpu_flags": ["avx2"]},
    {"name": "x86-64-v2", "cpu_flags": ["sse4_2"]},
]


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ({"sse4_2", "avx2", "avx512f"}, ["native", "x86-64-v3", "x86-64-v2"]),
        ({"sse4_2", "avx2"}, ["x86-64-v3", "x86-64-v2"]),
        ({"sse4_2"}, ["x86-64-v2"]),
        (None, ["x86-64-v2", "x86-64-v3", "native"]),
    ],
)
def test_the_cpu_chooses_the_build(
    monkeypatch: pytest.MonkeyPatch, flags: set[str] | None, names: list[str]
) -> None:
    monkeypatch.setattr(rules, "cpu_flags", lambda: None if flags is None else frozenset(flags))
    assert [build["name"] for build in rules.suitable_builds(BUILDS)] == names


def test_a_cpu_that_can_run_none_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "cpu_flags", lambda: frozenset({"fpu"}))
    with pytest.raises(MachineError, match="none of the bundle's builds") as caught:
        rules.suitable_builds(BUILDS)
    assert caught.value.found == "a processor without sse4_2"


def _strict() -> Iterator[dict[str, Any]]:
    licence = {"name": "Strict", "url": None, "notice": "Do no harm.", "needs_acceptance": True}
    yield {"name": "tiny", "licence": licence}


def test_terms_are_shown_and_have_to_be_accepted() -> None:
    models = list(_strict())
    with pytest.raises(MachineError, match="have to accept first") as caught:
        rules.check_licences(models, accepted=False)
    assert caught.value.found == "Do no harm."
    rules.check_licences(models, accepted=True)
