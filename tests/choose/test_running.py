"""A choice from the suite to its figures, with scripted models and real worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.choose.opening import Opened, begin, resume
from localprompt.choose.running import carry_out, load_choice
from localprompt.errors import InputError, PromptFileError, UnknownNameError
from localprompt.evaluate.models import Models
from localprompt.records.cell import BenchRequest
from localprompt.records.choice import ChoiceResult, Prices
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.running.execute import render
from tests.bench.benches import model_file
from tests.bench.scripted_worker import COMMAND
from tests.evaluate.conftest import CASES, SUITE
from tests.evaluate.harness import Lab, find_model

pytestmark = pytest.mark.slow


class Chooser:
    """A lab whose models have files."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._file = model_file(lab.folder)

    def find(self, name: str) -> ModelRecord:
        status = self._file.stat()
        return msgspec.structs.replace(
            find_model(name), path=str(self._file), size_bytes=status.st_size
        )

    def begin(self, suite: str = "tones.yaml", **more: Any) -> Opened:
        prices = more.pop("prices", Prices())
        request = EvalRequest(
            suite=str(self.lab.folder / suite),
            **{"models": ("small", "large"), "force": True, **more},
        )
        return begin(request, prices, self.lab.store, repetitions=6, find_model=self.find)

    def carry_out(self, opened: Opened) -> ChoiceResult:
        with Models(self.lab.open_engine) as models:
            carry_out(opened, self.lab.store, models, find_model=self.find, command=COMMAND)
        return load_choice(opened.choice, self.lab.store)


@pytest.fixture
def chooser(tmp_path: Path) -> Iterator[Chooser]:
    lab = Lab(tmp_path, lambda prompt: "good" if "fine" in prompt else "bad")
    lab.write("tones.yaml", SUITE)
    lab.write("cases.csv", CASES)
    with lab.store:
        yield Chooser(lab)


def test_a_choice_has_quality_speed_memory_and_cost_of_each(chooser: Chooser) -> None:
    result = chooser.carry_out(chooser.begin())
    assert [row.target.model.name for row in result.rows] == ["small", "large"]
    for row in result.rows:
        assert (row.passes.passed, row.passes.failed) == (3, 1)
        assert row.ttft is not None
        assert row.ttft.n == 6
        assert row.answer is not None
        assert row.peak_rss_bytes is not None
        assert row.thousand is not None
        assert row.thousand.answered == 4
        assert row.thousand.cpu_seconds > 0
    assert len(result.pairs) == 1
    assert result.complete


def test_answers_are_made_anew_because_their_time_counts(chooser: Chooser) -> None:
    chooser.carry_out(chooser.begin())
    asked = len(chooser.lab.asked)
    chooser.carry_out(chooser.begin())
    assert len(chooser.lab.asked) == 2 * asked


def test_a_choice_that_was_cut_off_goes_on_where_it_was(chooser: Chooser) -> None:
    opened = chooser.begin()
    before = load_choice(opened.choice, chooser.lab.store)
    assert not before.complete
    assert before.rows[0].thousand is None
    assert before.rows[0].ttft is None
    result = chooser.carry_out(resume(opened.choice.id.lower(), chooser.lab.store))
    assert result.complete
    assert result.choice == opened.choice


def test_a_suite_in_another_template_language_is_measured_by_what_it_renders(
    chooser: Chooser,
) -> None:
    opened = chooser.begin()
    request = msgspec.convert(opened.experiment.cells[0].request, BenchRequest)
    (message,) = render(request.cell).messages
    assert message.role == "user"
    assert message.text.startswith("Is this good or bad? a ")


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"models": ("small",)}, InputError, "nothing to choose among"),
        ({"models": ("small", "huge")}, UnknownNameError, "huge"),
        ({"prices": Prices(usd_per_kwh=0.0)}, InputError, "not an amount of money"),
        ({"prices": Prices(usd_per_hour=float("nan"))}, InputError, "not an amount of money"),
        ({"suite": "none.yaml"}, InputError, "no such suite"),
    ],
)
def test_what_is_wrong_is_found_before_anything_runs_and_nothing_is_stored(
    more: dict[str, Any], error: type[Exception], words: str, chooser: Chooser
) -> None:
    with pytest.raises(error, match=words):
        chooser.begin(**more)
    assert chooser.lab.asked == []
    assert chooser.lab.store.newest() is None


def test_a_prompt_that_does_not_render_is_said_before_a_model_is_opened(chooser: Chooser) -> None:
    chooser.lab.write("p.txt", "{{ text | nosuchfilter }}")
    chooser.lab.write("odd.yaml", "prompts: [file://p.txt]\ntests: file://cases.csv\n")
    with pytest.raises((PromptFileError, InputError)):
        chooser.begin("odd.yaml")
    assert chooser.lab.asked == []
