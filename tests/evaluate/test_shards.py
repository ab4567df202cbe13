"""A part of an evaluation: which cases it has, and the file that it goes into."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

import localprompt
from localprompt.errors import DatasetError, InputError
from localprompt.evaluate.selection import part_of
from localprompt.evaluate.shards import parse_shard, read_part
from tests.evaluate.harness import Lab, write_part_of

MANY = "text,__expected\n" + "".join(
    f"a {'fine' if n % 3 else 'grey'} day {n},good\n" for n in range(40)
)


@pytest.fixture
def many(lab: Lab) -> Lab:
    lab.write("cases.csv", MANY)
    return lab


def test_a_case_stays_in_its_part_when_others_are_appended(many: Lab) -> None:
    before = {r.case_id for r in many.results(many.evaluate("tones.yaml", shard=(2, 3)))}
    many.write("cases.csv", MANY + "".join(f"more {n},good\n" for n in range(20)))
    after = {r.case_id for r in many.results(many.evaluate("tones.yaml", shard=(2, 3)))}
    assert before < after
    assert all(part_of(case_id, 3) == 2 for case_id in after)


def test_equal_rows_are_cases_of_their_own(many: Lab) -> None:
    many.write("cases.csv", MANY + "a fine day 1,good\n" * 9)
    found = [many.results(many.evaluate("tones.yaml", shard=(n, 2))) for n in (1, 2)]
    assert sorted(r.case_index for part in found for r in part) == list(range(49))


def test_a_part_goes_on_where_it_was_cut_off(many: Lab) -> None:
    planned = many.plan("tones.yaml", shard=(1, 2))
    assert many.resume(planned.evaluation.id).complete


def test_a_target_without_any_case_is_in_no_part(many: Lab) -> None:
    many.write(
        "two.yaml",
        "prompts: ['Is this good or bad? {{ text }}']\nproviders: [small, large]\n"
        "tests:\n- {vars: {text: a fine day}, providers: [large]}\n"
        "- {vars: {text: a grey day}, providers: [large]}\n",
    )
    (unbroken,) = many.plan("two.yaml").evaluation.targets
    for number in (1, 2):
        (target,) = many.plan("two.yaml", shard=(number, 2)).evaluation.targets
        assert target.model == unbroken.model


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: [], "not a part"),
        (lambda lines: [b'{"target": 0}\n'], "not a part"),
        (lambda lines: lines[:-1], "damaged"),
        (lambda lines: lines[:3], "damaged"),
        (lambda lines: [*lines[:2], *lines[3:]], "damaged"),
        (lambda lines: [*lines[:-1], lines[-1][:10]], "damaged"),
        (lambda lines: [line.replace(b'"good"', b'"goof"') for line in lines], "other bytes"),
        (lambda lines: [line.replace(b"\n", b"\r\n") for line in lines], "the ends of lines"),
        (lambda lines: [lines[0].replace(b'"of":2', b'"of":0', 1), *lines[1:]], "no such part"),
        (lambda lines: [lines[0].replace(b'"results":[40]', b'"results":[]'), *lines[1:]], "part"),
    ],
)
def test_a_damaged_or_foreign_file_is_not_a_part(many: Lab, damage: object, words: str) -> None:
    part = write_part_of(many, 2, 2)
    lines = part.read_bytes().splitlines(keepends=True)
    changed = damage(lines)  # type: ignore[operator]
    assert changed != lines
    part.write_bytes(b"".join(changed))
    with pytest.raises(DatasetError) as caught:
        list(read_part(part).results())
    assert words in f"{caught.value.message} {caught.value.found}"


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        read_part(tmp_path / "absent")


@pytest.mark.parametrize(
    ("line", "old", "new"),
    [
        (0, b'"of":2', b'"of":0'),
        (0, b'"of":2', b'"of":9223372036854775808'),
        (0, b'"number":2', b'"number":-1'),
        (0, b'"results":[40]', b'"results":[40,40]'),
        (0, b'"results":[40]', b'"results":[1e400]'),
        (0, b'"repeat":1', b'"repeat":-1'),
        (1, b'"case_index":', b'"case_index":99999999999999999999'),
        (1, b'"repetition":', b'"repetition":77'),
        (1, b'"target":', b'"target":7'),
    ],
)
def test_numbers_that_no_plan_has_are_refused_with_the_right_digest_too(
    many: Lab, line: int, old: bytes, new: bytes
) -> None:
    part = write_part_of(many, 2, 2)
    lines = part.read_bytes().splitlines(keepends=True)
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new, 1)
    digest = hashlib.sha256(b"".join(lines[1:-1])).hexdigest()
    lines[-1] = msgspec.json.encode({"results": len(lines) - 2, "sha256": digest}) + b"\n"
    part.write_bytes(b"".join(lines))
    with pytest.raises(DatasetError):
        list(read_part(part).results())


@pytest.mark.parametrize("change", [(b'"version":1', b'"version":0'), (b'"title":', b'"heading":')])
def test_a_part_whose_lines_meant_something_else_is_told_from_a_foreign_file(
    many: Lab, change: tuple[bytes, bytes]
) -> None:
    part = write_part_of(many, 1, 1)
    content = part.read_bytes()
    made_by = f'"localprompt_version":"{localprompt.__version__}"'.encode()
    assert made_by in content
    assert change[0] in content
    part.write_bytes(content.replace(*change, 1).replace(made_by, b'"localprompt_version":"0.0.7"'))
    with pytest.raises(DatasetError, match="a version of localprompt whose parts") as caught:
        read_part(part)
    assert caught.value.found == "localprompt 0.0.7"


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/99999", "", "1/4/2"])
def test_what_is_not_a_part_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a part"):
        parse_shard(text)
