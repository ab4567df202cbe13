from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.errors import (
    DatasetError,
    EngineError,
    InputError,
    NotEnoughMemoryError,
    WorkerError,
)
from localprompt.finetune.training.run import tune
from localprompt.measure import memory
from localprompt.models.cards import read_card
from localprompt.records.training import TrainingProgress, TrainingRequest, TrainingResult
from localprompt.store.history import EXPERIMENTS, History
from tests.finetune.training.conftest import ROWS, write_rows
from tests.finetune.training.tiny_model import write_trainable

pytestmark = pytest.mark.slow

REQUEST = TrainingRequest(
    model="tiny.gguf",
    train="train.csv",
    prompt="sort.prompty",
    name="tuned",
    epochs=2,
    learning_rate=1e-2,
    n_threads=1,
    holdout_fraction=0.25,
)


def training(**changes: Any) -> TrainingRequest:
    return msgspec.structs.replace(REQUEST, **changes)


def test_a_training_gives_a_model_with_a_card_and_a_record(work: Path) -> None:
    seen: list[TrainingProgress] = []
    result = tune(REQUEST, seen.append)
    assert [epoch.epoch for epoch in result.epochs] == [0, 1, 2]
    losses = [epoch.holdout_loss for epoch in result.epochs]
    assert losses[0] is not None
    assert losses[2] is not None
    assert losses[2] < losses[0]
    assert result.stopped == "epochs"
    assert (result.examples.trained, result.examples.held_out) == (9, 3)
    assert len(result.step_losses) == 2 * result.examples.windows
    card = read_card(work / "home" / "models" / "tuned.toml")
    assert (card.parent_sha256, card.sha256) == (result.parent.sha256, result.tuned.sha256)
    assert card.licence.name == "mit"
    assert result.tuned == result.full, "the parent is of 32-bit floats itself"
    parts = msgspec.structs.asdict(result.memory)
    assert parts.pop("peak_rss_bytes") == sum(parts.values())
    assert [now.stage for now in seen][:3] == ["load", "holdout", "holdout"]
    assert seen[-1].stage == "publish"
    with History() as history:
        assert history.kept(history.find("last finetune").id, "finetune") == result
    assert not list((work / "home" / "cache").glob("training-*")), "nothing is left behind"


def test_a_quantized_parent_gets_a_quantized_child(work: Path) -> None:
    from localprompt.models.quantize.job import prepare
    from localprompt.models.quantize.make import make

    make(prepare("tiny.gguf", "q8_0"), n_threads=1)
    result = tune(training(model="tiny-q8_0", epochs=1, log=False))
    assert (result.tuned.name, result.tuned.quantization) == ("tuned", "Q8_0")
    assert (result.full.name, result.full.quantization) == ("tuned-f32", "F32")
    assert result.tuned.size_bytes < result.full.size_bytes
    with History() as history:
        assert history.newest(EXPERIMENTS) is None
    with pytest.raises(InputError, match="exists already"):
        tune(training(model="tiny-q8_0", epochs=1))
    again = tune(training(model="tiny-q8_0", epochs=1, again=True))
    assert again.tuned.sha256 == result.tuned.sha256, "the same seed, the same model"


def test_after_ctrl_c_a_resumption_goes_on_at_that_step(work: Path) -> None:
    def press(now: TrainingProgress) -> None:
        if now.stage == "train" and now.step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    request = training(epochs=4, n_ctx=256)
    with pytest.raises(KeyboardInterrupt):
        tune(request, press)
    with pytest.raises(InputError, match="cut off"):
        tune(request)
    with pytest.raises(InputError, match="the examples"):
        tune(msgspec.structs.replace(request, resume=True, seed=5))
    result = tune(msgspec.structs.replace(request, resume=True))
    assert result.resumptions == 1
    assert len(result.step_losses) == 4 * result.examples.windows
    assert [epoch.epoch for epoch in result.epochs] == [0, 1, 2, 3, 4]


_DIES = """
import os, sys
from localprompt.finetune.training import worker, loop
steps = []
def run(course, model, *, say, save, stop, _run=loop.run, **rest):
    def counted(reply):
        say(reply)
        steps.append(reply)
        if len(steps) > {after}:
            os.kill(os.getpid(), 9)
    return _run(course, model, say=counted, save=save, stop=stop, **rest)
loop.run = run
sys.exit(worker.main())
"""


def test_a_training_that_was_killed_goes_on_from_its_last_checkpoint(work: Path) -> None:
    windows = 1
    dies = (sys.executable, "-c", _DIES.format(after=2 * windows + 1))
    with pytest.raises(WorkerError, match="SIGKILL") as caught:
        tune(training(epochs=3), command=dies)
    assert "--resume" in str(caught.value.next_step)
    result = tune(training(epochs=3, resume=True))
    whole = tune(training(epochs=3, name="whole"))
    assert len(result.step_losses) == len(whole.step_losses)
    assert result.epochs[1].holdout_loss == whole.epochs[1].holdout_loss


def test_a_loss_that_is_no_number_stops_the_training(work: Path) -> None:
    import struct

    from localprompt.gguf.header import read_gguf

    head = read_gguf(work / "tiny.gguf")
    tensor = next(t for t in head.tensors if t.name == "output.weight")
    with (work / "tiny.gguf").open("r+b") as file:
        file.seek(head.data_offset + tensor.offset)
        file.write(struct.pack("<f", float("nan")))
    with pytest.raises(EngineError, match="no longer a number") as caught:
        tune(REQUEST)
    assert "--learning-rate" in str(caught.value.next_step)


def test_too_little_memory_is_refused_with_the_figure_before_anything_starts(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = memory.AvailableMemory(1 << 30, None, 1 << 20, 0, 0)
    monkeypatch.setattr(memory, "available", lambda: little)
    with pytest.raises(NotEnoughMemoryError, match=r"1\.00 MiB free") as caught:
        tune(REQUEST)
    assert "MiB (estimated" in str(caught.value.expected)
    assert not (work / "home" / "models").exists()
    assert isinstance(tune(training(epochs=1, force=True)), TrainingResult)


def test_files_of_examples_that_are_none_are_refused(work: Path) -> None:
    cases = {
        "nothing to train on": write_rows(work / "empty.csv", []),
        "same answer": write_rows(work / "one.csv", [(word, "yes") for word, _ in ROWS]),
        "not one of the prompt's choices": write_rows(work / "odd.csv", [("a", "maybe")]),
        "longer than the training context": write_rows(
            work / "long.csv", [("word " * 3000, "yes"), ("b", "no")]
        ),
        "no such dataset": work / "missing.csv",
    }
    for problem, path in cases.items():
        with pytest.raises(DatasetError, match=problem):
            tune(training(train=str(path)))
    (work / "bare.csv").write_text("word\na\n")
    with pytest.raises(DatasetError, match="no answer") as caught:
        tune(training(train="bare.csv"))
    assert str(caught.value.where).endswith("bare.csv:2")


def test_a_model_that_llama_cpp_cannot_train_is_refused_by_name(work: Path) -> None:
    write_trainable(work / "other.gguf", "gemma3")
    with pytest.raises(InputError, match="GeGLU has no backward pass"):
        tune(training(model="other.gguf"))
    write_trainable(work / "new.gguf", "unheard-of")
    with pytest.raises(InputError, match="never tested"):
        tune(training(model="new.gguf"))


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"epochs": 0}, "--epochs"),
        ({"learning_rate": 0.0}, "--learning-rate"),
        ({"holdout_fraction": 1.0}, "--holdout"),
        ({"max_minutes": -1.0}, "--max-minutes"),
        ({"name": "No Name"}, "--as"),
        ({"resume": True}, "--resume"),
        ({"resume": True, "again": True}, "--resume and --again"),
    ],
)
def test_numbers_and_words_out_of_their_range_are_named(
    work: Path, changes: dict[str, Any], flag: str
) -> None:
    with pytest.raises(InputError) as caught:
        tune(training(**changes))
    assert caught.value.where == flag


def test_a_training_ends_when_its_time_is_up(work: Path) -> None:
    result = tune(training(epochs=100_000, max_minutes=0.005))
    assert result.stopped == "max_minutes"
    assert 1 <= len(result.step_losses) < 100_000
    assert result.epochs[-1].holdout_loss is not None
