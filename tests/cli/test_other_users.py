"""Several people on one machine: what a second user may read, and what nobody else may."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.store.history import History
from tests import needs
from tests.cli.conftest import Localprompt
from tests.cli.program import SHORT, Ran, command_line
from tests.models.tiny_gguf import tiny_gguf

NOBODY = 65534
_AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


class Second:
    """A user without rights beyond his home, beside a store that he can only read."""

    def __init__(self, home: Path, shared: Path, prefix: tuple[str, ...]) -> None:
        self.home = home
        self.shared = shared
        self._prefix = prefix

    def run(self, *arguments: str, umask: int = 0o022) -> Ran:
        done = subprocess.run(
            [*self._prefix, *command_line(*arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            umask=umask,
            env={
                **os.environ,
                "HOME": str(self.home),
                "LOCALPROMPT_HOME": str(self.home / "data"),
                "LOCALPROMPT_SHARED": str(self.shared),
                "PYTHONDONTWRITEBYTECODE": "1",
                "COLUMNS": "80",
            },
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Second]:
    """As root: somebody else; as anybody else: oneself, with the store's folders read-only."""
    prefix = _AS_NOBODY if os.geteuid() == 0 else ()
    # pytest's own folders are closed to others.
    place = Path("/tmp") / f"localprompt-second-{os.getpid()}"
    home, shared = place / "home", place / "shared"
    (shared / "models").mkdir(parents=True)
    home.mkdir()
    if prefix:
        os.chown(home, NOBODY, NOBODY)
        sees = [*prefix, sys.executable, "-c", "import localprompt.cli.app, msgspec"]
        if shutil.which("setpriv") is None or subprocess.run(sees, check=False).returncode:
            shutil.rmtree(place)
            pytest.skip(needs.SECOND_USER)
    weights = shared / "models" / "tiny.gguf"
    weights.write_bytes(tiny_gguf())
    keeper = Second(home, shared, ())
    assert keeper.run("models", "add", str(weights), "--name", "tiny", "--system").code == 0
    shutil.rmtree(home / "data", ignore_errors=True)
    for folder in (shared, shared / "models"):
        folder.chmod(0o555)
    yield Second(home, shared, prefix)
    for folder in (shared, shared / "models"):
        folder.chmod(0o755)
    shutil.rmtree(place)


def _modes(folder: Path) -> dict[str, str]:
    """What others may do with anything below a folder that is not closed."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if not path.is_symlink() and mode != (0o700 if path.is_dir() else 0o600):
            found[str(path.relative_to(folder))] = oct(mode)
    return found


@pytest.mark.slow
def test_a_second_user_reads_the_shared_store_and_can_change_nothing_in_it(second: Second) -> None:
    listed = second.run("models", "list")
    assert listed.code == 0, listed.err
    line = next(line for line in listed.out.splitlines() if line.startswith("tiny "))
    assert line.split()[1:3] == ["present", "shared"]
    shown = second.run("models", "show", "tiny")
    assert str(second.shared / "models" / "tiny.gguf") in shown.out.replace("\n", "")
    assert "all users of this machine" in " ".join(shown.out.split())
    verified = second.run("models", "verify", "tiny")
    assert verified.code == 0
    assert "in the shared store" in verified.err
    assert second.run("models", "pull", "tiny").code == 0
    removed = second.run("models", "remove", "tiny")
    assert (removed.code, removed.out) == (2, "")
    assert removed.fields()["try"].startswith("localprompt models remove tiny --system")
    refused = second.run("models", "remove", "tiny", "--system")
    assert refused.code == 3
    assert "only who keeps the shared store" in refused.err
    assert sorted(path.name for path in (second.shared / "models").iterdir()) == [
        "tiny.gguf",
        "tiny.toml",
    ]
    found = second.run("doctor")
    assert f"{second.shared}:1modelforallusers" in "".join(found.out.split())
    assert _modes(second.home / "data") == {}


def test_what_its_keeper_forgot_to_open_is_named_with_the_command_that_opens_it(
    second: Second,
) -> None:
    (second.shared / "models" / "tiny.gguf").chmod(0o000)
    told = "".join(second.run("doctor").out.split())
    assert f"{second.shared / 'models' / 'tiny.gguf'}cannotbereadbythisuser" in told
    assert "sudochmod-Ra+rX" in told


@pytest.mark.model
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_what_is_recorded_is_the_user_s_alone_whatever_the_umask(
    localprompt: Localprompt, lab_home: Path, umask: int, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh" / "deep"
    os.environ["LOCALPROMPT_HOME"] = str(fresh)  # lab_home puts it back
    (fresh.parent).mkdir()
    before = os.umask(umask)
    try:
        weights = next(lab_home.glob("models/*.gguf"))
        assert localprompt("models", "add", str(weights), "--name", "starter").code == 0
        ran = localprompt("ask", "Hello.", "-m", "starter", *SHORT)
        assert ran.code == 0, ran.err
        prompt = ("long-instructions", "-p", "review=Nice.")
        assert localprompt("run", *prompt, "-m", "starter", *SHORT).code == 0
        assert localprompt("config", "set", "threads", "1").code == 0
        with History() as open_history:
            assert _modes(fresh) == {}
            assert open_history.stats().runs == 2
    finally:
        os.umask(before)
    assert _modes(fresh) == {}


def test_an_open_folder_of_an_earlier_version_is_closed_and_a_named_one_is_told_of(
    localprompt: Localprompt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = tmp_path / "xdg" / "localprompt"
    usual.mkdir(parents=True)
    usual.chmod(0o755)
    monkeypatch.delenv("LOCALPROMPT_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    with History():
        pass
    (usual / "history.db").chmod(0o644)
    usual.chmod(0o755)
    with History() as again:
        again.stats()
        assert _modes(usual) == {}

    usual.chmod(0o755)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(usual))
    told = "".join(localprompt("doctor").out.split())  # long paths go over several lines
    assert f"otherusersofthismachinecanlookinto{usual}" in told
    assert f"go={usual}" in told.replace("\\", "")
    assert stat.S_IMODE(usual.stat().st_mode) == 0o755
