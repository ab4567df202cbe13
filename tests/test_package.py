"""The wheel works on its own, from another folder, with its data inside."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_PIP_INSTALL = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the tree, without asking an index."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return next(folder.glob("*.whl"))


def test_the_three_data_folders_are_inside(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for data in ("models/smollm2-135m.toml", "prompts/summarize.prompty", "benchmarks/finetune/"):
        assert any(name.startswith(f"localprompt/_data/{data}") for name in names), data
    assert "localprompt/py.typed" in names


def test_no_weights_and_no_tests_are_inside(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith(".gguf") or name.startswith("tests/")]
    assert wheel.stat().st_size < 5_000_000


@pytest.mark.slow
def test_the_installed_wheel_finds_its_prompts_and_models_from_another_folder(
    wheel: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [*_PIP_INSTALL, "--target", str(site), str(wheel)],
        check=True,
        capture_output=True,
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "LOCALPROMPT_HOME": str(tmp_path / "home"),
    }
    script = (
        "import localprompt; from localprompt import paths; print(localprompt.__file__);"
        "print(paths.shipped('prompts')); from localprompt.__main__ import run;"
        "raise SystemExit(run(['prompts', 'list']) or run(['models', 'list']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(str(site))
    assert lines[1].startswith(str(site))
    assert "summarize" in done.stdout
    assert "smollm2-135m" in done.stdout
