"""What holds for all tests."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from localprompt import paths
from localprompt.engine.llama.proof import gate
from localprompt.measure.machine import default_threads
from localprompt.models.checksum import remember_sha256
from localprompt.store import under_way
from localprompt.store.finding import OpenHistory
from tests import needs

# A shell that runs the tests in the background has them ignore Ctrl-C, and programs that they
# start inherit that; a handler of our own is not inherited, so those begin as they should.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _own_cpus() -> None:
    """Beside other workers of pytest-xdist, keep to a share of the CPUs that is this one's alone.

    Threads of llama.cpp wait for each other by spinning: two models on the same cores starve.
    """
    number, count = (
        os.environ.get(f"PYTEST_XDIST_{name}", "") for name in ("WORKER", "WORKER_COUNT")
    )
    if count and sys.platform == "linux":
        usable = sorted(os.sched_getaffinity(0))
        at = int(number.removeprefix("gw")) % len(usable)
        os.sched_setaffinity(0, usable[at :: int(count)])


_own_cpus()
THREADS = min(2, default_threads())
"""For models that tests open themselves."""

# Each test's home is new, and would have llama.cpp proved in it; test_proof.py does that.
os.environ.setdefault(gate.VARIABLE, "off")

# How long an example takes depends on the machine and on what else it does; no test judges that.
settings.register_profile("localprompt", deadline=None)
settings.load_profile("localprompt")

# What a machine has for all its users must not change what a test finds.
os.environ["LOCALPROMPT_SHARED"] = paths.NO_SHARED

# What the program says is tested in English, whatever the developer speaks.
os.environ["LANGUAGE"] = "en"

_skipped: list[str] = []
"""Reasons, in the order of the tests."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What ``-n auto`` stands for: a core each, and no more models at once than memory is for."""
    return min(4, default_threads())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--need-tools", action="store_true", help="Fail if a test is skipped for a missing tool."
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        _skipped.append(report.longrepr[2])


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        _skipped.append(report.longrepr[2])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--need-tools") and needs.missing_tools(_skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """After pytest's own last line, so that nobody has to scroll up for it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    if line := needs.summary(_skipped):
        reporter.write_line(line)
    tools = needs.missing_tools(_skipped)
    if config.getoption("--need-tools") and tools:
        reporter.write_line(f"error: tests were skipped for want of {', '.join(tools)}", red=True)


def _pulled(file: str, name: str, more: str = "") -> Path:
    """Weights in the user's own store; tests never write there."""
    path = paths.weights_folder() / file
    if not path.is_file():
        pytest.skip(needs.model(name, more))
    return path


@pytest.fixture(scope="session")
def starter_model() -> Path:
    """The weights of smollm2-135m."""
    return _pulled("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m")


@pytest.fixture(scope="session")
def base_model() -> Path:
    """The weights of gemma3-270m, a model without a chat template."""
    return _pulled("gemma-3-270m-q4_k_m.gguf", "gemma3-270m", " --accept-license")


@pytest.fixture(scope="session")
def laptop_model() -> Path:
    """The weights of qwen2.5-coder-0.5b: another family, of a laptop's size."""
    return _pulled("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-0.5b")


@pytest.fixture(scope="session")
def large_model() -> Path:
    """The weights of qwen2.5-coder-1.5b."""
    return _pulled("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-1.5b")


@pytest.fixture(scope="session")
def starter_sha256(starter_model: Path) -> str:
    """Of the file as it lies there, hashed once for all tests."""
    with starter_model.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(autouse=True, scope="session")
def nothing_is_announced_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests measure without a home of their own is not told to who uses this one."""
    usual, elsewhere = under_way._folder, tmp_path_factory.mktemp("running")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            under_way,
            "_folder",
            lambda: usual() if "LOCALPROMPT_HOME" in os.environ else elsewhere,
        )
        yield


@pytest.fixture(autouse=True)
def every_history_is_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Left open, one is cleared away later: in any thread, and to the cost of another test."""
    left: list[OpenHistory] = []
    begin, close = OpenHistory.__init__, OpenHistory.close

    def begin_and_note(history: OpenHistory, *args: Any, **options: Any) -> None:
        begin(history, *args, **options)
        left.append(history)

    def close_and_forget(history: OpenHistory) -> None:
        close(history)
        left[:] = [other for other in left if other is not history]

    monkeypatch.setattr(OpenHistory, "__init__", begin_and_note)
    monkeypatch.setattr(OpenHistory, "close", close_and_forget)
    yield
    for history in left.copy():
        close(history)
    assert not left, f"left open: {', '.join(str(history.path) for history in left)}"


@pytest.fixture
def lab_home(
    starter_model: Path, starter_sha256: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A home of the test's own, with a link to the starter model's weights in its store; and an
    empty working directory, ``tmp_path / "work"``."""
    lab = tmp_path / "lab"
    (lab / "models").mkdir(parents=True)
    weights = lab / "models" / starter_model.name
    weights.symlink_to(starter_model)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(lab))
    remember_sha256(weights, starter_sha256)
    return lab
