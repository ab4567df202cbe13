"""An evaluation in parts gives the table of an unbroken one, or says why it cannot."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import localprompt
from localprompt.errors import DatasetError, InputError
from localprompt.evaluate.selection import part_of
from localprompt.evaluate.shards import merge, parse_shard, write_part
from localprompt.evaluate.summarize import load_result
from localprompt.records.evaluation import EvalResult
from localprompt.store.history import History
from tests.evaluate.harness import Lab

MANY = "text,__expected\n" + "".join(
    f"a {'fine' if n % 3 else 'grey'} day {n},good\n" for n in range(40)
)


@pytest.fixture
def many(lab: Lab) -> Lab:
    lab.write("cases.csv", MANY)
    return lab


def _part(
    lab: Lab, number: int, of: int, name: str | None = None, suite: str = "tones.yaml"
) -> Path:
    result = lab.evaluate(suite, shard=(number, of), cached=False)
    path = lab.folder / (name or f"part{number}.jsonl")
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_part(result.evaluation, lab.store, stream)
    return path


def _figures(result: EvalResult) -> bytes:
    """What a run is about, without when it was made and what it took."""
    targets = [msgspec.structs.replace(t, ttft_seconds=None, cached=0) for t in result.targets]
    return msgspec.json.encode(targets)


@pytest.mark.parametrize("of", [1, 3, 7])
def test_parts_put_together_give_the_table_of_an_unbroken_run(
    many: Lab, tmp_path: Path, of: int
) -> None:
    unbroken = many.evaluate("tones.yaml", cached=False)
    parts = [_part(many, number, of) for number in range(1, of + 1)]
    with History(tmp_path / "elsewhere.db") as elsewhere:
        whole = merge([*reversed(parts)], elsewhere)
        merged = load_result(whole, elsewhere)
        results = [(r.case_id, r.answer) for r in elsewhere.results(whole.id)]
    assert merged.complete
    assert _figures(merged) == _figures(unbroken)
    assert results == [(r.case_id, r.answer) for r in many.results(unbroken)]
    assert whole.request.shard is None
    assert whole.cases_sha256 == unbroken.evaluation.cases_sha256
    assert f"merged from {of} parts" in whole.notes[-1]


def test_a_case_stays_in_its_part_when_others_are_appended(many: Lab) -> None:
    before = {r.case_id for r in many.results(many.evaluate("tones.yaml", shard=(2, 3)))}
    many.write("cases.csv", MANY + "".join(f"more {n},good\n" for n in range(20)))
    after = {r.case_id for r in many.results(many.evaluate("tones.yaml", shard=(2, 3)))}
    assert before < after
    assert all(part_of(case_id, 3) == 2 for case_id in after)


def test_a_part_goes_on_where_it_was_cut_off(many: Lab) -> None:
    planned = many.plan("tones.yaml", shard=(1, 2))
    assert many.resume(planned.evaluation.id).complete


def test_what_does_not_belong_together_is_named(many: Lab, tmp_path: Path) -> None:
    one, two = _part(many, 1, 2), _part(many, 2, 2)
    other = _part(many, 2, 3, "other.jsonl")
    many.write("cases.csv", MANY.replace("grey", "gray"))
    changed = _part(many, 2, 2, "changed.jsonl")
    with History(tmp_path / "elsewhere.db") as history:
        for parts, words in (
            ([one], "1 of 2 parts missing: 2"),
            ([one, one, two], "part 1 of 2 appears twice"),
            ([one, other], "numbers of parts differ"),
            ([one, changed], "cases differ"),
        ):
            with pytest.raises(InputError, match=words):
                merge(parts, history)


def test_a_damaged_or_foreign_file_is_no_part(many: Lab, tmp_path: Path) -> None:
    one, two = _part(many, 1, 2), _part(many, 2, 2)
    lines = two.read_bytes().splitlines(keepends=True)
    with History(tmp_path / "elsewhere.db") as history:
        for content, words in (
            (b"", "not a part"),
            (b'{"target": 0}\n', "not a part"),
            (b"".join(lines[:-1]), "damaged"),
            (b"".join(lines[:3]), "damaged"),
            (b"".join([*lines[:2], *lines[3:]]), "damaged"),
            (b"".join(lines).replace(b'"good"', b'"goof"', 1), "damaged"),
            (b"".join(lines[:-1]) + lines[-1][:10], "damaged"),
        ):
            two.write_bytes(content)
            with pytest.raises(DatasetError, match=words):
                merge([one, two], history)
        with pytest.raises(DatasetError, match="no such file"):
            merge([one, tmp_path / "absent"], history)


def test_a_part_of_an_older_version_is_refused(many: Lab, tmp_path: Path) -> None:
    one, two = _part(many, 1, 2), _part(many, 2, 2)
    content = two.read_bytes()
    version = b'"localprompt_version":"'
    two.write_bytes(content.replace(version, version + b"0.0.", 1))
    with (
        History(tmp_path / "elsewhere.db") as history,
        pytest.raises(InputError, match="versions of localprompt differ"),
    ):
        merge([one, two], history)


@pytest.mark.parametrize("change", [(b'"version":1', b'"version":0'), (b'"title":', b'"heading":')])
def test_a_part_whose_lines_meant_something_else_is_told_from_a_foreign_file(
    many: Lab, tmp_path: Path, change: tuple[bytes, bytes]
) -> None:
    part = _part(many, 1, 1)
    content = part.read_bytes()
    made_by = f'"localprompt_version":"{localprompt.__version__}"'.encode()
    assert made_by in content
    assert change[0] in content
    part.write_bytes(content.replace(*change, 1).replace(made_by, b'"localprompt_version":"0.0.7"'))
    with (
        History(tmp_path / "elsewhere.db") as history,
        pytest.raises(DatasetError, match="a version of localprompt whose parts") as caught,
    ):
        merge([part], history)
    assert caught.value.found == "localprompt 0.0.7"


def test_a_part_that_was_cut_off_says_how_to_finish_it(many: Lab, tmp_path: Path) -> None:
    one = _part(many, 1, 2)
    planned = many.plan("tones.yaml", shard=(2, 2))
    two = tmp_path / "two.jsonl"
    with two.open("w", encoding="utf-8", newline="") as stream:
        write_part(planned.evaluation, many.store, stream)
    with (
        History(tmp_path / "elsewhere.db") as history,
        pytest.raises(InputError, match="part 2 of 2 is incomplete") as caught,
    ):
        merge([one, two], history)
    assert f"--resume {planned.evaluation.id}" in str(caught.value.next_step)


def test_times_of_several_machines_are_not_pooled(many: Lab, tmp_path: Path) -> None:
    one, two = _part(many, 1, 2), _part(many, 2, 2)
    machine = many.plan("tones.yaml").evaluation.machine.id
    two.write_bytes(two.read_bytes().replace(machine.encode(), b"0" * len(machine)))
    with History(tmp_path / "elsewhere.db") as history:
        whole = merge([one, two], history)
        assert all(result.timing is None for result in history.results(whole.id))
    assert "on 2 machines" in whole.notes[-1]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/99999", "", "1/4/2"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a part"):
        parse_shard(text)
