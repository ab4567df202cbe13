from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import HistoryError, UnknownNameError
from localprompt.records import json as record_json
from localprompt.records.run import Samples
from localprompt.store.connection import comparable, pack, unpack
from localprompt.store.reader import HistoryReader
from localprompt.store.writer import HistoryWriter
from tests.sample_runs import FIRST_MOMENT, make_run

RUNS = (
    make_run(0, kind="run", prompt="summarize"),
    make_run(1, kind="ask", prompt=None),
    make_run(2, kind="run", prompt="classify", model="gemma3-270m"),
    make_run(3, kind="bench", prompt="summarize"),
)


@pytest.fixture
def history(database: Path) -> Iterator[HistoryReader]:
    with HistoryWriter(database) as writer:
        for run in RUNS:
            writer.record(run, Samples((0.5, 0.75)))
    with HistoryReader(database) as reader:
        yield reader


def test_a_run_is_found_by_its_id_in_either_case(history: HistoryReader) -> None:
    assert history.get(RUNS[1].id) == RUNS[1]
    assert history.get(RUNS[1].id.lower()) == RUNS[1]


def test_a_run_is_found_by_the_beginning_of_its_id(history: HistoryReader) -> None:
    assert history.get(RUNS[2].id[:10]) == RUNS[2]


def test_an_id_that_begins_another_is_found_itself(database: Path) -> None:
    with HistoryWriter(database) as writer:
        for run_id in ("01A", "01AB"):
            writer.record(msgspec.structs.replace(make_run(), id=run_id))
    with HistoryReader(database) as reader:
        assert reader.resolve("01A") == "01A"


def test_the_newest_is_a_run_or_what_has_no_runs(database: Path) -> None:
    with HistoryReader(database) as reader:
        assert reader.newest() is None
    with HistoryWriter(database) as writer:
        writer.record(RUNS[1])
    for kind, newest in (("bench", RUNS[1].id), ("eval", "~eval"), ("tune", "~tune")):
        record = {"id": f"~{kind}", "kind": kind, "created_at": "2026-11-22", "title": kind}
        with closing(sqlite3.connect(database)) as connection, connection:
            row = (record["id"], json.dumps(record))
            connection.execute("INSERT INTO experiments (id, record) VALUES (?, ?)", row)
        with HistoryReader(database) as reader:
            assert reader.newest() == newest


def test_last_counts_back_from_the_newest_run(history: HistoryReader) -> None:
    assert history.get("last") == RUNS[3]
    assert history.get("last~0") == RUNS[3]
    assert history.get("last~3") == RUNS[0]


def test_last_of_a_kind_counts_only_that_kind(history: HistoryReader) -> None:
    assert history.get("last", kind="run") == RUNS[2]
    assert history.get("last~1", kind="run") == RUNS[0]


def test_an_ambiguous_beginning_names_the_runs_that_share_it(history: HistoryReader) -> None:
    with pytest.raises(UnknownNameError, match="more than one run begins with '01'") as caught:
        history.get("01")
    assert caught.value.nearest == tuple(run.id for run in reversed(RUNS))


@pytest.mark.parametrize(
    "reference",
    ["ZZZZ", "", "last~", "last~-1", "last~99999999999999999999", "\udcff", "0" * 27, "%"],
)
def test_a_reference_to_nothing_is_an_unknown_name(history: HistoryReader, reference: str) -> None:
    with pytest.raises(UnknownNameError, match="no run is called") as caught:
        history.get(reference)
    assert caught.value.next_step == "localprompt runs list"


def test_counting_back_too_far_says_how_many_runs_there_are(history: HistoryReader) -> None:
    with pytest.raises(UnknownNameError, match="4 runs are recorded") as caught:
        history.get("last~4")
    assert caught.value.nearest == ("last", "last~3")
    with pytest.raises(UnknownNameError, match="1 ask run is recorded"):
        history.get("last~1", kind="ask")
    with pytest.raises(UnknownNameError, match="no eval run is recorded yet"):
        history.get("last", kind="eval")


def test_a_history_that_does_not_exist_is_empty_and_is_not_made(database: Path) -> None:
    with HistoryReader(database) as reader:
        assert list(reader.runs()) == []
        assert reader.stats().runs == 0
        assert reader.stats().file_bytes == 0
        with pytest.raises(UnknownNameError, match="no run is recorded yet") as caught:
            reader.get("last")
    assert caught.value.next_step is not None
    assert caught.value.next_step.startswith("localprompt ask")
    assert not database.parent.exists()


def test_runs_come_newest_first_or_oldest_first(history: HistoryReader) -> None:
    assert list(history.runs()) == list(reversed(RUNS))
    assert list(history.runs(oldest_first=True)) == list(RUNS)
    assert list(history.runs(limit=2)) == [RUNS[3], RUNS[2]]
    assert list(history.runs(limit=0)) == []


def test_runs_are_filtered_by_every_condition_given(history: HistoryReader) -> None:
    assert list(history.runs(kind="run")) == [RUNS[2], RUNS[0]]
    assert list(history.runs(model="gemma3-270m")) == [RUNS[2]]
    assert list(history.runs(prompt="summarize", kind="bench")) == [RUNS[3]]
    assert list(history.runs(prompt="summarize", model="gemma3-270m")) == []
    assert list(history.runs(model="\udcff")) == []


def test_since_includes_the_moment_itself_in_any_time_zone(history: HistoryReader) -> None:
    moment = (FIRST_MOMENT + timedelta(minutes=2)).astimezone(timezone(timedelta(hours=-3)))
    assert list(history.runs(since=moment)) == [RUNS[3], RUNS[2]]
    assert list(history.runs(since=moment + timedelta(seconds=1))) == [RUNS[3]]


@given(*[st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))] * 2)  # noqa: DTZ001
def test_stored_times_compare_as_text_as_the_moments_do(one: datetime, other: datetime) -> None:
    for stored in (one.isoformat(), one.isoformat().replace("+00:00", "Z")):
        assert (stored >= comparable(other)) == (one >= other.replace(microsecond=0))


@given(st.lists(st.floats(allow_nan=False)))
def test_times_are_packed_bit_for_bit(seconds: list[float]) -> None:
    assert list(unpack(pack(seconds))) == seconds
    assert len(pack(seconds)) == 8 * len(seconds)


def test_packed_times_are_little_endian_float64() -> None:
    assert pack([1.0]) == bytes.fromhex("000000000000f03f")


def test_a_run_without_samples_has_none(database: Path) -> None:
    with HistoryWriter(database) as writer:
        writer.record(make_run())
    with HistoryReader(database) as reader:
        assert reader.samples(make_run().id) is None


def test_statistics_count_runs_kinds_and_bytes(history: HistoryReader) -> None:
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


def test_reading_does_not_hold_back_a_writer(history: HistoryReader) -> None:
    reading = history.runs()
    assert next(reading) == RUNS[3]
    with HistoryWriter(history.path, busy_seconds=0) as writer:
        writer.record(make_run(4))
    assert list(reading) == [RUNS[2], RUNS[1], RUNS[0]]
    assert history.get("last") == make_run(4)


def test_a_record_that_was_tampered_with_is_an_error_that_names_the_run(
    history: HistoryReader,
) -> None:
    with closing(sqlite3.connect(history.path)) as connection, connection:
        connection.execute(
            "UPDATE runs SET record = json_set(record, '$.tokens', 'many') WHERE id = ?",
            (RUNS[1].id,),
        )
    with pytest.raises(HistoryError, match="cannot be read") as caught:
        history.get("last~2")
    assert RUNS[1].id in str(caught.value.where)
    assert "$.tokens" in str(caught.value.found)


def test_a_record_as_the_first_version_wrote_it_is_still_read(database: Path) -> None:
    first = (Path(__file__).parent / "record_of_schema_1.json").read_text().strip()
    machine = record_json.decode(first).machine
    with HistoryWriter(database), closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO machines (id, os) VALUES (?, ?)", (machine.id, machine.os))
        connection.execute("INSERT INTO runs (id, record) VALUES (?, ?)", (make_run().id, first))
    with HistoryReader(database) as reader:
        assert reader.get("last") == make_run()
