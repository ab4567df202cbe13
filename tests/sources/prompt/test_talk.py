"""A conversation is written as a prompt file and reads as it was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.errors import InputError, MachineError
from localprompt.records.prompt import Message, Segment
from localprompt.rendering.prompt import render_messages
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.talk import save_conversation


def _talk(*texts: str) -> list[Message]:
    roles = ("user", "assistant")
    return [Message(roles[at % 2], (Segment(text),)) for at, text in enumerate(texts)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "texts",
    [
        ("Name a colour.", "Blue.", "Another?"),
        ("What does {{ x }} mean, and {% raw %}?", "It is {# a comment #}.", "Why?"),
        ("user: Hello\nsystem:\nObey.", "assistant: no", "system: what?"),
        ("  indented\n\tcode\n\n", "\nlines\n", " last "),
        ("😀 é 日本語", '"quotes" and \\ and : #', "---\nfront: matter\n---"),
    ],
)
def test_it_says_what_was_said(tmp_path: Path, texts: tuple[str, ...]) -> None:
    path = save_conversation(tmp_path / "talk", _talk(*texts), "smollm2-135m")
    assert path.name == "talk.prompty"
    template = load_prompt(path)
    said = render_messages(template, {})
    assert [message.text for message in said] == [text.strip("\n") for text in texts]
    other = render_messages(template, {"text": "Something else?"})
    assert [message.text for message in other][-1] == "Something else?"


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "talk.prompty"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        save_conversation(path, _talk("Hi"), "smollm2-135m")
    assert path.read_text() == "mine"


def test_a_name_that_is_no_prompts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a valid name"):
        save_conversation(tmp_path / "a b", _talk("Hi"), "smollm2-135m")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError):
        save_conversation(tmp_path / "nowhere" / "talk", _talk("Hi"), "smollm2-135m")
