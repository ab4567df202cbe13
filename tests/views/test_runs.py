"""Stored runs in the terminal."""

from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from localprompt.records.prompt import Message, Segment
from localprompt.records.run import RunRecord
from localprompt.views.runs import print_run, print_run_list
from tests.sample_runs import make_run


def _console(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False, color_system=None)


def _text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _listed(*runs: RunRecord) -> list[str]:
    console = _console()
    assert print_run_list(runs, console) == len(runs)
    return _text(console).splitlines()


def test_a_run_is_a_row_with_the_part_of_its_id_that_names_it() -> None:
    run = make_run()
    rows = _listed(run, make_run(1, prompt=None))
    assert rows[0].split()[-4:] == ["TTFT", "decode", "peak", "end"]
    assert rows[1].split() == ["tok/s", "RSS"]
    assert rows[2].startswith(run.id[:10])
    assert "11-22 17:00" in rows[2]
    assert "summarize" in rows[2]
    assert " 150 " in rows[2]
    assert rows[2].endswith("stop")


def test_a_list_fits_80_columns_whatever_the_names() -> None:
    long = make_run(model="a-model-with-a-very-long-name-indeed", prompt="extract-contact-details")
    rows = _listed(long, make_run(1, kind="finetune"))
    assert max(map(len, rows)) <= 80
    assert all(len(row) > 60 and row.startswith("01") for row in rows[2:])
    assert "a-mode…ndeed" in rows[2]


def test_an_empty_list_shows_no_heading() -> None:
    assert _listed() == []


@pytest.mark.parametrize(
    ("reason", "mark"),
    [("stop", "stop"), ("length", "cut"), ("interrupted", "^C"), ("error", "err")],
)
def test_how_a_run_ended_is_marked(reason: str, mark: str) -> None:
    run = make_run()
    output = msgspec.structs.replace(run.output, finish_reason=reason)
    rows = _listed(msgspec.structs.replace(run, output=output))
    assert rows[2].endswith(mark)


def test_everything_about_a_run_is_shown() -> None:
    run = make_run()
    console = _console(width=200)
    print_run(run, console)
    shown = _text(console)
    for part in (
        run.id, "2026-11-22T17:00", "135 M parameters", run.model.sha256 or "", "n_ctx 2048",
        "threads 2/2", "KV f16/f16", "flash_attn on", "greedy, max_tokens 256",
        "40 prompt (0 reused), 16 completion", "load 120 ms", "TTFT 90.0 ms",
        "prefill 500 tok/s, decode 150 tok/s", "ITL p50 6.00 ms, p95 –",
        "peak RSS 210 MiB measured", "– predicted", "anonymous 85.8 MiB", "weights 93.5 MiB",
        "A CPU", "0.3.36",
        "You summarize.", "Text: a long text", "answer (stop)", "A short summary.",
        "the machine is busy\n    → close other programs",
    ):  # fmt: skip
        assert part in shown, part


def test_a_sampled_run_shows_what_it_was_drawn_with() -> None:
    run = make_run()
    drawn = msgspec.structs.replace(run.sampling, temperature=0.7)
    console = _console(width=200)
    print_run(msgspec.structs.replace(run, sampling=drawn), console)
    assert "temperature 0.7, top_k 40, top_p 0.95, min_p 0.05, seed 7" in _text(console)


def test_a_hash_fits_a_line_of_80_columns() -> None:
    console = _console()
    print_run(make_run(), console)
    assert "b1" * 32 in _text(console)


def test_markup_and_control_characters_in_texts_are_shown_as_they_are() -> None:
    run = make_run(text="[bold]not bold[/bold] \x1b[2J")
    messages = (Message("user", (Segment("[red]why?[/red]\x07"),)),)
    prompt = msgspec.structs.replace(run.prompt, messages=messages)
    console = _console()
    print_run(msgspec.structs.replace(run, prompt=prompt), console)
    shown = _text(console)
    assert "[bold]not bold[/bold] ␛[2J" in shown
    assert "[red]why?[/red]␇" in shown
