"""From a job to a model in the store, or to nothing at all."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from localprompt import paths
from localprompt.errors import (
    EngineError,
    MachineError,
    NotEnoughDiskError,
    NotEnoughMemoryError,
    UnknownNameError,
)
from localprompt.measure import memory
from localprompt.measure.memory import AvailableMemory
from localprompt.models.cards import read_catalog
from localprompt.models.checksum import known_sha256
from localprompt.models.inspect import inspect_model
from localprompt.models.quantize import make as stage
from localprompt.models.quantize.job import prepare
from localprompt.models.quantize.make import make
from localprompt.models.resolve import resolve
from localprompt.models.store import add_model, verify_model
from tests.models.quantize.tiny_llama import write_model

pytestmark = pytest.mark.slow


def _nothing_left(store: Path, *but: str) -> bool:
    """Nothing under a name, nothing staged."""
    kept = sorted(path.name for path in store.iterdir()) == sorted(but)
    return kept and not (paths.cache_folder() / "quantize").exists()


def test_the_child_is_complete_verified_and_knows_its_parent(store: Path, original: Path) -> None:
    parent = add_model(original, name="tiny")
    seen: list[tuple[str, int, int | None]] = []
    made = make(prepare("tiny", "q8_0"), progress=lambda *at: seen.append(at))
    assert made.card == verify_model("tiny-q8_0")
    assert made.card.parent_sha256 == parent.sha256
    assert made.card.licence == parent.licence
    assert made.card.description == "tiny, quantized to Q8_0."
    assert known_sha256(made.card.weights) == made.card.sha256
    assert inspect_model(resolve("tiny-q8_0").path).file_type == "Q8_0"
    assert made.size_bytes_after == made.card.weights.stat().st_size < made.size_bytes_before
    weights = inspect_model(original).weights_bytes
    assert [at for at in seen if at[0] == "quantize"][-1] == ("quantize", weights, weights)
    assert [done for name, done, _ in seen if name == "quantize"] == sorted(
        done for name, done, _ in seen if name == "quantize"
    )
    assert _nothing_left(store, "tiny.toml", "tiny-q8_0.toml", "tiny-q8_0.gguf")


def test_the_parent_may_be_any_file(store: Path, original: Path) -> None:
    made = make(prepare(str(original), "q4_0"), n_threads=1)
    assert made.card.name == "tiny.f32-q4_0"
    assert made.card.parent_sha256 == known_sha256(original)
    assert made.card.licence.name == "mit"
    assert _nothing_left(store, "tiny.f32-q4_0.gguf", "tiny.f32-q4_0.toml")


def test_tensors_that_got_another_type_are_counted(store: Path, original: Path) -> None:
    (warning,) = make(prepare(str(original), "q4_k_m")).warnings
    assert warning.code == "fallback_types"
    assert "1 of 6 tensors" in warning.message


def test_force_makes_it_again(store: Path, original: Path) -> None:
    add_model(original, name="tiny")
    first = make(prepare("tiny", "f16")).card
    first.weights.write_bytes(b"damaged")
    assert make(prepare("tiny", "f16", force=True)).card == first
    assert verify_model("tiny-f16") == first


def test_a_refusal_leaves_nothing_and_says_what_helps(store: Path, original: Path) -> None:
    with pytest.raises(EngineError, match=r"did not quantize .* to IQ1_S") as caught:
        make(prepare(str(original), "iq1_s"))
    assert "importance matrix" in str(caught.value.found)
    assert "q4_k_m" in str(caught.value.next_step)
    assert _nothing_left(store)


def test_an_assertion_inside_llama_cpp_is_an_error_with_its_words(
    store: Path, tmp_path: Path
) -> None:
    source = write_model(tmp_path / "deep.gguf", changes={"llama.block_count": 5000})
    with pytest.raises(EngineError) as caught:
        make(prepare(str(source), "q8_0"))
    assert "SIGABRT" in str(caught.value.found)
    assert "GGML_ASSERT" in str(caught.value.found)
    assert _nothing_left(store)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory runs out"),
        ("print('what?', flush=True); input()", "answered nonsense"),
        ("raise SystemExit('no such library')", "exit code 1: no such library"),
        ('print(\'{"is": "made"}\', flush=True); input()', "out of turn"),
    ],
)
def test_a_child_that_dies_or_talks_nonsense_is_explained(
    store: Path, original: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    monkeypatch.setattr(stage, "WORKER_COMMAND", (sys.executable, "-c", script))
    with pytest.raises(EngineError) as caught:
        make(prepare(str(original), "q8_0"))
    assert words in str(caught.value.found)
    assert _nothing_left(store)


# ------------------------------------------------------------------------------ is there room


def test_too_little_space_is_refused_before_the_work_with_figures(
    store: Path, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=40_000))
    seen: list[str] = []
    with pytest.raises(NotEnoughDiskError, match="not enough disk space") as caught:
        make(prepare(str(original), "q8_0"), progress=lambda *_: seen.append("work"))
    assert caught.value.found == "39.1 KiB free"
    assert "KiB free (estimated)" in str(caught.value.expected)
    assert seen == []
    assert _nothing_left(store)


def test_the_estimated_size_is_that_of_the_file_and_a_little_more(
    store: Path, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimates: list[int] = []
    monkeypatch.setattr(
        stage, "check_free_disk", lambda _folder, needed, _what, **_: estimates.append(needed)
    )
    made = make(prepare(str(original), "q4_k_m"))
    assert 0 <= estimates[0] - made.size_bytes_after < 2 * stage._HEADER_GROWTH_BYTES


def test_too_little_memory_is_refused_before_the_work_with_figures(
    store: Path, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = AvailableMemory(2**30, None, 50 * 2**20, None, None)
    monkeypatch.setattr(memory, "available", lambda: little)
    with pytest.raises(NotEnoughMemoryError) as caught:
        make(prepare(str(original), "q8_0"))
    assert caught.value.found == "50.0 MiB free"
    assert "MiB (estimated)" in str(caught.value.expected)
    assert _nothing_left(store)


def test_a_disk_that_fills_up_during_the_work_is_no_crash(store: Path, original: Path) -> None:
    job = prepare(str(original), "f16")
    with _files_up_to(16 * 1024), pytest.raises(NotEnoughDiskError) as caught:
        make(job)
    assert "written completely" in caught.value.message
    assert _nothing_left(store)


@contextmanager
def _files_up_to(n_bytes: int) -> Iterator[None]:
    """No process of ours may write a larger file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_two_quantizations_at_once_are_refused(store: Path, original: Path) -> None:
    folder = paths.cache_folder() / "quantize"
    folder.mkdir(parents=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MachineError, match="another quantization is running"):
            make(prepare(str(original), "q8_0"))
    finally:
        os.close(lock)
    assert make(prepare(str(original), "q8_0")).card.name == "tiny.f32-q8_0"


# ---------------------------------------------------------------------- stopped at any moment

_STOPPED = """
import os, signal, sys
from localprompt import __main__
from localprompt.models.quantize import make as stage
from localprompt.views import progress

moment, number, *arguments = sys.argv[1:]

def stop(*_, **__):
    os.kill(os.getpid(), int(number))

class Progress:
    def __init__(self, _):
        pass
    def __call__(self, at, done, total):
        if at == moment == "quantize" and 0 < done < total:
            stop()

progress.BytesProgress = Progress
if hasattr(stage, moment):
    setattr(stage, moment, stop)
__main__.main(arguments)
"""
_MOMENTS = ("quantize", "sync", "remember_sha256", "add_model")
"""Between two tensors; written and not renamed; renamed and without a card (twice)."""


def _stopped(moment: str, number: signal.Signals, *arguments: str) -> int:
    """Quantize in a process that sends itself a signal at that moment; its exit status."""
    command = [sys.executable, "-c", _STOPPED, moment, str(int(number)), *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("moment", _MOMENTS)
def test_a_kill_leaves_nothing_that_can_be_found_by_name(
    store: Path, original: Path, moment: str
) -> None:
    arguments = ("models", "quantize", str(original), "--to", "q8_0")
    assert _stopped(moment, signal.SIGKILL, *arguments) == -signal.SIGKILL
    assert not [name for name in read_catalog().cards if name.startswith("tiny")]
    with pytest.raises(UnknownNameError):
        resolve("tiny.f32-q8_0")
    card = make(prepare(str(original), "q8_0")).card
    assert verify_model("tiny.f32-q8_0") == card
    assert _nothing_left(store, "tiny.f32-q8_0.gguf", "tiny.f32-q8_0.toml")


@pytest.mark.parametrize("moment", _MOMENTS)
def test_a_kill_while_it_is_made_again_leaves_the_old_one_or_none(
    store: Path, original: Path, moment: str
) -> None:
    old = make(prepare(str(original), "q8_0")).card
    arguments = ("models", "quantize", str(original), "--to", "q8_0", "--force")
    assert _stopped(moment, signal.SIGKILL, *arguments) == -signal.SIGKILL
    if moment in {"quantize", "sync"}:
        assert verify_model(old.name) == old
    else:
        assert read_catalog().find(old.name) is None


@pytest.mark.parametrize("moment", ["quantize", "sync"])
def test_ctrl_c_leaves_nothing_and_exits_as_interrupted(
    store: Path, original: Path, moment: str
) -> None:
    arguments = ("models", "quantize", str(original), "--to", "q8_0")
    assert _stopped(moment, signal.SIGINT, *arguments) == 130
    assert _nothing_left(store)


def test_leaving_early_ends_the_child(
    store: Path, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(real(*arguments, **options))  # type: ignore[call-overload]
        return started[-1]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt):
        make(prepare(str(original), "q8_0"), progress=interrupt)
    assert [process.returncode is not None for process in started] == [True]
    assert _nothing_left(store)
