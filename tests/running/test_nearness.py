"""Examples that a model's embeddings choose: for a case, from vectors that the pool holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.engine.scripted import ScriptedEngine
from localprompt.errors import InputError, LocalPromptError, PromptFileError
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import EmbeddedBy, Example, NearestExamples, PromptTemplate
from localprompt.rendering.prompt import render_messages
from localprompt.running.nearness import embedded, embedder, with_near
from localprompt.sources.prompt.examples import pool_bytes
from localprompt.sources.prompt.file import load_prompt
from tests.evaluate.harness import Lab, find_model
from tests.improve.test_search import Searched, searched

__all__ = ["searched"]

BY = EmbeddedBy("small", "ab" * 32)
TEXTS = {"aaa": "first", "bbb": "second", "abab": "both"}


def embed(text: str) -> tuple[float, ...]:
    return ScriptedEngine(lambda _: (b"",)).embed(text)[0]


def template(count: int = 1) -> PromptTemplate:
    pool = [Example({"text": text}, answer) for text, answer in TEXTS.items()]
    return PromptTemplate(
        name="x",
        body="user:\n{{ text }}\n",
        examples=NearestExamples(embedded(pool, embed), count, by=BY),
    )


def shown(one: PromptTemplate, text: str) -> list[str]:
    messages = render_messages(one, {"text": text})
    return [message.text for message in messages if message.role == "assistant"]


def test_the_nearest_by_the_vectors_are_shown_nearest_last() -> None:
    ready = with_near(template(2), [{"text": "aaaaab"}, {"text": "b"}], embed)
    assert shown(ready, "aaaaab") == ["both", "first"]
    assert shown(ready, "b") == ["both", "second"]


def test_a_row_that_equals_the_case_is_not_shown() -> None:
    ready = with_near(template(), [{"text": "aaa"}], embed)
    assert shown(ready, "aaa") == ["both"]


def test_rendered_by_somebody_who_opened_no_model_it_says_so() -> None:
    with pytest.raises(PromptFileError, match="chosen by a model"):
        render_messages(template(), {"text": "a"})


def test_an_engine_that_is_open_already_embeds() -> None:
    engine = ScriptedEngine(lambda _: (b"",))
    with embedder(BY, {BY.sha256: engine}) as found:
        assert tuple(found("abc")) == embed("abc")


def test_another_file_of_the_model_is_refused() -> None:
    other = ModelRecord(name="small", path="small.gguf", sha256="cd" * 32)
    with pytest.raises(InputError, match="another file of this model"):
        embedder(BY, find_model=lambda _: other).__enter__()


def test_vectors_of_another_size_than_the_model_s_are_refused_with_both_sizes() -> None:
    with pytest.raises(InputError, match="vectors of another size") as caught:
        with_near(template(), [{"text": "ab"}], lambda text: (*embed(text), 0.0))
    assert caught.value.expected == f"{len(embed('a')) + 1} numbers in each"
    assert caught.value.found == f"{len(embed('a'))}"
    assert "improve --nearest-by" in (caught.value.next_step or "")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    examples = template().examples
    assert examples is not None
    (tmp_path / "pool.jsonl").write_bytes(pool_bytes(examples.pool))
    path = tmp_path / "x.prompty"
    by = msgspec.json.encode(BY).decode()
    path.write_text(
        "---\nname: x\ninputs: [{name: text, kind: string}]\nmetadata:\n  localprompt:\n"
        f"    examples: {{file: pool.jsonl, count: 1, by: {by}}}\n---\nuser:\n{{{{ text }}}}\n"
    )
    return path


def test_a_prompt_file_names_the_model_and_its_pool_holds_the_vectors(written: Path) -> None:
    found = load_prompt(written)
    assert found.examples is not None
    assert found.examples.by == BY
    assert shown(with_near(found, [{"text": "aab"}], embed), "aab") == ["both"]


@pytest.mark.parametrize("vector", [None, "AAAA", "no base64"])
def test_a_row_without_its_vector_is_refused(written: Path, vector: Any) -> None:
    rows = (written.parent / "pool.jsonl").read_bytes()
    broken = Example({"text": "new"}, "x", vector)
    (written.parent / "pool.jsonl").write_bytes(rows + pool_bytes([broken]))
    with pytest.raises(LocalPromptError, match="without the vector") as caught:
        load_prompt(written)
    assert caught.value.where == f"{written.parent / 'pool.jsonl'}:4"


def test_a_search_tries_them_and_eval_chooses_as_it_did(searched: Searched) -> None:
    found = searched.run(lambda before, word: -1.0, nearest_by="small", search=("examples",))
    tried = {trial.examples for trial in found.trials}
    assert {"4 nearest examples", "4 nearest examples by small"} <= tried
    assert all(trial.out is None or "behind" in trial.out for trial in found.trials if trial.out)


def test_a_model_that_is_not_here_is_said_before_anything_runs(searched: Searched) -> None:
    with pytest.raises(LocalPromptError, match="nowhere"):
        searched.run(lambda before, word: -1.0, nearest_by="nowhere")
    assert searched.kept == []
    assert find_model("small").sha256
    assert isinstance(searched.lab, Lab)


@pytest.mark.model
def test_the_starter_model_finds_the_text_that_says_the_same(
    starter_model: Path, starter_sha256: str
) -> None:
    record = ModelRecord(name="smollm2-135m", path=str(starter_model), sha256=starter_sha256)
    by = EmbeddedBy(record.name, record.sha256)
    texts = {"The kettle leaks from its bottom.": "bad", "We loved the hotel by the sea.": "good"}
    with embedder(by, find_model=lambda _: record) as find:
        pool = embedded([Example({"text": text}, said) for text, said in texts.items()], find)
        asking = PromptTemplate(
            name="x", body="user:\n{{ text }}\n", examples=NearestExamples(pool, 1, by=by)
        )
        asked = ["The kettle is leaking at the bottom.", "The hotel by the sea was lovely."]
        ready = with_near(asking, [{"text": text} for text in asked], find)
    assert [shown(ready, text) for text in asked] == [["bad"], ["good"]]
