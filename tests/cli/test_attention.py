"""The way through attention that a request gets, as its user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from localprompt.engine.llama.proof import attention, gate
from localprompt.models.inspect import inspect_model
from localprompt.records.attention import Heads
from localprompt.records.proof import PathVerdict, Proof
from localprompt.records.run import RunRecord
from localprompt.store.history import History
from tests.attention_tables import table
from tests.cli.program import SHORT, completed, write_prompt

pytestmark = pytest.mark.model

LONG = "The quick brown fox jumps over the lazy dog. " * 30


@pytest.fixture(autouse=True)
def measured(lab_home: Path, starter_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which a batch below 64 tokens takes long with flash attention."""
    monkeypatch.delenv(gate.VARIABLE)
    info = inspect_model(starter_model)
    heads = Heads(info.n_head, info.n_head_kv[0], info.key_length, info.value_length, "f16", "f16")

    def cost(flash: bool, tokens: int, depth: int) -> float:
        slow, fast = (1e-5, 3e-7) if flash else (6e-7, 1.2e-6)
        return tokens * (tokens / 2 + depth) * (slow if tokens < 64 else fast)

    measured = table(cost)
    assert not attention.contradiction(measured)
    path = attention.path_of(heads)
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(measured))
    gate.verdict_path().write_bytes(
        msgspec.json.encode(Proof(PathVerdict(), PathVerdict(), (), 0.1))
    )


def asked(*arguments: str) -> RunRecord:
    ran = completed(*arguments, *SHORT)
    assert ran.code == 0, ran.err
    with History(read_only=True) as history:
        return history.get("last")


def test_a_long_prompt_is_read_with_and_answered_without_flash_attention() -> None:
    chosen = asked("ask", LONG)
    assert chosen.settings.flash_attn is False
    assert chosen.settings.attention is not None
    assert chosen.settings.attention.startswith("off after the first ")
    typed = asked("ask", LONG, "--flash-attn")
    assert (typed.settings.flash_attn, typed.settings.attention) == (True, None)
    assert typed.output.text == chosen.output.text


def test_a_kept_beginning_is_brought_back_for_the_way_that_follows_it() -> None:
    head = "---\nname: fox\ninputs:\n  word: {kind: string}\n---\n"
    text = head + f"system:\n{LONG}\nuser:\n" + "{{ word }}\n"
    write_prompt(Path.cwd(), "fox", text)
    first = asked("run", "fox", "-p", "word=fox")
    second = asked("run", "fox", "-p", "word=fox")
    assert first.settings.flash_attn is False
    assert (first.tokens.reused, second.tokens.reused > 200) == (0, True)
    assert second.output.text == first.output.text
    apart = asked("run", "fox", "-p", "word=fox", "--no-prefix-store")
    assert apart.output.text == first.output.text


def test_values_that_need_flash_attention_keep_it() -> None:
    record = asked("ask", LONG, "--type-v", "q8_0")
    assert record.settings.flash_attn is True
    assert record.settings.attention == "llama.cpp's own: values in q8_0 need it on"


def test_a_first_long_prompt_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in gate.verdict_path().parent.glob("*-*.json"):
        path.unlink()
    waited = completed("ask", LONG, *SHORT)
    assert waited.code == 0
    assert "measuring attention on this CPU" in waited.err
    again = completed("ask", LONG, *SHORT)
    assert "measuring attention" not in again.err


def test_an_evaluation_says_how_it_went_and_goes_on_the_same_way() -> None:
    write_prompt(Path.cwd(), "fox", "---\nname: fox\ninputs:\n  n: {kind: string}\n---\n" + _ASKED)
    cases = "\n".join(f'{{"n": "{at}"}}' for at in range(6))
    Path("cases.jsonl").write_text(cases + "\n")
    fast = ("--max-tokens", "6", "--threads", "1", "--cases", "cases.jsonl", "--format", "json")
    whole = completed("eval", "fox", *fast)
    assert whole.code == 0, whole.err
    (use,) = json.loads(whole.out)["uses"]
    assert use["settings"]["flash_attn"] is False
    assert use["settings"]["attention"].startswith("off (")
    part = completed("eval", "fox", *fast, "--no-cache", "--parallel", "3")
    assert json.loads(part.out)["uses"][0]["settings"]["flash_attn"] is False
    typed = completed("eval", "fox", *fast, "--no-cache", "--flash-attn")
    (use,) = json.loads(typed.out)["uses"]
    assert (use["settings"]["flash_attn"], use["settings"]["attention"]) == (True, None)


_ASKED = f"user:\n{LONG}{{{{ n }}}}\n"
