"""From a prompt template and parameters to messages."""

from __future__ import annotations

import pytest

from localprompt.errors import ParameterError, PromptFileError
from localprompt.records.prompt import InputSpec, PromptTemplate, Segment
from localprompt.rendering.prompt import fill_defaults, render_body, render_messages

_INPUTS = (
    InputSpec("text", required=True, description="what to sum up"),
    InputSpec("tone", default="plain"),
    InputSpec("note"),
)
_TEMPLATE = PromptTemplate(
    name="sum",
    path="sum.prompty",
    body="system:\nBe {{ tone }}.{% if note %} {{ note }}{% endif %}\nuser:\n{{ text }}",
    body_line=9,
    inputs=_INPUTS,
)


def test_defaults_are_filled_in_and_optional_inputs_may_stay_away() -> None:
    system, user = render_messages(_TEMPLATE, {"text": "T"})
    assert system.text == "Be plain."
    assert system.segments[1] == Segment("plain", "tone")
    assert user.segments == (Segment("T", "text"),)


def test_a_missing_parameter_is_named_with_what_to_type() -> None:
    with pytest.raises(ParameterError) as error:
        render_messages(_TEMPLATE, {})
    assert error.value.message == "the prompt needs text"
    assert error.value.expected == "text: what to sum up"
    assert error.value.next_step == "-p text=… (or -p text=@FILE)"


def test_lenient_insists_only_on_what_the_file_itself_requires() -> None:
    assert render_messages(_TEMPLATE, {}, lenient=True)[1].text == ""
    insisting = [InputSpec("text", required=True, insisted=True)]
    with pytest.raises(ParameterError):
        fill_defaults(insisting, {}, lenient=True)


def test_an_undefined_variable_points_into_the_file() -> None:
    template = PromptTemplate(name="x", path="x.prompty", body="a\n{{ b }}", body_line=5)
    with pytest.raises(PromptFileError) as error:
        render_messages(template, {})
    assert error.value.where == "x.prompty:6"


def test_a_thread_parameter_becomes_messages() -> None:
    template = PromptTemplate(
        name="chat",
        body="system:\nA\n\n{{ history }}\n\nuser:\n{{ q }}",
        inputs=(InputSpec("history", "thread"), InputSpec("q")),
    )
    history = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]
    messages = render_messages(template, {"q": "3", "history": history})
    assert [(m.role, m.text) for m in messages] == [
        ("system", "A"),
        ("user", "1"),
        ("assistant", "2"),
        ("user", "3"),
    ]
    assert [m.text for m in render_messages(template, {"q": "3"})] == ["A", "3"]


def test_a_thread_shows_as_a_marker_before_it_is_parsed() -> None:
    template = PromptTemplate(name="c", body="{{ t }}", inputs=(InputSpec("t", "thread"),))
    (segment,) = render_body(template, {"t": []})
    assert segment.text.startswith("__PROMPTY_THREAD_")
    assert segment.text.endswith("_t__")


def test_what_localprompt_does_not_do_is_refused_when_rendered() -> None:
    template = PromptTemplate(name="x", body="{{ a }}", unsupported=("tools",))
    with pytest.raises(PromptFileError, match="tools"):
        render_messages(template, {})
