from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from localprompt.errors import PromptFileError
from localprompt.records.prompt import PromptTemplate
from localprompt.sources.prompt.file import load_prompt

ROWS = b'{"vars": {"text": "a"}, "answer": "x"}\n\n{"vars": {"text": "b"}, "answer": "y"}\n'


def load(folder: Path, ours: str) -> PromptTemplate:
    path = folder / "tone.prompty"
    path.write_text(
        "---\nname: tone\ninputs: [{name: text, kind: string}]\n"
        f"metadata:\n  localprompt:\n{ours}\n---\nuser:\n{{{{ text }}}}\n"
    )
    return load_prompt(path)


def examples(**keys: object) -> str:
    lines = (
        f"      {key}: {value}" for key, value in {"file": "pool.jsonl", "count": 1, **keys}.items()
    )
    return "    examples:\n" + "\n".join(lines)


def test_a_pool_is_read_with_its_count_and_order(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_bytes(ROWS)
    digest = hashlib.sha256(ROWS).hexdigest()
    found = load(tmp_path, examples(sha256=digest, order="nearest-first", fallback=2)).examples
    assert found is not None
    assert [(one.vars, one.answer) for one in found.pool] == [
        ({"text": "a"}, "x"),
        ({"text": "b"}, "y"),
    ]
    assert (found.count, found.order, found.fallback) == (1, "nearest-first", 2)


@pytest.mark.parametrize(
    ("rows", "keys", "problem"),
    [
        (None, {}, "no such examples file"),
        (ROWS, {"sha256": "0" * 64}, "changed since this prompt was made"),
        (ROWS, {"count": 0}, "no examples are asked for"),
        (ROWS, {"order": "random"}, "unknown order"),
        (ROWS, {"file": "../pool.jsonl"}, "folder"),
        (b"", {}, "there are no examples"),
        (b"\xff\xfe", {}, "not an example"),
        (b'{"vars": 3}', {}, "not an example"),
        (b"[" * 100_000, {}, "not an example"),
        (ROWS, {"typo": 1}, "typo"),
    ],
)
def test_what_is_wrong_with_a_pool_is_said(
    tmp_path: Path, rows: bytes | None, keys: dict[str, object], problem: str
) -> None:
    if rows is not None:
        (tmp_path / "pool.jsonl").write_bytes(rows)
    with pytest.raises(PromptFileError, match=problem) as caught:
        load(tmp_path, examples(**keys))
    assert caught.value.where


def test_a_bias_is_a_number_for_each_choice(tmp_path: Path) -> None:
    found = load(
        tmp_path, "    choices: [yes, no]\n    bias: {yes: -1, no: 0.5}\n    scoring: normalized"
    )
    assert found.bias == {"yes": -1.0, "no": 0.5}
    assert found.per_byte


def test_label_words_stand_for_choices(tmp_path: Path) -> None:
    found = load(tmp_path, "    choices: [yes, no, 3]\n    label_words: {yes: right, 3: three}")
    assert found.label_words == {"yes": "right", "3": "three"}
    assert found.said == ("right", "no", "three")


@pytest.mark.parametrize("words", ["{maybe: x}", "{yes: no}", "{yes: ' '}", "{yes: a, no: a}"])
def test_label_words_that_tell_nothing_apart_are_refused(tmp_path: Path, words: str) -> None:
    with pytest.raises(PromptFileError, match="cannot be used"):
        load(tmp_path, f"    choices: [yes, no]\n    label_words: {words}")


@pytest.mark.parametrize("bias", ["{maybe: 1}", "{yes: .nan}", "{yes: high}", "3"])
def test_a_bias_of_something_else_is_refused(tmp_path: Path, bias: str) -> None:
    with pytest.raises(PromptFileError):
        load(tmp_path, f"    choices: [yes, no]\n    bias: {bias}")
