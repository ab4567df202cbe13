"""An evaluation as csv, json, jsonl, Markdown and JUnit XML.

- csv: one row per result, the case's variables as columns ``var.NAME``; for spreadsheets. Where
  cases were repeated, each row also says how its case ended over all repetitions.
- jsonl: one :class:`~localprompt.records.evaluation.CaseResult` per line, as it is stored.
- json: ``{"evaluation": …, "targets": […], "uses": […], "pairs": […], "results": […]}``.
- md: what the terminal shows, as tables.
- junit: one test case per result, for CI systems; unscored results are skipped tests.

Results are written as they come. What a model answered is written by nobody who can be trusted:
in csv, texts that a spreadsheet would run as a formula are defused; in Markdown and XML,
everything that means something there is escaped, and what XML cannot hold becomes U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Literal, TextIO
from xml.sax.saxutils import escape, quoteattr

import msgspec

from localprompt.records import json
from localprompt.records.evaluation import CaseResult, EvalResult
from localprompt.views.eval import text_sections
from localprompt.views.eval_text import heading
from localprompt.views.files.rows import write_csv, write_jsonl
from localprompt.views.markdown import cell, markdown, table_rows
from localprompt.views.sections import Column

EvalFormat = Literal["csv", "json", "jsonl", "md", "junit"]
SUFFIXES: dict[str, EvalFormat] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".md": "md",
    ".xml": "junit",
}
OpenResults = Callable[[], Iterable[CaseResult]]
"""A new pass over all results."""

_COLUMNS = (
    "prompt",
    "model",
    "case_id",
    "case_index",
    "repetition",
    "description",
    "passed",
    "score",
    "reason",
    "answer",
    "expected",
    "error",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "cached",
    "batched_ttft_seconds",
    "batched_decode_seconds",
    "machine",
)
_REPEATED = ("case_pass_power", "case_consistency")
"""Whether all repetitions of the case passed (pass^k), and the share that ended as most did."""
_NOTHING = (None, None)
_FAILED = tuple(map(Column, ("prompt", "model", "case", "answer", "found")))
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_evaluation(
    result: EvalResult,
    open_results: OpenResults,
    format: EvalFormat,  # noqa: A002
    stream: TextIO,
) -> None:
    """Write the evaluation to ``stream``: UTF-8, opened with ``newline=""`` where it is a file."""
    writers = {
        "csv": _write_csv,
        "json": _write_json,
        "jsonl": _write_jsonl,
        "md": _write_markdown,
        "junit": _write_junit,
    }
    writers[format](result, open_results, stream)


def _write_jsonl(result: EvalResult, open_results: OpenResults, stream: TextIO) -> None:
    write_jsonl(open_results(), stream)


def _write_json(result: EvalResult, open_results: OpenResults, stream: TextIO) -> None:
    head = json.encode(result).decode()
    stream.write(f'{head[:-1]},"results":[')
    for number, case in enumerate(open_results()):
        stream.write(",\n" if number else "\n")
        stream.write(json.encode(case).decode())
    stream.write("\n]}\n")


def _write_csv(result: EvalResult, open_results: OpenResults, stream: TextIO) -> None:
    # A first pass for the columns: cases may have different variables.
    names = dict.fromkeys(name for case in open_results() for name in case.vars)
    repeated = _repeated(result)
    rows = (
        (
            *_row(result, case),
            *(repeated.get((case.target, case.case_id), _NOTHING) if repeated else ()),
            *(case.vars.get(name) for name in names),
        )
        for case in open_results()
    )
    columns = (*_COLUMNS, *(_REPEATED if repeated else ()), *(f"var.{name}" for name in names))
    write_csv(columns, rows, stream)


def _repeated(result: EvalResult) -> dict[tuple[int, str], tuple[Any, ...]]:
    """What its repetitions say of each case, by target and case; empty: nothing was repeated."""
    return {
        (index, case.case_id): (int(case.passed == case.scored), case.consistency)
        for index, summary in enumerate(result.targets)
        if summary.repeated is not None
        for case in summary.repeated.cases
    }


def _row(result: EvalResult, case: CaseResult) -> tuple[Any, ...]:
    target, timing = result.evaluation.targets[case.target], case.timing
    return (
        target.prompt,
        target.model.name,
        case.case_id,
        case.case_index,
        case.repetition,
        case.description,
        case.score.passed,
        case.score.score,
        case.score.reason,
        case.answer,
        case.expected,
        case.error,
        case.finish_reason,
        case.prompt_tokens,
        case.completion_tokens,
        case.cached,
        timing.ttft_seconds if timing else None,
        timing.decode_seconds if timing else None,
        case.machine,
    )


def _write_markdown(result: EvalResult, open_results: OpenResults, stream: TextIO) -> None:
    stream.write(f"## {cell(heading(result.evaluation))}\n\n")
    stream.write(markdown(text_sections(result), 3))
    failed = (
        (*_row(result, case)[:2], case.description or case.case_id, case.answer, case.score.reason)
        for case in open_results()
        if not case.score.passed
    )
    if (first := next(failed, None)) is not None:
        stream.write("\n### Not passed\n\n")
        stream.writelines(table_rows(_FAILED, chain((first,), failed)))


def _write_junit(result: EvalResult, open_results: OpenResults, stream: TextIO) -> None:
    evaluation = result.evaluation
    failed = sum(summary.passes.failed - summary.passes.errors for summary in result.targets)
    errors = sum(summary.passes.errors for summary in result.targets)
    skipped = sum(summary.passes.unscored for summary in result.targets)
    tests = sum(summary.done for summary in result.targets)
    stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    stream.write(
        f'<testsuites><testsuite name={_attribute(evaluation.title)} tests="{tests}" '
        f'failures="{failed}" errors="{errors}" skipped="{skipped}" '
        f"timestamp={_attribute(evaluation.created_at)}>\n"
    )
    for case in open_results():
        target = evaluation.targets[case.target]
        seconds = case.timing.total_seconds if case.timing else None
        again = f" #{case.repetition + 1}" if evaluation.repeat > 1 else ""
        name = f"{case.description or case.case_id}{again}"
        taken = "" if seconds is None else f' time="{seconds:.6f}"'
        stream.write(
            f"<testcase classname={_attribute(f'{target.prompt}, {target.model.name}')} "
            f"name={_attribute(name)}{taken}>{_outcome(case)}</testcase>\n"
        )
    stream.write("</testsuite></testsuites>\n")


def _outcome(case: CaseResult) -> str:
    """The element inside a ``testcase`` that says how it ended; nothing where it passed."""
    if case.score.passed:
        return ""
    reason = _attribute(case.score.reason)
    if case.error is not None:
        return f"<error message={reason}/>"
    if case.score.passed is None:
        return f"<skipped message={reason}/>"
    asked = msgspec.json.encode(msgspec.to_builtins(case.vars, str_keys=True)).decode()
    body = escape(_NOT_XML.sub("\ufffd", f"variables: {asked}\nanswer: {case.answer}"))
    return f"<failure message={reason}>{body}</failure>"


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", text))
