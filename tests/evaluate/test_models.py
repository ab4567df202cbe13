"""The contexts of an open model, from one batch of requests to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localprompt.engine.scripted import ScriptedEngine
from localprompt.evaluate.models import OpenModel
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.run import RequestedSettings

pytestmark = pytest.mark.model


class Counting(ScriptedEngine):
    """Remembers the contexts that were opened in it."""

    def __init__(self) -> None:
        super().__init__(lambda _: [b"x"])
        self.opened: list[tuple[int, int, bool]] = []

    def prepare(
        self,
        requested: RequestedSettings,
        *,
        n_ctx: int,
        parallel: int = 1,
        kv_unified: bool = True,
    ) -> None:
        self.opened.append((parallel, n_ctx, kv_unified))
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
