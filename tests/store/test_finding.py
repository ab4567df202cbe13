"""One way from names to what is stored, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from localprompt.errors import InputError, UnknownNameError
from localprompt.records.run import BenchPlace
from localprompt.store.history import KINDS, RUNS, Found, History
from tests.sample_runs import make_experiment, make_run
from tests.sample_tunings import tuning

# In the order in which they were made: a run, a tuning, a bench with a repetition, a run.
FIRST = make_run(0, kind="run")
TUNING = tuning(id=make_run(1).id)
BENCH = msgspec.structs.replace(make_experiment(0), id=make_run(2).id)
REPETITION = msgspec.structs.replace(
    make_run(3, kind="bench"), bench=BenchPlace(BENCH.id, "cell", 0, "timing")
)
SECOND = make_run(4, kind="ask", prompt=None)


@pytest.fixture
def history(database: Path) -> Iterator[History]:
    with History(database) as writer:
        writer.record(FIRST)
        writer.keep(TUNING)
        writer.begin(BENCH)
        writer.record(REPETITION)
        writer.record(SECOND)
        yield writer


def test_everything_is_found_by_its_id_in_either_case(history: History) -> None:
    for record, kind, is_run in (
        (FIRST, "run", True),
        (TUNING, "tune", False),
        (BENCH, "bench", False),
        (REPETITION, "bench", True),
    ):
        for name in (record.id, record.id.lower(), f" {record.id} "):
            assert history.find(name) == Found(record.id, kind, is_run)


def test_the_beginning_of_an_id_is_enough_where_no_other_shares_it(history: History) -> None:
    beginning = next(
        TUNING.id[:n]
        for n in range(1, 27)
        if not any(one.id.startswith(TUNING.id[:n]) for one in (FIRST, BENCH, REPETITION, SECOND))
    )
    assert history.find(beginning).id == TUNING.id


def test_a_beginning_that_several_share_names_them_newest_first(history: History) -> None:
    with pytest.raises(UnknownNameError, match="more than one run begins with '0'") as caught:
        history.find("0", RUNS)
    assert caught.value.nearest == (SECOND.id, REPETITION.id, FIRST.id)
    assert history.find("0", ("bench",)).id == BENCH.id


def test_an_id_that_begins_another_is_found_itself(history: History) -> None:
    for run_id in ("09A", "09AB"):
        history.record(msgspec.structs.replace(FIRST, id=run_id))
    assert history.find("09a").id == "09A"


def test_last_counts_what_can_be_shown_and_no_repetitions(history: History) -> None:
    newest_first = [SECOND.id, BENCH.id, TUNING.id, FIRST.id]
    names = ["last", "last~1", "last~2", "last~3"]
    assert [history.find(name).id for name in names] == newest_first
    assert history.find("last~0") == history.find("last")
    assert history.find("last~1", RUNS).id == FIRST.id
    assert history.find("last", ("eval", "bench")).id == BENCH.id


def test_a_kind_can_be_said_with_last(history: History) -> None:
    assert history.find("last tune").id == TUNING.id
    assert history.find("last~0 run").id == FIRST.id
    with pytest.raises(UnknownNameError, match="'tune' is not a kind that can be used") as caught:
        history.find("last tune", ("bench", "eval"))
    assert caught.value.nearest == ("bench", "eval")


@pytest.mark.parametrize(
    "reference",
    ["ZZZZ", "", "last~", "last~-1", "last~99999999999999999999", "\udcff", "0" * 27, "%"],
)
def test_a_name_of_nothing_is_unknown_and_the_newest_are_named(
    history: History, reference: str
) -> None:
    with pytest.raises(UnknownNameError, match="no run is called") as caught:
        history.find(reference, RUNS)
    assert caught.value.nearest == (SECOND.id, FIRST.id)
    assert caught.value.next_step == "localprompt runs list"


def test_a_beginning_is_enough_however_many_of_another_kind_share_it(history: History) -> None:
    """Whoever types few digits means the one of its kind, not the newest five of all kinds."""
    for number in range(10, 20):
        history.begin(msgspec.structs.replace(make_experiment(0), id=make_run(number).id))
        history.record(make_run(100 + number))
    assert {TUNING.id[0], make_run(10).id[0], make_run(119).id[0]} == {"0"}
    assert history.find("0", ("tune",)).id == TUNING.id


def test_a_thing_of_another_kind_is_named_as_what_it_is(history: History) -> None:
    with pytest.raises(UnknownNameError, match="is a tuning, not a bench") as caught:
        history.find(TUNING.id, ("bench",))
    assert caught.value.next_step == f"localprompt runs show {TUNING.id}"
    with pytest.raises(UnknownNameError, match="is a run, not a bench"):
        history.bench(FIRST.id)
    with pytest.raises(UnknownNameError, match="is a run, not an evaluation"):
        history.find(FIRST.id, ("eval",))


def test_counting_back_too_far_says_how_many_there_are(history: History) -> None:
    with pytest.raises(UnknownNameError, match="only 2 of that kind are recorded") as caught:
        history.find("last~2", RUNS)
    assert caught.value.nearest == ("last", "last~1")
    with pytest.raises(UnknownNameError, match="only 1 of that kind is recorded"):
        history.find("last~1", ("bench",))
    with pytest.raises(UnknownNameError, match="no evaluation is recorded yet") as caught:
        history.find("last", ("eval",))
    assert caught.value.next_step == "localprompt eval SUITE"


def test_two_names_count_what_is_of_one_kind(history: History) -> None:
    kinds = ("bench", "eval", *RUNS)
    assert [one.id for one in history.find_both("last~1", "last", kinds)] == [FIRST.id, SECOND.id]
    assert [one.id for one in history.find_both(BENCH.id, "last", kinds)] == [BENCH.id, BENCH.id]
    one, other = history.find_both("last bench", SECOND.id, kinds)
    assert (one.id, other.id) == (BENCH.id, SECOND.id)


def test_an_evaluation_and_a_run_are_not_set_side_by_side(history: History) -> None:
    connection = history._connection
    connection.execute(
        "INSERT INTO experiments (id, record) VALUES ('09E', ?)",
        ('{"id": "09E", "kind": "eval", "created_at": "", "title": ""}',),
    )
    with pytest.raises(InputError, match="evaluation and run cannot be compared"):
        history.find_both("09E", FIRST.id, ("bench", "eval", *RUNS))


def test_looking_into_no_history_finds_nothing_and_makes_none(database: Path) -> None:
    with (
        History(database, read_only=True) as history,
        pytest.raises(UnknownNameError, match="is recorded yet"),
    ):
        history.find("last", KINDS)
    assert not database.exists()
