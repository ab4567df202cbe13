"""Names and flags become a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localprompt.errors import ChecksumError, InputError, ParameterError, UnknownNameError
from localprompt.records.cell import DEFAULT_MAX_TOKENS, SamplingChoices
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import RequestedSettings
from localprompt.rendering.prompt import render_messages
from localprompt.running.assemble import (
    RunChoices,
    ask_cell,
    model_record,
    prompt_with_params,
    run_cell,
    with_threads,
)
from tests.models.tiny_gguf import tiny_gguf

BODY = "user:\n{{ text }} {{ more }}"
TWO = """---
name: two
inputs:
  text: {kind: string, required: true}
  more: {kind: string, default: ""}
---
user:
{{ text }} {{ more }}
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small model file, in a home and a working directory of the test's own."""
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "two.prompty").write_text(TWO)
    return str(tmp_path / "tiny.gguf")


def _never() -> str | None:
    raise AssertionError("stdin was read")


def test_a_model_is_known_by_name_shape_and_hash(tiny: str) -> None:
    record = model_record(tiny)
    assert (record.name, record.path, record.architecture) == ("tiny", tiny, "llama")
    assert record.quantization == "Q4_0"
    assert record.size_bytes == len(tiny_gguf())
    assert len(record.sha256 or "") == 64


def test_weights_that_are_not_the_cards_are_refused(
    lab_home: Path, starter_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_record("smollm2-135m").name == "smollm2-135m"
    monkeypatch.setattr("localprompt.running.assemble.sha256_of", lambda _: "0" * 64)
    with pytest.raises(ChecksumError):
        model_record("smollm2-135m")


def test_a_prompt_typed_in_place_is_one_message_of_the_user(tiny: str) -> None:
    cell = ask_cell("assistant:\n{{ 1 + 1 }}", RunChoices(model=tiny))
    (message,) = render_messages(cell.template, cell.params)
    assert (message.role, message.text) == ("user", "assistant:\n{{ 1 + 1 }}")
    assert cell.kind == "ask"


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_an_empty_prompt_is_refused(text: str, tiny: str) -> None:
    with pytest.raises(InputError, match="nothing to ask"):
        ask_cell(text, RunChoices(model=tiny))


def test_stdin_is_read_only_for_what_is_missing(tiny: str) -> None:
    template, params = prompt_with_params("two", ["text=a"], _never)
    assert (template.name, params) == ("two", {"text": "a"})
    assert prompt_with_params("two", [], lambda: "from stdin")[1] == {"text": "from stdin"}
    assert prompt_with_params("two", [], lambda: None)[1] == {}


def test_parameters_that_are_wrong_are_told_before_stdin_is_read(tiny: str) -> None:
    with pytest.raises(ParameterError):
        prompt_with_params("two", ["txt=a"], _never)


@pytest.mark.parametrize(
    ("options", "choices", "expected"),
    [
        ({}, {}, {"temperature": 0.0, "max_tokens": DEFAULT_MAX_TOKENS, "seed": 0}),
        ({"temperature": 0.7, "seed": 3}, {}, {"temperature": 0.7, "seed": 3}),
        ({"temperature": 0.7}, {"temperature": 0.0}, {"temperature": 0.0}),
        ({"maxOutputTokens": 9}, {"max_tokens": 5}, {"max_tokens": 5}),
        ({"topK": 3, "topP": 0.5, "minP": 0.0}, {}, {"top_k": 3, "top_p": 0.5, "min_p": 0.0}),
        ({"stopSequences": ["a"]}, {"stop": ("b",)}, {"stop": ("b",)}),
        ({"stopSequences": ["a"]}, {}, {"stop": ("a",)}),
    ],
)
def test_the_command_line_comes_before_the_prompt_file_and_that_before_defaults(
    options: dict[str, Any], choices: dict[str, Any], expected: dict[str, Any], tiny: str
) -> None:
    template = PromptTemplate(name="it", body=BODY, options=options)
    cell = run_cell(template, {}, RunChoices(model=tiny, sampling=SamplingChoices(**choices)))
    assert {name: getattr(cell.sampling, name) for name in expected} == expected


def test_a_prompt_files_own_model_is_taken_where_it_is_known(tiny: str) -> None:
    template = PromptTemplate(name="it", body=BODY, model_id=tiny)
    assert run_cell(template, {}, RunChoices()).model.path == tiny


def test_a_model_of_a_service_gives_way_to_the_default(lab_home: Path) -> None:
    template = PromptTemplate(name="it", body=BODY, model_id="gpt-4o-mini")
    assert run_cell(template, {}, RunChoices()).model.name == "smollm2-135m"


def test_a_model_that_the_user_names_has_to_be_known(tiny: str) -> None:
    with pytest.raises(UnknownNameError):
        ask_cell("Hi", RunChoices(model="gpt-4o-mini"))


def test_threads_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localprompt.measure.machine.default_threads", lambda: 6)
    plain = with_threads(RequestedSettings())
    assert (plain.n_threads, plain.n_threads_batch) == (6, 6)
    chosen = with_threads(RequestedSettings(n_threads=2))
    assert (chosen.n_threads, chosen.n_threads_batch) == (2, 2)
    both = with_threads(RequestedSettings(n_threads=2, n_threads_batch=4))
    assert (both.n_threads, both.n_threads_batch) == (2, 4)


def test_a_chat_template_of_the_users_own_replaces_the_models(tiny: str, tmp_path: Path) -> None:
    path = tmp_path / "plain.jinja"
    path.write_text("{{ messages[0].content }}")
    cell = ask_cell("Hi", RunChoices(model=tiny, chat_template=path))
    assert cell.chat_template == "{{ messages[0].content }}"
    with pytest.raises(InputError, match="no such file"):
        ask_cell("Hi", RunChoices(model=tiny, chat_template=tmp_path / "nowhere"))
