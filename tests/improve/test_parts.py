from __future__ import annotations

from collections import Counter

import pytest

from localprompt.errors import InputError
from localprompt.improve.parts import label_of, split
from localprompt.records.score import Expectation
from localprompt.sources.suite.records import EvalCase


def case(at: int, text: str | None = None, label: str | None = None) -> EvalCase:
    answer = label or ("good" if at % 2 else "bad")
    return EvalCase(
        id=f"c{at}",
        index=at,
        vars={"text": text or f"text number {at}"},
        expectations=(Expectation("equals", answer),),
    )


CASES = [case(at) for at in range(100)]


def test_every_case_is_in_one_part_and_labels_are_even() -> None:
    parts = split(CASES, seed=1)
    ids = [one.id for part in (parts.search, parts.selection, parts.final) for one in part]
    assert sorted(ids) == sorted(one.id for one in CASES)
    assert (len(parts.search), len(parts.selection), len(parts.final)) == (50, 20, 30)
    for part in (parts.search, parts.selection, parts.final):
        counts = Counter(map(label_of, part))
        assert abs(counts["good"] - counts["bad"]) <= 1


def test_the_seed_decides_the_split() -> None:
    assert split(CASES, seed=1) == split(CASES, seed=1)
    assert split(CASES, seed=1).final != split(CASES, seed=2).final


def test_cases_that_say_the_same_are_never_in_two_parts() -> None:
    doubled = [
        case(
            at,
            text=f"Text  {at // 2}" if at % 2 else f"text {at // 2}",
            label="x" * (1 + at // 2 % 2),
        )
        for at in range(100)
    ]
    parts = split(doubled, seed=3)
    seen = [
        {" ".join(one.vars["text"].lower().split()) for one in part}
        for part in (parts.search, parts.selection, parts.final)
    ]
    assert not seen[0] & seen[1]
    assert not (seen[0] | seen[1]) & seen[2]
    assert any("say the same" in note for note in parts.notes)


def test_cases_of_the_final_file_are_taken_out_of_the_search() -> None:
    final = [case(at, text=CASES[at].vars["text"]) for at in range(20)]
    parts = split(CASES, seed=1, final=final)
    assert parts.final == tuple(final)
    assert len(parts.search) + len(parts.selection) == 80
    assert parts.notes == ("20 cases of the final file were left out of the search",)


def test_few_cases_are_refused_with_what_they_could_tell() -> None:
    with pytest.raises(InputError, match="too few cases") as caught:
        split(CASES[:20], seed=1)
    assert caught.value.found == "20 cases"
    assert "cannot be told from chance" in (caught.value.expected or "")
    assert split(CASES[:20], seed=1, force=True).final


def test_one_label_only_is_refused() -> None:
    same = [case(at, label="good") for at in range(40)]
    with pytest.raises(InputError, match="same answer"):
        split(same, seed=1, choices=("good", "bad"))
