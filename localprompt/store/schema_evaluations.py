"""The tables of evaluations, as the migration that adds them has them.

The plan of an evaluation is a row of ``experiments``. Each result is a row here, its figures
generated columns over the stored JSON, as with runs. ``answer_key`` is what makes the history a
cache as well: a request with the same key has its answer here already.
"""

from __future__ import annotations

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

STATEMENTS = (
    _EVAL_RESULTS,
    _EVAL_USES,
    "CREATE INDEX eval_results_by_answer ON eval_results (answer_key)",
    "CREATE INDEX eval_model_uses_by_experiment ON eval_model_uses (experiment_id)",
)
