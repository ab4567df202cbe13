from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import HistoryError, UnknownNameError
from localprompt.records import json as record_json
from localprompt.records.run import Samples
from localprompt.store.connection import comparable, pack, unpack
from localprompt.store.history import History
from localprompt.store.search import Filter
from tests.sample_runs import FIRST_MOMENT, make_run

RUNS = (
    make_run(0, kind="run", prompt="summarize"),
    make_run(1, kind="ask", prompt=None),
    make_run(2, kind="run", prompt="classify", model="gemma3-270m"),
    make_run(3, kind="bench", prompt="summarize"),
)


@pytest.fixture
def history(database: Path) -> Iterator[History]:
    with History(database) as writer:
        for run in RUNS:
            writer.record(run, Samples((0.5, 0.75)))
    with History(database, read_only=True) as reader:
        yield reader


def test_a_history_that_does_not_exist_is_empty_and_is_not_made(database: Path) -> None:
    with History(database, read_only=True) as reader:
        assert list(reader.runs()) == []
        assert reader.stats().runs == 0
        assert reader.stats().file_bytes == 0
        with pytest.raises(UnknownNameError, match="no run is recorded yet") as caught:
            reader.get("last")
    assert caught.value.next_step is not None
    assert caught.value.next_step.startswith("localprompt ask")
    assert not database.parent.exists()


def test_a_record_that_cannot_be_read_is_named_and_the_rest_is_read(
    history: History, database: Path
) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "UPDATE runs SET record = json_set(record, '$.tokens', 'none') WHERE id = ?",
            (RUNS[1].id,),
        )
    told: list[HistoryError] = []
    assert list(history.runs(unreadable=told.append)) == [RUNS[3], RUNS[2], RUNS[0]]
    assert [RUNS[1].id in str(error.where) for error in told] == [True]
    with pytest.raises(HistoryError, match="cannot be read"):
        list(history.runs())


def test_runs_come_newest_first_or_oldest_first(history: History) -> None:
    assert list(history.runs()) == list(reversed(RUNS))
    assert list(history.runs(oldest_first=True)) == list(RUNS)
    assert list(history.runs(limit=2)) == [RUNS[3], RUNS[2]]
    assert list(history.runs(limit=0)) == []


def test_runs_are_filtered_by_every_condition_given(history: History) -> None:
    assert list(history.runs(Filter(kind="run"))) == [RUNS[2], RUNS[0]]
    assert list(history.runs(Filter(model="gemma3-270m"))) == [RUNS[2]]
    assert list(history.runs(Filter(prompt="summarize", kind="bench"))) == [RUNS[3]]
    assert list(history.runs(Filter(prompt="summarize", model="gemma3-270m"))) == []
    assert list(history.runs(Filter(model="\udcff"))) == []


def test_since_includes_the_moment_itself_in_any_time_zone(history: History) -> None:
    moment = (FIRST_MOMENT + timedelta(minutes=2)).astimezone(timezone(timedelta(hours=-3)))
    assert list(history.runs(Filter(since=moment))) == [RUNS[3], RUNS[2]]
    assert list(history.runs(Filter(since=moment + timedelta(seconds=1)))) == [RUNS[3]]


@given(*[st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))] * 2)  # noqa: DTZ001
def test_stored_times_compare_as_text_as_the_moments_do(one: datetime, other: datetime) -> None:
    for stored in (one.isoformat(), one.isoformat().replace("+00:00", "Z")):
        assert (stored >= comparable(other)) == (one >= other.replace(microsecond=0))


@given(st.lists(st.floats(allow_nan=False)))
def test_times_are_packed_bit_for_bit(seconds: list[float]) -> None:
    assert list(unpack(pack(seconds), Path("history.db"))) == seconds
    assert len(pack(seconds)) == 8 * len(seconds)


def test_packed_times_are_little_endian_float64() -> None:
    assert pack([1.0]) == bytes.fromhex("000000000000f03f")


def test_a_run_without_samples_has_none(database: Path) -> None:
    with History(database) as writer:
        writer.record(make_run())
    with History(database, read_only=True) as reader:
        assert reader.samples(make_run().id) is None


def test_statistics_count_runs_kinds_and_bytes(history: History) -> None:
    stats = history.stats()
    assert stats.runs == 4
    assert stats.runs_by_kind == {"ask": 1, "bench": 1, "run": 2}
    assert (stats.first_created_at, stats.last_created_at) == (
        RUNS[0].created_at,
        RUNS[3].created_at,
    )
    assert stats.record_bytes == sum(len(record_json.encode(run)) for run in RUNS)
    assert stats.sample_bytes == 4 * 2 * 8
    assert stats.file_bytes > stats.record_bytes


def test_reading_does_not_hold_back_a_writer(history: History) -> None:
    reading = history.runs()
    assert next(reading) == RUNS[3]
    with History(history.path, busy_seconds=0) as writer:
        writer.record(make_run(4))
    assert list(reading) == [RUNS[2], RUNS[1], RUNS[0]]
    assert history.get("last") == make_run(4)


def test_a_record_that_was_tampered_with_is_an_error_that_names_the_run(
    history: History,
) -> None:
    with closing(sqlite3.connect(history.path)) as connection, connection:
        connection.execute(
            "UPDATE runs SET record = json_set(record, '$.tokens', 'many') WHERE id = ?",
            (RUNS[1].id,),
        )
    with pytest.raises(HistoryError, match="cannot be read") as caught:
        history.get(RUNS[1].id)
    assert RUNS[1].id in str(caught.value.where)
    assert "$.tokens" in str(caught.value.found)


def test_a_record_as_the_first_version_wrote_it_is_still_read(database: Path) -> None:
    first = (Path(__file__).parent / "record_of_schema_1.json").read_text().strip()
    machine = record_json.decode(first).machine
    with History(database), closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO machines (id, os) VALUES (?, ?)", (machine.id, machine.os))
        connection.execute("INSERT INTO runs (id, record) VALUES (?, ?)", (make_run().id, first))
    with History(database, read_only=True) as reader:
        assert reader.get("last") == make_run()


@pytest.mark.parametrize("blob", ["text", b"123", None])
def test_times_that_are_none_are_told_as_damaged(blob: Any) -> None:
    with pytest.raises(HistoryError, match="raw times") as caught:
        unpack(blob, Path("history.db"))
    assert caught.value.where == "history.db"
