"""Prompts in the terminal fit 80 columns and say who wrote what, with and without colour."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from localprompt.records.prompt import InputSpec, Message, PromptTemplate, Segment, Span
from localprompt.records.received import PromptToken, ReceivedPrompt
from localprompt.records.run import Sampling
from localprompt.sources.prompt.check import CheckedFile
from localprompt.sources.prompt.lint import Finding
from localprompt.sources.prompt.search import ListedPrompt
from localprompt.views.prompts import (
    print_findings,
    print_prompt_list,
    print_received,
    print_template,
)

TEMPLATE = PromptTemplate(
    name="sum",
    body="system:\nBe [bold].\nuser:\n{{ text }}",
    path="sum.prompty",
    description="Sums up.",
    options={"maxOutputTokens": 8},
    inputs=(
        InputSpec("text", required=True, description="what to sum up"),
        InputSpec("tone", default="plain", enum_values=("plain", "warm")),
        InputSpec("note", strict=True),
    ),
    choices=("yes", "no"),
)
GREEDY = Sampling()


def plain() -> Console:
    return Console(file=io.StringIO(), width=80, highlight=False)


def colourful() -> Console:
    return Console(
        file=io.StringIO(), width=80, highlight=False, force_terminal=True, color_system="standard"
    )


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def a_prompt(value: str = "It rains.", sampling: Sampling = GREEDY) -> ReceivedPrompt:
    """``<s>Sum up: VALUE</s>`` with one token per word."""
    words = value.split(" ")
    tokens = (
        PromptToken(1, "<s>", "chat_template", control=True),
        PromptToken(20, "Sum", "template"),
        PromptToken(21, " up:\n", "template"),
        *(PromptToken(100 + at, f" {word}", "variable", "text") for at, word in enumerate(words)),
        PromptToken(2, "</s>", "chat_template", control=True),
    )
    spans = (
        Span("<s>", "chat_template"),
        Span("Sum up:\n", "template"),
        Span(value, "variable", "text"),
        Span("</s>\n", "chat_template"),
    )
    return ReceivedPrompt(
        name="sum",
        path=None,
        model="tiny",
        chat_template_sha256="0" * 64,
        params={"text": value},
        messages=(Message("user", (Segment("Sum up:\n"), Segment(value, "text"))),),
        text="".join(span.text for span in spans),
        spans=spans,
        tokens=tokens,
        constant_tokens=3,
        attributed_tokens=len(tokens),
        sampling=sampling,
    )


def received(prompt: ReceivedPrompt, *, every_token: bool = False) -> str:
    console = plain()
    print_received(prompt, console, every_token=every_token)
    return shown(console)


def test_without_colour_a_value_stands_between_marks() -> None:
    text = received(a_prompt())
    assert "Sum up:\n«text: It rains.»</s>\n" in text
    assert "user       Sum up: «text: It rains.»" in text
    assert "\x1b" not in text


def test_with_colour_the_text_has_no_marks() -> None:
    console = colourful()
    print_received(a_prompt(), console)
    assert "\x1b[36mIt rains.\x1b[0m" in shown(console)
    assert "«" not in shown(console)


def test_no_color_brings_the_marks_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = colourful()
    print_received(a_prompt(), console)
    assert "«text: It rains.»" in shown(console)


def test_tokens_are_counted_by_writer_with_ids_and_visible_spaces() -> None:
    text = received(a_prompt())
    assert "tokens (6; 100 % attributed)" in text
    assert "2 chat template + 2 prompt file + 2 text" in text
    assert "20 'Sum'  21 ' up:\\n'" in text
    assert "100 ' It'  101 ' rains.'" in text


def test_what_a_second_run_can_reuse_is_said_in_tokens() -> None:
    assert "The first 3 of 6 tokens (50 %) stay the same" in received(a_prompt())


def test_a_value_as_long_as_a_book_stays_readable() -> None:
    text = received(a_prompt("word " * 20_000))
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) <= 80
    assert "… 99,300 characters …" in text
    assert "… 19,995 more …" in text
    assert "tokens (20,005; 100 % attributed)" in text


def test_every_token_gets_a_line_when_asked_for() -> None:
    rows = received(a_prompt(), every_token=True).splitlines()
    assert [row.split() for row in rows if " text " in f"{row} " and "' It'" in row] == [
        ["3", "100", "'", "It'", "text"]
    ]
    assert sum(row.rstrip().endswith(("chat template", "prompt file", "text")) for row in rows) >= 6


def test_markup_in_values_is_only_text() -> None:
    text = received(a_prompt("[bold red]x[/] [/]"))
    assert "«text: [bold red]x[/] [/]»" in text


def test_how_the_answer_is_drawn_is_part_of_what_is_shown() -> None:
    sampling = Sampling(temperature=0.7, max_tokens=9, stop=("\n",))
    assert "free text; temperature 0.7, at most 9 tokens, ends before '\\n'" in received(
        a_prompt(sampling=sampling)
    )


def test_a_declaration_lists_inputs_with_what_they_ask_for() -> None:
    console = plain()
    print_template(TEMPLATE, console)
    text = shown(console)
    assert "text  string  what to sum up" in text
    assert "tone  string  one of: plain, warm; default 'plain'" in text
    assert "note  string  optional; strict" in text
    assert "one of: yes, no" in text
    assert "system:\nBe [bold].\nuser:\n{{ text }}" in text


def test_the_list_puts_optional_inputs_into_brackets() -> None:
    console = plain()
    assert print_prompt_list([ListedPrompt("sum", "here", TEMPLATE)], console) == 1
    rows = [row.rstrip() for row in shown(console).splitlines()]
    assert rows[1] == "sum   text, [tone], [note]  here  Sums up."
    assert print_prompt_list([], plain()) == 0


def test_findings_are_one_line_each_and_counted_apart() -> None:
    findings = (Finding(3, "v1-key", "a [b] is now c", fixable=True), Finding(9, "error", "no"))
    file = CheckedFile(Path("a-rather-long-folder/" * 4 + "x.prompty"), findings)
    out, notes = plain(), plain()
    print_findings([file, CheckedFile(Path("y.prompty"), (), fixed=True)], out, notes)
    assert shown(out).splitlines() == [
        f"{file.path}:3: v1-key: a [b] is now c (--fix)",
        f"{file.path}:9: error: no",
    ]
    assert shown(notes).splitlines() == [
        "y.prompty: rewritten",
        "2 files, 2 findings; --fix corrects 1",
    ]
