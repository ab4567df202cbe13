from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from localprompt.errors import HistoryError
from localprompt.records.run import Samples
from localprompt.store import schema
from localprompt.store.history import History
from localprompt.store.schema import MIGRATIONS, Migration
from tests.sample_evaluations import make_evaluation, make_result
from tests.sample_runs import in_bench, make_experiment, make_run

COLUMNS = {
    "machines": "id cpu physical_cores logical_cores usable_cores memory_bytes os",
    "migrations": "number name applied_at localprompt_version",
    "runs": (
        "id record kind created_at localprompt_version model_name model_sha256 model_quantization "
        "prompt_name prompt_sha256 rendered_sha256 n_ctx n_batch n_ubatch n_threads "
        "n_threads_batch type_k type_v temperature seed prompt_tokens reused_tokens "
        "completion_tokens load_seconds prefill_seconds ttft_seconds decode_seconds total_seconds "
        "prefill_tokens_per_second decode_tokens_per_second itl_p50_seconds itl_p95_seconds "
        "peak_rss_bytes anonymous_bytes file_backed_bytes weights_bytes kv_cache_bytes "
        "compute_bytes finish_reason output_text machine_id llama_cpp_build"
    ),
    "samples": "run_id series seconds",
    "experiments": "id record kind created_at title",
    "results": "experiment_id cell_key phase repetition run_id failure created_at",
    "eval_results": (
        "experiment_id target case_index repetition record case_id answer_key passed score answer "
        "error"
    ),
    "eval_model_uses": "experiment_id record",
    "run_index": "text",
    "searched_runs": "number run_id",
    "tags": "id tag",
}
GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "history.md").read_text()
NEXT = MIGRATIONS[-1].number + 1


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        yield connection


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    rows = connection.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (table,))
    return [name for name, hidden in rows if hidden != 1]  # of a virtual table, SQLite's own


def tables_of(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in rows if not name.startswith("run_index_")}  # SQLite's own


def test_the_tables_and_their_columns_are_the_promised_ones(connection: sqlite3.Connection) -> None:
    schema.migrate(connection)
    assert tables_of(connection) == set(COLUMNS)
    for table, columns in COLUMNS.items():
        assert columns_of(connection, table) == columns.split()


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.number for migration in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_each_migration_leaves_a_row_in_the_database(connection: sqlite3.Connection) -> None:
    schema.migrate(connection)
    schema.migrate(connection)
    rows = connection.execute("SELECT number, name FROM migrations ORDER BY number").fetchall()
    assert rows == [(migration.number, migration.name) for migration in MIGRATIONS]


def test_a_column_added_later_has_its_value_for_runs_recorded_before(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with History(database) as history:
        history.record(make_run())
    column = "ADD COLUMN prompt_path TEXT AS (json_extract(record, '$.prompt.path'))"
    added = Migration(NEXT, "the template's path", (f"ALTER TABLE runs {column}",))
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, added))
    with History(database, read_only=True) as reader:
        assert reader.get("last") == make_run()
        assert reader.stats().schema_version == NEXT
    with closing(sqlite3.connect(database)) as connection:
        paths = connection.execute("SELECT prompt_path FROM runs").fetchall()
    assert paths == [("prompts/summarize.prompty",)]


def test_a_migration_that_fails_half_way_leaves_nothing_behind(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.migrate(connection)
    broken = Migration(NEXT, "broken", ("CREATE TABLE half (a)", "CREATE TABLE half (a)"))
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, broken))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        schema.migrate(connection)
    assert tables_of(connection) == set(COLUMNS)
    assert schema.schema_version(connection) == NEXT - 1
    assert not connection.in_transaction


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: Path) -> None:
    with History(database) as history:
        history.record(make_run())
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("INSERT INTO migrations VALUES (?, 'later', '2030-01-01', '9')", (NEXT,))
    for opener in (History, History):
        with pytest.raises(HistoryError, match="newer localprompt") as caught:
            opener(database)
        assert caught.value.where == str(database)
        assert caught.value.found == f"schema version {NEXT}"
        assert "update localprompt" in str(caught.value.next_step)


def test_a_database_of_another_program_is_refused_and_left_alone(database: Path) -> None:
    database.parent.mkdir()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE recipes (name)")
    with pytest.raises(HistoryError, match="not a history of localprompt"):
        History(database)
    with closing(sqlite3.connect(database)) as connection:
        assert tables_of(connection) == {"recipes"}


def test_the_guide_lists_every_column(connection: sqlite3.Connection) -> None:
    schema.migrate(connection)
    documented = {
        heading: re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        for heading, section in re.findall(
            r"^### `(\w+)`\n(.*?)(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL
        )
    }
    assert documented == {table: columns_of(connection, table) for table in tables_of(connection)}


def test_the_queries_of_the_guide_run_on_a_real_history(database: Path) -> None:
    with History(database) as history:
        for number in range(3):
            history.record(make_run(number), Samples((0.1, 0.2)))
        history.begin(make_experiment())
        history.record(in_bench(make_run(3, kind="bench")), Samples((0.1, 0.2)))
    with History(database) as store:
        evaluation = make_evaluation()
        store.begin(evaluation)
        store.add(evaluation.id, [make_result(passed=False)])
    queries = re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL)
    assert len(queries) >= 4
    with closing(sqlite3.connect(database)) as connection:
        for query in queries:
            assert connection.execute(query).fetchall(), query
