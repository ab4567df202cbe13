from __future__ import annotations

import time
from pathlib import Path

import pytest

from localprompt.errors import InputError
from localprompt.improve.turns import simple
from localprompt.improve.wordings import MOST_WORDINGS, read_wordings, rewrites
from localprompt.records.prompt import InputSpec, PromptTemplate
from localprompt.rendering.segments import undeclared_variables

PLAIN = PromptTemplate(
    name="sentiment-plain",
    body="system:\nIs it positive?\n\nuser:\nReview: {{ review }}\nPositive or negative?\n",
    inputs=(InputSpec("review", required=True),),
    choices=("positive", "negative"),
)


def test_a_simple_prompt_is_told_apart_into_its_parts() -> None:
    parts = simple(PLAIN.body)
    assert parts is not None
    assert parts.instruction == "Is it positive?"
    assert parts.question == "Positive or negative?"
    assert [(field.name, field.label) for field in parts.fields] == [("review", "Review")]
    assert parts.cue is None


@pytest.mark.parametrize(
    "body",
    [
        "user:\n{% if review %}{{ review }}{% endif %}",
        "user:\nThe review {{ review }} is what?",
        "system:\n{{ review }}\n\nuser:\nhello",
        "user:\n{{ review|upper }}",
        "assistant:\n{{ review }}",
    ],
)
def test_what_is_not_simple_is_left_as_it_is(body: str) -> None:
    assert rewrites(PromptTemplate(name="x", body=body)) == ()


def test_rewrites_keep_every_variable_and_are_all_different() -> None:
    found = rewrites(PLAIN)
    assert len({wording.body for wording in found}) == len(found) > 10
    assert all(set(undeclared_variables(wording.body)) == {"review"} for wording in found)
    assert PLAIN.body not in {wording.body for wording in found}


def test_the_prompts_name_gives_a_cue() -> None:
    assert any(
        wording.body.endswith("Review: {{ review }}\nSentiment:\n") for wording in rewrites(PLAIN)
    )


def test_a_wordings_file_has_several_with_names(tmp_path: Path) -> None:
    path = tmp_path / "wordings.md"
    path.write_text("# short\n{{ review }}?\n---\nsystem:\nSay it.\n\nuser:\n{{ review }}\n")
    short, longer = read_wordings(path, PLAIN)
    assert (short.name, short.body) == ("short", "user:\n{{ review }}?\n")
    assert longer.body.startswith("system:\nSay it.")


def test_a_wording_without_the_prompts_variables_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "wordings.md"
    path.write_text("{{ review }}\n---\nSay it: {{ text }}\n")
    with pytest.raises(InputError, match="does not have the prompt's variables") as caught:
        read_wordings(path, PLAIN)
    assert caught.value.where == f"{path}:2"
    assert caught.value.found == "{{ text }}"


def test_an_empty_or_missing_wordings_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_wordings(tmp_path / "none.md", PLAIN)
    empty = tmp_path / "empty.md"
    empty.write_text("\n---\n")
    with pytest.raises(InputError, match="no wordings"):
        read_wordings(empty, PLAIN)


def test_a_device_a_text_without_end_and_wordings_without_number_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match="only files are read"):
        read_wordings(Path("/dev/zero"), PLAIN)
    many = tmp_path / "many.md"
    many.write_text("{{ review }}\n---\n" * 200_000)
    with pytest.raises(InputError, match="too many wordings") as caught:
        read_wordings(many, PLAIN)
    assert caught.value.where == f"{many}:{2 * MOST_WORDINGS}"


def test_a_wording_of_blank_lines_is_read_in_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "blank.md"
    path.write_text("a" + "\n" * 500_000 + "{{ review }}\n")
    began = time.process_time()
    assert read_wordings(path, PLAIN)[0].body.startswith("user:\na\n")
    assert time.process_time() - began < 5
