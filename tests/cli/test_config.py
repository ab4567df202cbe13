"""``localprompt config``, and what the other commands make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.cli.answer import choices
from localprompt.cli.options import RunFlags, takes
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.sources.config import set_value
from tests.cli.conftest import Localprompt


def received(**typed: object) -> RunFlags:
    """The flags as a command gets them."""
    got: list[RunFlags] = []

    @takes(RunFlags)
    def command(*, flags: RunFlags) -> None:
        got.append(flags)

    command(**{**vars(RunFlags()), **typed})
    return got[0]


def test_defaults_are_set_shown_and_taken_back(localprompt: Localprompt, lab_home: Path) -> None:
    assert localprompt("config", "set", "threads", "3").code == 0
    shown = localprompt("config", "show").out
    assert [line.split() for line in shown.splitlines() if line.startswith("threads")] == [
        ["threads", "3", "file"]
    ]
    assert f"file: {lab_home / 'config.toml'}" in shown
    assert localprompt("config", "unset", "threads").code == 0
    assert "threads     –" in localprompt("config", "show").out
    wrong = localprompt("config", "set", "thread", "3")
    assert (wrong.code, "model, threads" in wrong.err) == (2, True)


@pytest.mark.usefixtures("lab_home")
def test_what_is_set_holds_where_nothing_is_typed() -> None:
    assert received() == RunFlags()
    assert choices(received()).usual == DEFAULT_MODEL
    for name, value in (
        ("threads", "3"), ("max_memory", "2GiB"), ("log", "false"), ("model", "another")
    ):  # fmt: skip
        set_value(name, value)
    flags = received()
    assert (flags.threads, flags.max_memory, flags.no_log) == (3, "2GiB", True)
    assert choices(flags).usual == "another"
    typed = received(threads=1, max_memory="1GiB")
    assert (typed.threads, typed.max_memory) == (1, "1GiB")


def test_a_file_that_is_wrong_is_told_by_the_commands_that_use_it(
    localprompt: Localprompt, lab_home: Path
) -> None:
    lab_home.mkdir(exist_ok=True)
    (lab_home / "config.toml").write_text("colour = true")
    ran = localprompt("ask", "Hi")
    assert ran.code == 2
    assert ran.fields()["where"] == str(lab_home / "config.toml")
    assert "Traceback" not in ran.err
