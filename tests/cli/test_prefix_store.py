"""``run`` twice: what a second process does not evaluate again, and how to be rid of it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from localprompt.records import json
from localprompt.records.run import RunRecord
from tests.cli.conftest import Localprompt

pytestmark = pytest.mark.model

LIMITS = ("--max-tokens", "6", "--threads", "2")


@pytest.fixture
def prompt(work: Path) -> str:
    examples = "\n".join(f"Example {n}: a spider is an animal." for n in range(10))
    (work / "sort.prompty").write_text(
        "---\nname: sort\ninputs:\n  - name: text\n    kind: string\n    required: true\n---\n"
        f"system:\nSay what a thing is.\n{examples}\nuser:\n{{{{ text }}}}\n"
    )
    return "sort.prompty"


def _record(localprompt: Localprompt, prompt: str, text: str, *more: str) -> RunRecord:
    ran = localprompt("run", prompt, "-p", f"text={text}", *LIMITS, "--json", *more)
    assert ran.code == 0, ran.err
    return json.decode(ran.out)


def test_a_second_run_brings_the_beginning_back_with_the_same_answer(
    localprompt: Localprompt, prompt: str, lab_home: Path
) -> None:
    prefixes = lab_home / "cache" / "prefixes"
    without = _record(localprompt, prompt, "A robin?", "--no-prefix-store")
    assert not prefixes.exists()
    first = _record(localprompt, prompt, "A robin?")
    second = _record(localprompt, prompt, "A robin?")
    assert without.output.text == first.output.text == second.output.text != ""
    assert (without.tokens.reused, first.tokens.reused) == (0, 0)
    assert 100 < second.tokens.reused < second.tokens.prompt
    (kept,) = prefixes.glob("*.state")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(prefixes.stat().st_mode) == 0o700

    other = localprompt("run", prompt, "-p", "text=An oak tree?", *LIMITS)
    assert f"(+{second.tokens.reused} reused)" in other.err
    assert f"({second.tokens.reused} reused)" in localprompt("runs", "show", "last").out
    shown = localprompt("prompts", "show", prompt, "-p", "text=An oak tree?").out
    assert f"The first {second.tokens.reused} of" in shown

    count = len(list(prefixes.iterdir()))  # with the states after the two answers
    kept_ones = f"{count} kept prefixes"
    assert f"would delete {kept_ones}" in localprompt("runs", "prune", "--cache", "--dry-run").out
    pruned = localprompt("runs", "prune", "--cache")
    assert pruned.out.startswith(f"deleted {kept_ones}, 0 left; freed ")
    assert list(prefixes.iterdir()) == []
    assert "4 runs" not in pruned.out  # the history is left alone
    assert localprompt("runs", "show", "last").code == 0


def test_a_home_without_room_for_it_answers_and_says_so(
    localprompt: Localprompt, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALPROMPT_PREFIX_STORE", "1KiB")
    ran = localprompt("run", prompt, "-p", "text=A robin?", *LIMITS)
    assert ran.code == 0
    assert ran.out.strip()
    assert "not kept" in ran.err
    assert "LOCALPROMPT_PREFIX_STORE" in ran.err


def test_a_limit_that_is_no_size_is_the_users_mistake(
    localprompt: Localprompt, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALPROMPT_PREFIX_STORE", "lots")
    ran = localprompt("run", prompt, "-p", "text=A robin?", *LIMITS)
    assert ran.code == 2
    assert "lots" in ran.err
