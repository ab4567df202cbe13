"""What is said between the two processes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import msgspec

from localprompt.models.inspect import inspect_model
from localprompt.models.quantize import worker
from localprompt.models.quantize.job import FILE_TYPE_IDS
from localprompt.processes import Parent, attend
from tests.models.quantize.tiny_llama import SHAPES


def _serve(source: Path, target: Path, name: str, *more: worker.Make) -> tuple[int, list[Any]]:
    request = worker.Request(str(source), str(target), FILE_TYPE_IDS[name], 1, 2**20)
    replies = io.BytesIO()
    commands = io.BytesIO(b"".join(msgspec.json.encode(one) + b"\n" for one in (request, *more)))
    code = attend(Parent(commands, replies, worker.Command), worker.answer)
    return code, [json.loads(line) for line in replies.getvalue().splitlines()]


def test_it_plans_waits_for_the_word_tells_each_tensor_and_ends(
    original: Path, tmp_path: Path
) -> None:
    code, replies = _serve(original, tmp_path / "target", "Q8_0", worker.Make())
    assert code == 0
    assert [reply["is"] for reply in replies] == ["planned", *["tensor"] * len(SHAPES), "made"]
    assert {reply["name"] for reply in replies[1:-1]} == set(SHAPES)
    assert inspect_model(tmp_path / "target").file_type == "Q8_0"


def test_without_the_word_nothing_is_written(original: Path, tmp_path: Path) -> None:
    code, replies = _serve(original, tmp_path / "target", "Q8_0")
    assert code == 0
    assert [reply["is"] for reply in replies] == ["planned"]
    assert not (tmp_path / "target").exists()


def test_a_refusal_is_an_answer(original: Path, tmp_path: Path) -> None:
    code, replies = _serve(original, tmp_path / "target", "IQ1_S", worker.Make())
    assert code == 3
    assert [reply["is"] for reply in replies] == ["failed"]
    assert "importance matrix" in replies[0]["found"]
