"""What the history database holds, as numbered migrations.

A run is stored once: as the JSON object that ``--json`` prints, in ``runs.record``. The figures
that people sort and filter by are *generated columns* over that JSON. They look and behave like
ordinary columns, cannot disagree with the record, and a column added by a later migration has its
value for every old run at once.

A migration, once released, is never edited: a new one is appended. Each is applied in one
transaction of its own and leaves a row in ``migrations``. ``docs/guide/history.md`` describes the
result for people who bring their own tools; a test holds it to what is here.

Benches are *experiments*: a plan, stored before anything runs, and a row in ``results`` for each
repetition of each of its cells, or for what kept the cell from running.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from localprompt import __version__

if TYPE_CHECKING:
    import sqlite3


class Migration(NamedTuple):
    number: int
    """1, 2, 3, … without gaps."""
    name: str
    statements: tuple[str, ...]


class SchemaMismatchError(Exception):
    """The file is a database, but not one that this version may write to.

    ``version`` is the number of its last migration; None: it is no history of localprompt.
    """

    def __init__(self, version: int | None) -> None:
        super().__init__(f"schema version {version}")
        self.version = version


_MIGRATIONS_TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
  number INTEGER NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  applied_at TEXT NOT NULL,
  localprompt_version TEXT NOT NULL
)"""

# As the first run on it described the machine. The id is a digest of what matters to speed, so a
# later run under the same id may see a little less memory, or the next release of the system.
_MACHINES = """
CREATE TABLE machines (
  id TEXT NOT NULL PRIMARY KEY,
  cpu TEXT,
  physical_cores INTEGER,
  logical_cores INTEGER,
  usable_cores REAL,
  memory_bytes INTEGER,
  os TEXT NOT NULL
)"""

# Column, type, where its value stands in the record.
_RUN_COLUMNS = (
    ("kind", "TEXT NOT NULL", "$.kind"),
    ("created_at", "TEXT NOT NULL", "$.created_at"),
    ("localprompt_version", "TEXT NOT NULL", "$.localprompt_version"),
    ("model_name", "TEXT NOT NULL", "$.model.name"),
    ("model_sha256", "TEXT", "$.model.sha256"),
    ("model_quantization", "TEXT", "$.model.quantization"),
    ("prompt_name", "TEXT", "$.prompt.name"),
    ("prompt_sha256", "TEXT", "$.prompt.sha256"),
    ("rendered_sha256", "TEXT", "$.prompt.rendered_sha256"),
    ("n_ctx", "INTEGER", "$.settings.n_ctx"),
    ("n_batch", "INTEGER", "$.settings.n_batch"),
    ("n_ubatch", "INTEGER", "$.settings.n_ubatch"),
    ("n_threads", "INTEGER", "$.settings.n_threads"),
    ("n_threads_batch", "INTEGER", "$.settings.n_threads_batch"),
    ("type_k", "TEXT", "$.settings.type_k"),
    ("type_v", "TEXT", "$.settings.type_v"),
    ("temperature", "REAL", "$.sampling.temperature"),
    ("seed", "INTEGER", "$.sampling.seed"),
    ("prompt_tokens", "INTEGER", "$.tokens.prompt"),
    ("reused_tokens", "INTEGER", "$.tokens.reused"),
    ("completion_tokens", "INTEGER", "$.tokens.completion"),
    ("load_seconds", "REAL", "$.timing.load_seconds"),
    ("prefill_seconds", "REAL", "$.timing.prefill_seconds"),
    ("ttft_seconds", "REAL", "$.timing.ttft_seconds"),
    ("decode_seconds", "REAL", "$.timing.decode_seconds"),
    ("total_seconds", "REAL", "$.timing.total_seconds"),
    ("prefill_tokens_per_second", "REAL", "$.timing.prefill_tokens_per_second"),
    ("decode_tokens_per_second", "REAL", "$.timing.decode_tokens_per_second"),
    ("itl_p50_seconds", "REAL", "$.timing.itl_p50_seconds"),
    ("itl_p95_seconds", "REAL", "$.timing.itl_p95_seconds"),
    ("peak_rss_bytes", "INTEGER", "$.memory.peak_rss_bytes"),
    ("anonymous_bytes", "INTEGER", "$.memory.anonymous_bytes"),
    ("file_backed_bytes", "INTEGER", "$.memory.file_backed_bytes"),
    ("weights_bytes", "INTEGER", "$.memory.weights_bytes"),
    ("kv_cache_bytes", "INTEGER", "$.memory.kv_cache_bytes"),
    ("compute_bytes", "INTEGER", "$.memory.compute_bytes"),
    ("finish_reason", "TEXT NOT NULL", "$.output.finish_reason"),
    ("output_text", "TEXT NOT NULL", "$.output.text"),
    ("machine_id", "TEXT NOT NULL", "$.machine.id"),
    ("llama_cpp_build", "TEXT", "$.machine.llama_cpp_build"),
)

_RUNS = """
CREATE TABLE runs (
  id TEXT NOT NULL PRIMARY KEY,
  record TEXT NOT NULL CHECK (json_valid(record)),
  {columns},
  CHECK (id = json_extract(record, '$.id')),
  FOREIGN KEY (machine_id) REFERENCES machines (id)
)""".format(
    columns=",\n  ".join(
        f"{name} {declared} AS (json_extract(record, '{path}')) VIRTUAL"
        for name, declared, path in _RUN_COLUMNS
    )
)

# One row per series of raw times, named as its field in records.Samples; little-endian float64.
_SAMPLES = """
CREATE TABLE samples (
  run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  series TEXT NOT NULL,
  seconds BLOB NOT NULL,
  PRIMARY KEY (run_id, series)
) WITHOUT ROWID"""

_EXPERIMENTS = """
CREATE TABLE experiments (
  id TEXT NOT NULL PRIMARY KEY,
  record TEXT NOT NULL CHECK (json_valid(record)),
  kind TEXT NOT NULL AS (json_extract(record, '$.kind')) VIRTUAL,
  created_at TEXT NOT NULL AS (json_extract(record, '$.created_at')) VIRTUAL,
  title TEXT NOT NULL AS (json_extract(record, '$.title')) VIRTUAL,
  CHECK (id = json_extract(record, '$.id'))
)"""

# A repetition that ran, or a cell that could not: one of run_id and failure.
_RESULTS = """
CREATE TABLE results (
  experiment_id TEXT NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
  cell_key TEXT NOT NULL,
  phase TEXT,
  repetition INTEGER,
  run_id TEXT REFERENCES runs (id) ON DELETE CASCADE,
  failure TEXT,
  created_at TEXT NOT NULL,
  CHECK ((run_id IS NULL) <> (failure IS NULL)),
  UNIQUE (experiment_id, cell_key, phase, repetition)
)"""

_RESULT_COLUMNS = (
    ("case_id", "TEXT NOT NULL", "$.case_id"),
    ("answer_key", "TEXT", "$.answer_key"),
    ("passed", "INTEGER", "$.score.passed"),
    ("score", "REAL", "$.score.score"),
    ("answer", "TEXT NOT NULL", "$.answer"),
    ("error", "TEXT", "$.error"),
)

_EVAL_RESULTS = """
CREATE TABLE eval_results (
  experiment_id TEXT NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
  target INTEGER NOT NULL,
  case_index INTEGER NOT NULL,
  repetition INTEGER NOT NULL,
  record TEXT NOT NULL CHECK (json_valid(record)),
  {columns},
  PRIMARY KEY (experiment_id, target, case_index, repetition)
)""".format(
    columns=",\n  ".join(
        f"{name} {declared} AS (json_extract(record, '{path}')) VIRTUAL"
        for name, declared, path in _RESULT_COLUMNS
    )
)

_EVAL_USES = """
CREATE TABLE eval_model_uses (
  experiment_id TEXT NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
  record TEXT NOT NULL CHECK (json_valid(record))
)"""

_EVALUATIONS = (
    _EVAL_RESULTS,
    _EVAL_USES,
    "CREATE INDEX eval_results_by_answer ON eval_results (answer_key)",
    "CREATE INDEX eval_model_uses_by_experiment ON eval_model_uses (experiment_id)",
)


# What was said in a run: its messages and the answer; {row} is a table's name, NEW or OLD.
RUN_TEXT = (
    "(coalesce((SELECT group_concat(json_extract(value, '$.text'), char(10))"
    " FROM json_each({row}.record, '$.prompt.messages')), '')"
    " || char(10) || coalesce(json_extract({row}.record, '$.output.text'), ''))"
)
# The index keeps no text, only where which three letters occur, and has to be told the old text
# where it is to forget it. Rows of runs have no numbers that last (VACUUM gives new ones), so they
# get some. Runs that were recorded before are added when somebody searches.
_SEARCH = (
    """
CREATE VIRTUAL TABLE run_index USING fts5(text, content='', detail='none', tokenize='trigram')""",
    """
CREATE TABLE searched_runs (
  number INTEGER NOT NULL PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE REFERENCES runs (id) ON DELETE CASCADE
)""",
    """
CREATE TRIGGER run_is_searched AFTER INSERT ON runs BEGIN
  INSERT INTO searched_runs (run_id) VALUES (NEW.id);
  INSERT INTO run_index (rowid, text)
    SELECT number, {new} FROM searched_runs WHERE run_id = NEW.id;
END""".format(new=RUN_TEXT.format(row="NEW")),  # noqa: S608
    """
CREATE TRIGGER run_is_searched_again AFTER UPDATE OF record ON runs BEGIN
  INSERT INTO run_index (run_index, rowid, text)
    SELECT 'delete', number, {old} FROM searched_runs WHERE run_id = OLD.id;
  INSERT INTO run_index (rowid, text)
    SELECT number, {new} FROM searched_runs WHERE run_id = NEW.id;
END""".format(new=RUN_TEXT.format(row="NEW"), old=RUN_TEXT.format(row="OLD")),  # noqa: S608
    """
CREATE TRIGGER run_is_forgotten BEFORE DELETE ON runs BEGIN
  INSERT INTO run_index (run_index, rowid, text)
    SELECT 'delete', number, {old} FROM searched_runs WHERE run_id = OLD.id;
END""".format(old=RUN_TEXT.format(row="OLD")),  # noqa: S608
    """
CREATE TABLE tags (
  id TEXT NOT NULL,
  tag TEXT NOT NULL,
  PRIMARY KEY (id, tag)
) WITHOUT ROWID""",
    "CREATE INDEX tags_by_tag ON tags (tag, id)",
)


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        1,
        "runs, their machines and their raw samples",
        (
            _MACHINES,
            _RUNS,
            _SAMPLES,
            # With id, so that "the last twenty of this kind" are read off the index.
            "CREATE INDEX runs_by_kind ON runs (kind, id)",
            "CREATE INDEX runs_by_model ON runs (model_name, id)",
            "CREATE INDEX runs_by_prompt ON runs (prompt_name, id)",
            "CREATE INDEX runs_by_time ON runs (created_at)",
            "CREATE INDEX runs_by_machine ON runs (machine_id)",
        ),
    ),
    Migration(
        2,
        "experiments and their results",
        (
            _EXPERIMENTS,
            _RESULTS,
            "CREATE INDEX experiments_by_kind ON experiments (kind, id)",
            "CREATE INDEX results_by_run ON results (run_id)",
        ),
    ),
    Migration(3, "results of evaluations", _EVALUATIONS),
    Migration(4, "an index of what was said, and tags", _SEARCH),
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database up to this version; a current one costs a single small query.

    Safe when several processes do it at once: whoever comes second finds the work done.

    Args:
        connection: in autocommit mode (``isolation_level=None``), outside a transaction.

    Raises:
        SchemaMismatchError: a newer version wrote it, or it belongs to another program.
        sqlite3.Error: as the database has it; what was applied before stays, nothing by halves.
    """
    newest = MIGRATIONS[-1].number
    version = schema_version(connection)
    if version is None or version > newest:
        raise SchemaMismatchError(version)
    for migration in MIGRATIONS[version:]:
        _apply(connection, migration)


def schema_version(connection: sqlite3.Connection) -> int | None:
    """Number of the last migration: 0 for an empty database, None for another program's."""
    tables, ours = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE name = 'migrations') FROM sqlite_master"
    ).fetchone()
    if not ours:
        return None if tables else 0
    (version,) = connection.execute("SELECT max(number) FROM migrations").fetchone()
    return int(version or 0)


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    # The write lock comes first: only under it is what the next query says still true afterwards.
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_MIGRATIONS_TABLE)
        done = connection.execute(
            "SELECT 1 FROM migrations WHERE number = ?", (migration.number,)
        ).fetchone()
        if not done:
            for statement in migration.statements:
                connection.execute(statement)
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?, ?, ?)",
                (
                    migration.number,
                    migration.name,
                    datetime.now(UTC).isoformat(timespec="seconds"),
                    __version__,
                ),
            )
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself already (a full disk does that).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
