"""A tuning that was cut off goes on; one that is not there begins."""

from __future__ import annotations

import pytest

from localprompt.errors import DatasetError, InputError
from localprompt.evidence.opening import go_on_or_begin
from localprompt.records.training import TrainingRequest

REQUEST = TrainingRequest(model="small", train="train.csv", prompt="plain", name="small-1")


def asked_of_training(
    monkeypatch: pytest.MonkeyPatch, first: Exception | None
) -> list[tuple[bool, bool]]:
    """(resume, again) of every call, of which the first may fail."""
    asked: list[tuple[bool, bool]] = []

    def tune(request: TrainingRequest, on_progress: object) -> str:
        asked.append((request.resume, request.again))
        if first is not None and len(asked) == 1:
            raise first
        return "result"

    monkeypatch.setattr("localprompt.finetune.training.run.tune", tune)
    assert go_on_or_begin(REQUEST, lambda _: None) == "result"  # type: ignore[comparison-overlap]
    return asked


def test_a_tuning_that_was_cut_off_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_of_training(monkeypatch, None) == [(True, False)]


def test_a_tuning_that_was_never_begun_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = InputError("there is no training to go on with", where="--resume")
    assert asked_of_training(monkeypatch, nothing) == [(True, False), (False, True)]


def test_what_is_wrong_with_the_examples_is_not_tried_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DatasetError):
        asked_of_training(monkeypatch, DatasetError("no answer", where="train.csv:3"))
