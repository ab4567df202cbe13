"""``--lora`` on the real starter model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localprompt.records import json as record_json
from localprompt.records.run import RunRecord
from localprompt.store.history import History
from tests.cli.conftest import Localprompt
from tests.cli.program import SHORT, write_prompt
from tests.models.tiny_lora import lora_gguf, write_lora

pytestmark = pytest.mark.model


@pytest.fixture
def style(work: Path, starter_model: Path) -> Path:
    return write_lora(work / "style.gguf", starter_model, strength=0.6)


def _record(localprompt: Localprompt, *arguments: str) -> RunRecord:
    ran = localprompt(*arguments, *SHORT, "--json")
    assert ran.code == 0, ran.err
    return record_json.decode(ran.out)


def test_an_adapter_changes_the_answer_and_is_in_the_record(
    localprompt: Localprompt, style: Path
) -> None:
    plain = _record(localprompt, "ask", "Name a colour.")
    adapted = _record(localprompt, "ask", "Name a colour.", "--lora", str(style))
    off = _record(localprompt, "ask", "Name a colour.", "--lora", f"{style}:0")
    assert adapted.output.text != plain.output.text == off.output.text
    (use,) = adapted.settings.adapters
    assert (use.name, use.scale, use.rank) == ("style", 1.0, 4)
    assert len(use.sha256) == 64
    assert not plain.settings.adapters
    assert use.size_bytes is not None
    assert use.size_bytes > 100_000
    assert use.sha256 in localprompt("runs", "show", adapted.id).out


def test_going_on_and_running_again_take_the_adapter_along(
    localprompt: Localprompt, style: Path
) -> None:
    assert localprompt("models", "add", str(style)).code == 0
    shown = localprompt("models", "show", "style")
    assert "attn_q, attn_v" in shown.out
    first = _record(localprompt, "ask", "Name a colour.", "--lora", "style:0.5")
    second = _record(localprompt, "ask", "Another?", "--continue")
    assert second.settings.adapters == first.settings.adapters
    again = _record(localprompt, "run", "--again", first.id)
    assert again.settings.adapters == first.settings.adapters
    assert again.output.text == first.output.text
    style.write_bytes(style.read_bytes() + b"x")
    ran = localprompt("ask", "Another?", "--continue", first.id)
    assert ran.code == 3
    assert "the adapter's file has changed" in ran.err


def test_stored_answers_and_benches_are_told_apart(
    localprompt: Localprompt, work: Path, style: Path
) -> None:
    head = "name: say\ninputs: {text: {kind: string}}\nmetadata: {localprompt: {cases: c.jsonl}}\n"
    write_prompt(work, "say", f"---\n{head}---\nuser:\nSay {{{{ text }}}}.\n")
    (work / "prompts" / "c.jsonl").write_text('{"text": "red", "expected": "red"}\n')
    for lora in ((), ("--lora", str(style))):
        ran = localprompt("eval", "say", "--threads", "1", "--max-tokens", "6", *lora)
        assert ran.code == 0, ran.err
        assert "taken over" not in ran.err
    with History(read_only=True) as history:
        texts = {history.find(f"last~{n} eval").id for n in (0, 1)}
    assert len(texts) == 2
    arguments = ("bench", "say", "-p", "text=red", "-r", "1", "--yes", "-q", "--threads", "1")
    ran = localprompt(*arguments, "--max-tokens", "4", "--lora", str(style), "--format", "json")
    assert ran.code == 0, ran.err
    assert "style" in json.dumps(json.loads(ran.out))


@pytest.mark.parametrize(
    ("tensors", "architecture", "message"),
    [
        ([("blk.0.ffn_up.weight.lora_a", (64, 2), "F32")], "llama", "half of a pair"),
        (None, "qwen2", "another architecture"),
        (None, "llama", "another model"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_before_the_load(
    localprompt: Localprompt, work: Path, tensors: object, architecture: str, message: str
) -> None:
    from tests.models.tiny_lora import METADATA, TENSORS

    file = work / "other.gguf"
    metadata = {**METADATA, "general.architecture": architecture}
    file.write_bytes(lora_gguf(metadata, tensors or TENSORS))  # type: ignore[arg-type]
    ran = localprompt("ask", "Hi", "--lora", str(file), *SHORT)
    assert ran.code == 3
    assert message in ran.err
    assert str(file) in ran.err
    with History(read_only=True) as history:
        assert history.newest() is None


def test_a_contrast_refuses_an_adapter_of_another_model_before_anything_runs(
    localprompt: Localprompt, work: Path
) -> None:
    file = work / "other.gguf"
    file.write_bytes(lora_gguf())
    ran = localprompt("contrast", "--tuned-lora", str(file))
    assert ran.code == 3
    assert "the adapter is for another model" in ran.err
    assert str(file) in ran.err
    ran = localprompt("contrast", "--tuned-lora", f"{file}:loud")
    assert ran.code == 2
    assert "--tuned-lora" in ran.err
