from __future__ import annotations

import json
import signal
from pathlib import Path

import msgspec
import pytest

from localprompt.cli.finetune_measure import MeasureFlags, request_from_flags
from localprompt.errors import InputError
from localprompt.records.training import TrainingResult
from tests.cli.conftest import Localprompt
from tests.cli.program import command_line, started
from tests.finetune.training.conftest import PROMPT, ROWS, write_rows
from tests.finetune.training.tiny_model import write_trainable

TRAINING = ("tiny.gguf", "--train", "train.csv", "--prompt", "sort.prompty", "--as", "tuned")


@pytest.fixture
def ready(work: Path) -> Path:
    """The working directory, with a model, examples and a prompt in it."""
    write_trainable(work / "tiny.gguf")
    write_rows(work / "train.csv", ROWS)
    (work / "sort.prompty").write_text(PROMPT.replace("yes, no", "'yes', 'no'"))
    return work


def test_a_training_shows_what_was_measured_beside_what_was_estimated(
    ready: Path, localprompt: Localprompt
) -> None:
    ran = localprompt("finetune", "measure", *TRAINING, "--epochs", "1", "--threads", "1")
    assert ran.code == 0, ran.err
    assert "Loss, measured" in ran.out
    memory = ran.out[ran.out.index("Memory") :]
    assert memory.splitlines()[1].split() == ["part", "measured", "estimated"]
    assert "localprompt eval sort.prompty -m tuned" in ran.err


def test_the_result_can_be_read_by_programs_and_in_markdown(
    ready: Path, localprompt: Localprompt
) -> None:
    options = ("--epochs", "1", "--threads", "1", "--quiet")
    ran = localprompt("finetune", "measure", *TRAINING, *options, "--json")
    assert ran.err == ""
    result = msgspec.json.decode(ran.out, type=TrainingResult)
    assert json.loads(ran.out)["kind"] == "finetune"
    assert result.tuned.name == "tuned"
    ran = localprompt(
        "finetune", "measure", *TRAINING, *options, "--again", "-f", "md", "-o", "out.md"
    )
    assert (ran.code, ran.out) == (0, "")
    assert "| peak RSS |" in (ready / "out.md").read_text()


def test_wrong_words_end_with_2_and_say_what_would_be_right(
    ready: Path, localprompt: Localprompt
) -> None:
    for wrong in (("--loss", "some"), ("--holdout", "1.5"), ("--n-ctx", "100"), ("--resume",)):
        ran = localprompt("finetune", "measure", *TRAINING, *wrong)
        assert ran.code == 2
        assert ran.fields()["where"] == wrong[0]
        assert ran.fields()["expected"]


def test_ctrl_c_keeps_a_checkpoint_and_ends_with_130(ready: Path) -> None:
    arguments = command_line("finetune", "measure", *TRAINING, "--epochs", "1000000")
    with started([*arguments, "--threads", "1"]) as process:
        assert process.stderr is not None
        line = ""
        while "checkpoint" not in line:  # the first one is told of as soon as it is there
            line = process.stderr.readline()
            assert line, "it ended by itself"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    assert "and --resume" in rest


def test_what_is_held_out_is_a_file_or_a_share() -> None:
    request = request_from_flags("m", Path("t.csv"), "p", MeasureFlags(holdout="0.25"))
    assert (request.holdout, request.holdout_fraction) == (None, 0.25)
    request = request_from_flags("m", Path("t.csv"), "p", MeasureFlags(holdout="test.csv"))
    assert request.holdout == "test.csv"
    with pytest.raises(InputError, match="--holdout"):
        request_from_flags("m", Path("t.csv"), "p", MeasureFlags(holdout="-1"))
