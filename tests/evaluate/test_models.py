"""The contexts of an open model, from one batch of requests to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localprompt.engine.scripted import ScriptedEngine
from localprompt.evaluate.models import OpenModel
from localprompt.evaluate.ways import Shape
from localprompt.records.attention import StepCost
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.run import RequestedSettings
from tests.attention_tables import table

pytestmark = pytest.mark.model


class Counting(ScriptedEngine):
    """Remembers the contexts that were opened in it."""

    def __init__(self) -> None:
        super().__init__(lambda _: [b"x"])
        self.opened: list[tuple[int, int, bool]] = []
        self.asked: list[RequestedSettings] = []

    def prepare(
        self,
        requested: RequestedSettings,
        *,
        n_ctx: int,
        parallel: int = 1,
        kv_unified: bool = True,
    ) -> None:
        self.opened.append((parallel, n_ctx, kv_unified))
        self.asked.append(requested)
        super().prepare(requested, n_ctx=n_ctx, parallel=parallel, kv_unified=kv_unified)


def _opened(model: Path, **request: Any) -> tuple[OpenModel, Counting]:
    engine = Counting()
    record = ModelRecord(name="starter", path=str(model), sha256=None)
    opened = OpenModel(record, EvalRequest(suite="s", **request), lambda *_: engine)
    return opened, engine


def test_short_answers_get_cells_of_their_own_and_choices_share(starter_model: Path) -> None:
    opened, engine = _opened(starter_model)
    opened.prepare([100] * 64)
    assert (opened.parallel, opened.cells) == (32, 256)
    opened.prepare([100] * 64, generating=False)
    assert opened.parallel == 16
    assert engine.opened == [(32, 256, False), (16, 1792, True)]


@pytest.mark.parametrize("judged", [400, 1500])
def test_a_judge_in_between_opens_no_context_again_and_again(
    starter_model: Path, judged: int
) -> None:
    opened, engine = _opened(starter_model)
    for _ in range(3):
        opened.prepare([200] * 64)
        for _ in range(5):
            opened.prepare([judged])
    assert len(engine.opened) <= 3
    assert opened.most_parallel >= 16


def test_a_context_that_serves_stays(starter_model: Path) -> None:
    opened, engine = _opened(starter_model)
    opened.prepare([100] * 64)
    opened.prepare([200] * 20)
    opened.prepare([30])
    assert len(engine.opened) == 1


def test_a_shared_beginning_takes_its_cells_once(starter_model: Path) -> None:
    opened, engine = _opened(starter_model)
    opened.prepare([640] * 200, shared=600, generating=False)
    opened.prepare([620] * 200, shared=600, generating=False)
    assert engine.opened == [(16, 1280, True)]
    opened.prepare([640] * 200, generating=False)
    assert engine.opened[1:] == [(16, 10240, True)]


TEXTS = Shape(shared_tokens=30, own_tokens=50, answer_tokens=64, requests=64)


def _measured(model: Path, **request: Any) -> tuple[OpenModel, Counting]:
    """On a machine where flash attention is slow below 64 tokens."""
    opened, engine = _opened(model, **request)
    engine.attention = table()
    engine.step_costs = tuple(StepCost(n, 0.004 + 0.001 * n) for n in (1, 2, 4, 8, 16, 32, 64))
    return opened, engine


def test_texts_are_decoded_without_flash_attention_where_that_is_faster(
    starter_model: Path,
) -> None:
    opened, engine = _measured(starter_model)
    opened.prepare([144] * 64, shared=30, shape=TEXTS)
    assert engine.asked[-1].flash_attn is False
    settings = opened.settings()
    assert settings is not None
    assert settings.attention is not None
    assert settings.attention.startswith(f"off ({opened.parallel} at once ")
    opened.prepare([100] * 20, shared=30, shape=TEXTS)
    assert len(engine.opened) == 1, "it serves"


def test_what_is_left_to_do_has_no_say_in_the_way(starter_model: Path) -> None:
    ways = set()
    for left in (64, 30, 5, 1):
        opened, engine = _measured(starter_model)
        opened.prepare([144] * left, shared=30, shape=TEXTS)
        ways.add(engine.asked[-1].flash_attn)
    assert ways == {False}


@pytest.mark.parametrize("parallel", [1, 4, 64])
def test_how_many_at_once_has_no_say_in_it_either(starter_model: Path, parallel: int) -> None:
    opened, engine = _measured(starter_model, parallel=parallel)
    opened.prepare([144] * 64, shared=30, shape=TEXTS)
    assert engine.asked[-1].flash_attn is False
    assert opened.parallel == parallel


@pytest.mark.parametrize("typed", [True, False])
def test_what_is_typed_is_obeyed(starter_model: Path, typed: bool) -> None:
    opened, engine = _measured(starter_model, settings=RequestedSettings(flash_attn=typed))
    opened.prepare([144] * 64, shared=30, shape=TEXTS)
    assert engine.asked[-1].flash_attn is typed
    assert engine.opened == [(32, 256, False)], "with the usual numbers"
    settings = opened.settings()
    assert settings is not None
    assert settings.attention is None


def test_values_that_need_flash_attention_have_nothing_to_choose(starter_model: Path) -> None:
    opened, engine = _measured(starter_model, settings=RequestedSettings(type_v="q8_0"))
    opened.prepare([144] * 64, shared=30, shape=TEXTS)
    assert engine.asked[-1].flash_attn is None
    settings = opened.settings()
    assert settings is not None
    assert settings.attention == "llama.cpp's own: values in q8_0 need it on"


def test_a_judge_in_between_goes_the_way_that_is_open(starter_model: Path) -> None:
    opened, engine = _measured(starter_model)
    opened.prepare([144] * 64, shared=30, shape=TEXTS)
    opened.prepare([100])
    assert len(engine.opened) == 1


def test_where_the_scores_do_not_fit_it_stays_as_it_was(
    starter_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, engine = _measured(starter_model)
    monkeypatch.setattr(opened, "_fits", lambda room: room.flash_attn is not False)
    opened.prepare([144] * 64, shared=30, shape=TEXTS)
    assert engine.asked[-1].flash_attn is True
