"""Ways to make free answers: which are tried, and what becomes of the one that wins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.improve.answers import answerings
from localprompt.records.prompt import PromptTemplate
from localprompt.sources.prompt.file import load_prompt
from tests.evaluate.harness import Lab
from tests.improve.test_search import Searched, searched

__all__ = ["searched"]


def tried(**template: object) -> dict[str, dict[str, object]]:
    one = PromptTemplate(name="x", body="user:\n{{ x }}\n", **template)  # type: ignore[arg-type]
    return {way.name: dict(way.options) for way in answerings(one)}


def test_a_free_answer_may_stop_at_a_line_be_shorter_longer_or_warmer() -> None:
    assert tried(options={"maxOutputTokens": 24}) == {
        "stops at the end of the line": {"stopSequences": ["\n"]},
        "up to 12 tokens": {"maxOutputTokens": 12},
        "up to 48 tokens": {"maxOutputTokens": 48},
        "temperature 0.3": {"temperature": 0.3},
    }


def test_stops_that_the_prompt_has_are_kept() -> None:
    ways = tried(options={"stopSequences": ["END"], "temperature": 0.7})
    assert ways["stops at the end of the line"] == {"stopSequences": ["END", "\n"]}
    assert ways["the likeliest token each time"] == {"temperature": 0}


def test_an_answer_with_a_form_is_never_cut() -> None:
    ways = tried(options={"maxOutputTokens": 96}, output_schema={"type": "object"})
    assert list(ways) == ["up to 192 tokens", "temperature 0.3"]


def test_closed_answers_are_not_written_so_there_is_nothing_to_try() -> None:
    assert tried(choices=("a", "b")) == {}


FREE = """---
name: tone
model: {options: {temperature: 0, maxOutputTokens: 24}}
inputs:
  - {name: text, kind: string, required: true}
---
user:
{{ text }}
Good or bad?
"""


@pytest.fixture
def rambling(tmp_path: Path) -> Iterator[Searched]:
    def answer(prompt: str) -> str:
        said = "good" if "fine" in prompt else "bad"
        return f"{said}\nAnd what do you think?"

    with Lab(tmp_path, answer) as lab:
        made = Searched(lab, tmp_path)
        lab.write("tone.prompty", FREE)
        yield made


def test_where_a_model_rambles_the_end_of_the_line_is_found_and_written(
    rambling: Searched,
) -> None:
    output = rambling.folder / "better.prompty"
    found = rambling.run(lambda before, word: -1.0, search=("answers",), output=str(output))
    winner = found.trial(found.winner)
    assert winner is not None
    assert winner.answers == "stops at the end of the line"
    assert found.final is not None
    assert (found.final.before, found.final.after) == (0.0, 1.0)
    assert load_prompt(output).options["stopSequences"] == ["\n"]
    assert load_prompt(output).options["maxOutputTokens"] == 24


def test_answers_can_be_left_out_of_the_search(rambling: Searched) -> None:
    found = rambling.run(lambda before, word: -1.0, search=("wordings",))
    assert all(not trial.answers for trial in found.trials)
