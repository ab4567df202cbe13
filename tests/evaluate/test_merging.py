"""Parts put together give the table of an unbroken run, or what keeps them apart is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.errors import HistoryError, InputError, UnknownNameError
from localprompt.evaluate.merging import merge
from localprompt.evaluate.shards import write_part
from localprompt.evaluate.summarize import load_result
from localprompt.records.evaluation import CaseResult, EvalResult
from localprompt.records.run import RequestedSettings
from localprompt.records.score import Score
from localprompt.store.history import History
from tests.evaluate.conftest import SUITE
from tests.evaluate.harness import Lab, write_part_of
from tests.evaluate.test_shards import MANY

VARIED = """
prompts: ["Is this good or bad? {{ text }}", file://word.txt, file://asked.prompty]
providers:
- {id: small, transform: file://shape.py:trimmed}
- large
evaluateOptions: {repeat: 2}
defaultTest:
  options: {transform: file://shape.py}
  assert:
  - {type: javascript, value: file://short.js}
  - {type: equals, value: GOOD, transform: file://shape.py:raised}
  - {type: python, value: file://check.py}
  - {type: llm-rubric, value: is one word, metric: one word}
tests: file://cases.csv
"""
ASKED = """---
name: asked
inputs:
  - name: text
    kind: string
---
user:
Tell me: is it fine?
{{text}}
"""
SHAPE = """
def get_transform(output, context):
    return output.lower()

def trimmed(output, context):
    return output.strip()

def raised(output, context):
    return output.upper()
"""
REPLY = '{"reason": "so it is", "pass": true, "score": 0.75}'


class Machine(Lab):
    """A machine with a suite in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        super().__init__(folder, self.answer)
        self.write("tones.yaml", SUITE)
        self.write("cases.csv", MANY)
        self.write("varied.yaml", VARIED)
        self.write("word.txt", "One word, good or bad:\n{{ text }}\n")
        self.write("asked.prompty", ASKED)
        self.write("short.js", "module.exports = (output) => output.length < 5;")
        self.write("shape.py", SHAPE)
        self.write("check.py", "def get_assert(output, context):\n    return output == 'good'\n")

    @staticmethod
    def answer(prompt: str) -> str:
        if "You grade" in prompt:
            return REPLY
        return "good" if "fine" in prompt else "bad"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "one" / "suite")
    with made.store:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "media" / "stick" / "elsewhere")
    with made.store:
        yield made


@pytest.fixture
def where_they_meet(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "elsewhere.db") as history:
        yield history


def figures(result: EvalResult) -> bytes:
    """What a run is about, without when it was made and what it took."""
    targets = [msgspec.structs.replace(t, ttft_seconds=None, cached=0) for t in result.targets]
    return msgspec.json.encode((targets, result.pairs))


def rows(results: Iterator[CaseResult]) -> list[tuple[Any, ...]]:
    """What was answered, and what was made of it."""
    return [
        (r.target, r.case_index, r.repetition, r.case_id, r.vars, r.answer, _placeless(r))
        for r in results
    ]


def _placeless(result: CaseResult) -> tuple[Any, ...]:
    def told(score: Score) -> tuple[Any, ...]:
        return score.type, score.passed, score.score, score.reason, [*map(told, score.members)]

    return result.score.passed, result.score.metrics, [*map(told, result.score.scores)]


@pytest.mark.parametrize("of", [1, 3, 7])
def test_parts_put_together_give_the_table_of_an_unbroken_run(
    one: Machine, where_they_meet: History, of: int
) -> None:
    unbroken = one.evaluate("tones.yaml", cached=False)
    parts = [write_part_of(one, number, of) for number in range(1, of + 1)]
    whole = merge([*reversed(parts)], where_they_meet)
    merged = load_result(whole, where_they_meet)
    assert merged.complete
    assert figures(merged) == figures(unbroken)
    assert rows(where_they_meet.results(whole.id)) == rows(iter(one.results(unbroken)))
    assert whole.request.shard is None
    assert whole.cases_sha256 == unbroken.evaluation.cases_sha256
    assert f"merged from {of} parts" in whole.notes[-1]
    assert {use.hand for use in merged.uses} <= {f"part {n}" for n in range(1, of + 1)}


def test_machines_may_have_the_suite_elsewhere_and_other_ends_of_lines(
    one: Machine, other: Machine, where_they_meet: History
) -> None:
    for name in ("cases.csv", "word.txt", "asked.prompty"):
        path = other.folder / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    how: dict[str, Any] = {"allow_code": True, "judge": "large"}
    unbroken = one.evaluate("varied.yaml", cached=False, **how)
    parts = [write_part_of(who, n, 2, "varied.yaml", **how) for n, who in ((1, one), (2, other))]
    for order in (parts, parts[::-1]):
        whole = merge(order, where_they_meet)
        merged = load_result(whole, where_they_meet)
        assert figures(merged) == figures(unbroken)
        assert rows(where_they_meet.results(whole.id)) == rows(iter(one.results(unbroken)))
    assert len(merged.targets) == 6
    assert merged.pairs


def test_what_does_not_belong_together_is_named(one: Machine, where_they_meet: History) -> None:
    first, second = write_part_of(one, 1, 2), write_part_of(one, 2, 2)
    others = write_part_of(one, 2, 3, name="others.jsonl")
    for parts, words in (
        ([first], "1 of 2 parts missing: 2"),
        ([first, first, second], "part 1 of 2 appears twice"),
        ([first, others], "numbers of parts differ"),
    ):
        with pytest.raises(InputError, match=words):
            merge(parts, where_they_meet)


@pytest.mark.parametrize(
    ("file", "old", "new", "what", "found"),
    [
        ("cases.csv", "grey", "gray", "cases", "40 cases ("),
        ("cases.csv", "day 39,good\n", "day 39,good\nmore,good\n", "cases", "41 cases ("),
        ("check.py", "'good'", "'bad'", "cases", "40 cases ("),
        ("short.js", "5", "6", "cases", "40 cases ("),
        ("varied.yaml", "is one word", "is short", "cases", "40 cases ("),
        ("word.txt", "One word", "A word", "prompts", "word.txt ("),
        ("varied.yaml", "repeat: 2", "repeat: 3", "repetitions", "3"),
        ("varied.yaml", "id: small", "id: large", "models", "large ("),
        ("varied.yaml", "- large", "- {id: large, config: {temperature: 0.5}}", "ways of", "temp"),
        ("varied.yaml", "shape.py:trimmed", "shape.py:raised", "prompts", "Is this good or bad?"),
        ("shape.py", "lower()", "title()", "cases", "40 cases ("),
    ],
)
def test_parts_of_suites_that_differ_are_refused_by_what_differs(
    one: Machine,
    other: Machine,
    where_they_meet: History,
    file: str,
    old: str,
    new: str,
    what: str,
    found: str,
) -> None:
    content = (other.folder / file).read_text(encoding="utf-8")
    assert old in content
    other.write(file, content.replace(old, new))
    parts = [
        _planned(who, number, "varied.yaml", allow_code=True)
        for number, who in ((1, one), (2, other))
    ]
    with pytest.raises(InputError, match=f"their {what}.* differ") as caught:
        merge(parts, where_they_meet)
    assert found in str(caught.value.found)
    assert str(parts[0]) in str(caught.value.expected)


@pytest.mark.parametrize(
    ("request_", "what", "found"),
    [
        ({"settings": RequestedSettings(type_k="q8_0")}, "settings", "type_k q8_0"),
        ({"settings": RequestedSettings(n_ctx=64)}, "settings", "n_ctx 64"),
        ({"lenient": True}, "ways with undefined variables", "allowed"),
        ({"choices": ("good", "bad")}, "scorings", "raw of good, bad"),
        ({"judge": "large"}, "judges", "large ("),
        ({"chat_template": "{{ messages }}"}, "chat templates", "another ("),
    ],
)
def test_parts_that_were_asked_for_differently_are_refused_by_what_differs(
    one: Machine, where_they_meet: History, request_: dict[str, Any], what: str, found: str
) -> None:
    parts = [_planned(one, 1, "tones.yaml"), _planned(one, 2, "tones.yaml", **request_)]
    with pytest.raises(InputError, match=f"their {what} differ") as caught:
        merge(parts, where_they_meet)
    assert found in str(caught.value.found)


def test_the_number_of_threads_is_each_machines_own(one: Machine, where_they_meet: History) -> None:
    parts = [
        write_part_of(one, number, 2, settings=RequestedSettings(n_threads=number))
        for number in (1, 2)
    ]
    assert load_result(merge(parts, where_they_meet), where_they_meet).complete


def test_judges_are_known_by_their_weights(one: Machine, where_they_meet: History) -> None:
    parts = [
        _planned(one, number, "varied.yaml", allow_code=True, judge="large") for number in (1, 2)
    ]
    content = parts[1].read_bytes()
    digest = content.partition(b'"judge_sha256":"')[2][:64]
    assert len(digest) == 64
    parts[1].write_bytes(
        content.replace(b'"judge_sha256":"' + digest, b'"judge_sha256":"' + b"0" * 64)
    )
    with pytest.raises(InputError, match="their judges differ"):
        merge(parts, where_they_meet)


def test_a_part_of_an_older_version_is_refused(one: Machine, where_they_meet: History) -> None:
    first, second = write_part_of(one, 1, 2), write_part_of(one, 2, 2)
    version = b'"localprompt_version":"'
    second.write_bytes(second.read_bytes().replace(version, version + b"0.0.", 1))
    with pytest.raises(InputError, match="versions of localprompt differ"):
        merge([first, second], where_they_meet)


def test_a_part_that_was_cut_off_says_how_to_finish_it(
    one: Machine, where_they_meet: History
) -> None:
    first, second = write_part_of(one, 1, 2), _planned(one, 2, "tones.yaml")
    with pytest.raises(InputError, match="part 2 of 2 is incomplete") as caught:
        merge([first, second], where_they_meet)
    assert "localprompt eval --resume" in str(caught.value.next_step)
    with pytest.raises(UnknownNameError):
        where_they_meet.evaluation("last")  # nothing of it was kept


def test_a_full_disk_where_they_meet_keeps_nothing_of_the_whole(
    one: Machine, where_they_meet: History
) -> None:
    parts = [write_part_of(one, number, 2) for number in (1, 2)]
    connection = where_they_meet._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(HistoryError, match="full"):
        merge(parts, where_they_meet)
    connection.execute("PRAGMA max_page_count = 1000000")
    with pytest.raises(UnknownNameError):
        where_they_meet.evaluation("last")
    assert load_result(merge(parts, where_they_meet), where_they_meet).complete


def test_results_of_several_kinds_of_machine_name_their_part_and_no_times_are_pooled(
    one: Machine, where_they_meet: History
) -> None:
    first, second = write_part_of(one, 1, 2), write_part_of(one, 2, 2)
    machine = one.plan("tones.yaml").evaluation.machine.id
    second.write_bytes(second.read_bytes().replace(machine.encode(), b"0" * len(machine)))
    whole = merge([first, second], where_they_meet)
    assert {r.machine for r in where_they_meet.results(whole.id)} == {"part 1", "part 2"}
    merged = load_result(whole, where_they_meet)
    assert [target.ttft_seconds for target in merged.targets] == [None]
    machines = {use.hand: use.machine.id for use in merged.uses if use.machine is not None}
    assert machines == {"part 1": machine, "part 2": "0" * len(machine)}
    assert "on 2 kinds of machine" in whole.notes[-1]


def _planned(machine: Lab, number: int, suite: str, **request: Any) -> Path:
    """A part of which nothing has been answered."""
    planned = machine.plan(suite, shard=(number, 2), **request)
    path = machine.folder / f"planned{number}.jsonl"
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_part(planned.evaluation, machine.store, stream)
    return path
