"""Finding runs by what was said in them, in old histories, too."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import InputError
from localprompt.records.run import RunRecord
from localprompt.store.history import KINDS, History
from localprompt.store.pruning import prune
from localprompt.store.search import Filter, _index_query
from tests.sample_evaluations import make_evaluation, make_result
from tests.sample_runs import make_run


def saying(number: int, text: str) -> RunRecord:
    run = make_run(number)
    return msgspec.structs.replace(run, output=msgspec.structs.replace(run.output, text=text))


SAID = (
    "Your INVOICE is attached.",
    "No receipts here.",
    "Ein Beleg für Zürich: 100 %.",
    "a\nb",
    "",
)


@pytest.fixture
def history(database: Path) -> Iterator[History]:
    with History(database) as opened:
        for number, text in enumerate(SAID):
            opened.record(saying(number, text))
        yield opened


def found(history: History, grep: str) -> list[int]:
    ids = [make_run(number).id for number in range(len(SAID))]
    return sorted(ids.index(run.id) for run in history.runs(Filter(grep=grep)))


@pytest.mark.parametrize(
    ("grep", "expected"),
    [
        ("invoice", [0]),
        ("voice is", [0]),
        ("VOI", [0]),
        ("invoice|receipt", [0, 1]),
        ("rec.*here", [1]),
        (r"\d+ %", [2]),
        ("zürich", [2]),
        ("a.?b", []),
        (r"^b$", []),
        ("invoices?", [0]),
        ("nowhere at all", []),
        ("no", [0, 1, 2, 3, 4]),  # the prompt's own words
    ],
)
def test_words_and_expressions_are_found_in_any_case(
    history: History, grep: str, expected: list[int]
) -> None:
    said = [f"{make_run().prompt.messages[0].text}\n{text}" for text in SAID]
    plainly = [n for n, text in enumerate(said) if re.search(grep, text, re.IGNORECASE)]
    assert found(history, grep) == plainly
    if grep != "no":
        assert plainly == expected


@given(st.text("ab c.?*\\|(){1,2}+^$[]", max_size=12), st.text("ABab c\n", max_size=12))
def test_what_the_index_is_asked_for_is_in_every_match(pattern: str, text: str) -> None:
    try:
        meant = Filter(grep=pattern).pattern
    except InputError:
        return
    query = _index_query(pattern)
    if meant and meant.search(text) and query is not None:
        either = [re.findall(r'"(...)"', one) for one in query.split(" OR ")]
        assert any(all(piece.lower() in text.lower() for piece in one) for one in either)


def test_alternatives_ask_the_index_for_one_or_the_other() -> None:
    assert _index_query("cats|dog") == '("cat" AND "ats") OR ("dog")'
    for pattern in ("cats|do", "(cats)", "ca", r"cat\|dog", "[cat]s", r"\w+"):
        assert _index_query(pattern) is None


def test_an_expression_that_is_none_says_where_it_goes_wrong(history: History) -> None:
    with pytest.raises(InputError, match="not a regular expression") as caught:
        list(history.runs(Filter(grep="a(b")))
    assert caught.value.where == "--grep"
    assert "character 2" in str(caught.value.found)


def test_conditions_add_up(history: History) -> None:
    assert found(history, "invoice") == [0]
    assert list(history.runs(Filter(grep="invoice", model="another"))) == []
    assert len(list(history.runs(Filter(grep="invoice|receipt"), limit=1))) == 1


def test_runs_that_were_recorded_before_there_was_an_index_are_found(database: Path) -> None:
    with History(database) as history:
        history.record(saying(0, SAID[0]))
    with closing(sqlite3.connect(database)) as old, old:
        for name in ("run_is_searched", "run_is_searched_again", "run_is_forgotten"):
            old.execute(f"DROP TRIGGER {name}")
        for table in ("run_index", "searched_runs", "tags"):
            old.execute(f"DROP TABLE {table}")
        old.execute("DELETE FROM migrations WHERE number = 4")
    with History(database) as history:
        history.record(saying(1, SAID[1]))
        assert found(history, "invoice") == [0]
        assert found(history, "receipt") == [1]


def test_a_record_that_is_changed_is_found_by_its_new_words(history: History) -> None:
    with closing(sqlite3.connect(history.path)) as other, other:
        other.execute(
            "UPDATE runs SET record = json_set(record, '$.output.text', 'a voucher') WHERE id = ?",
            (make_run(0).id,),
        )
    assert found(history, "voucher") == [0]
    assert found(history, "invoice") == []


def test_what_is_forgotten_is_out_of_the_index_and_out_of_the_file(database: Path) -> None:
    with History(database) as history:
        history.record(saying(0, "The word is xylophone."))
        history.record(saying(1, "Another one."))
        history.tag(make_run(0).id, ["music"])
    done = prune(database, where=Filter(grep="xylo"))
    assert (done.runs, done.runs_left) == (1, 1)
    with History(database) as history:
        assert found(history, "xylophone") == []
        assert found(history, "another") == [1]
        assert history.tags_of(make_run(0).id) == ()
    assert b"xylophone" not in database.read_bytes()
    assert b"xyl" not in database.read_bytes()


def test_words_are_looked_for_in_the_answers_of_evaluations(database: Path) -> None:
    with History(database) as history:
        evaluation = make_evaluation()
        history.begin(evaluation)
        history.add(evaluation.id, [make_result(0, True)])
        answer = make_result(0, True).answer
        assert [
            one.kind for one in history.listed(KINDS, Filter(grep=re.escape(answer)), limit=9)
        ] == ["eval"]
        assert history.listed(KINDS, Filter(grep="nothing of the kind"), limit=9) == []
    assert prune(database, where=Filter(grep=re.escape(answer)), dry_run=True).evaluations == 1
    assert prune(database, where=Filter(grep="nothing of the kind")).evaluations == 0


def test_tags_are_given_found_and_taken_away(history: History) -> None:
    history.tag(make_run(0).id, ["good", "paper", "good"])
    assert history.tags_of(make_run(0).id) == ("good", "paper")
    assert [run.id for run in history.runs(Filter(tag="paper"))] == [make_run(0).id]
    history.tag(make_run(0).id, ["paper", "never there"], remove=True)
    assert history.tags_of(make_run(0).id) == ("good",)


def test_the_newest_come_in_the_order_in_which_they_were_made(history: History) -> None:
    newest = [run.id for run in history.runs(limit=2, oldest_first=True)]
    assert newest == [make_run(3).id, make_run(4).id]
