"""The written file: read back, it renders as the winner did."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.errors import InputError, LocalPromptError, NotEnoughDiskError
from localprompt.files import make_file
from localprompt.improve.examples import ExampleSet, example_of, nearest_of, usable
from localprompt.improve.opening import open_search
from localprompt.improve.variants import Variant
from localprompt.improve.wordings import Wording
from localprompt.improve.writing import prompt_text, write_prompt
from localprompt.records.improvement import ImproveRequest, Weighing
from localprompt.rendering.prompt import render_messages
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.lint import lint
from tests.evaluate.harness import find_model
from tests.improve.test_search import Searched, searched

__all__ = ["searched"]


def texts(template: Any, text: str) -> list[tuple[str, str]]:
    return [(m.role, m.text) for m in render_messages(template, {"text": text})]


def write(searched: Searched, examples: ExampleSet, path: Path) -> Variant:
    request = ImproveRequest(
        prompt=str(searched.folder / "tone.prompty"),
        cases=str(searched.folder / "cases.csv"),
        model="small",
    )
    setting = open_search(request, find_model=find_model)
    variant = Variant(Wording("cue", "user:\nText: {{ text }}\nTone:\n"), examples)
    weighing = Weighing("batch", bias={"good": -1.5, "bad": 1.5})
    text, pool = prompt_text(setting.template, variant, weighing, setting.improvement, path)
    expected = variant.template(setting.template)
    write_prompt(path, text, pool, expected, setting.parts.search[:3])
    return variant


def cases(searched: Searched) -> list[Any]:
    request = ImproveRequest(
        prompt=str(searched.folder / "tone.prompty"),
        cases=str(searched.folder / "cases.csv"),
        model="small",
    )
    return usable(open_search(request, find_model=find_model).parts.search)


def test_nearest_examples_lie_beside_the_prompt_with_a_plain_form_for_others(
    searched: Searched,
) -> None:
    path = searched.folder / "new.prompty"
    _, four, _ = nearest_of([example_of(case) for case in cases(searched)])
    write(searched, four, path)
    found = load_prompt(path)
    assert found.examples is not None
    assert (found.examples.count, found.examples.fallback) == (4, 4)
    plain = msgspec.structs.replace(found, examples=None)
    assert len(texts(found, "a fine day number 500")) == len(texts(plain, "x")) == 9
    assert texts(found, "a fine day number 500") != texts(plain, "a fine day number 500")
    pool = path.with_suffix(".examples.jsonl")
    pool.write_bytes(pool.read_bytes() + b"\n")
    with pytest.raises(LocalPromptError, match="changed since"):
        load_prompt(path)


def test_a_written_prompt_has_nothing_that_lint_does_not_know(searched: Searched) -> None:
    path = searched.folder / "new.prompty"
    _, four, _ = nearest_of([example_of(case) for case in cases(searched)])
    write(searched, four, path)
    assert [f for f in lint(path) if f.code == "unknown-key"] == []


def test_examples_that_spell_templates_stay_text(searched: Searched) -> None:
    path = searched.folder / "new.prompty"
    one = example_of(cases(searched)[0])
    odd = msgspec.structs.replace(one, vars={"text": "{{ 7 * 7 }} {# no #}"})
    write(searched, ExampleSet("odd", (odd,)), path)
    assert "{{ 7 * 7 }} {# no #}" in texts(load_prompt(path), "x")[0][1]


def test_a_file_that_came_meanwhile_is_not_written_over(searched: Searched) -> None:
    path = searched.folder / "new.prompty"
    path.write_text("mine")
    with pytest.raises(InputError, match="the file exists already"):
        write(searched, ExampleSet("none"), path)
    assert path.read_text() == "mine"


def test_a_full_disk_leaves_neither_file(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = searched.folder / "new.prompty"

    def full(target: Path, content: bytes) -> None:
        if target == path:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        make_file(target, content)

    monkeypatch.setattr("localprompt.improve.writing.make_file", full)
    two, _, _ = nearest_of([example_of(case) for case in cases(searched)])
    with pytest.raises(NotEnoughDiskError):
        write(searched, two, path)
    assert not path.exists()
    assert not path.with_suffix(".examples.jsonl").exists()
