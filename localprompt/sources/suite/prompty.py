"""A prompt file with cases beside it, as a suite of its own.

Each row of the cases file (csv, jsonl, json or yaml) holds the prompt's inputs and what is
expected of the answer:

- ``expected``: the answer itself; one of the prompt's choices, where it has any; an object or a
  list is compared as JSON. In csv, text in promptfoo's shorthand goes into ``__expected``.
- ``assert``: a list of assertions, as in a suite.
- ``id``, ``description``, ``threshold``, ``metadata``, as in a suite's tests.

A name among these that the prompt declares as an input is an input. A row with ``vars`` is a test
as suites have it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from localprompt import doors
from localprompt.errors import DatasetError, InputError
from localprompt.records.prompt import PromptTemplate
from localprompt.records.score import Expectation
from localprompt.sources.prompt.params import typed_values
from localprompt.sources.rows import read_rows
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.problems import Problems, by_kind, nearest
from localprompt.sources.suite.records import EvalSuite, SuitePrompt
from localprompt.sources.suite.stream import CaseStream
from localprompt.sources.suite.suite import missing_variables, needed_variables, no_objections
from localprompt.sources.suite.test import Outcome
from localprompt.sources.suite.tests import TestReader, not_a_row
from localprompt.sources.yaml import At, word

_FIELDS = frozenset({"expected", "assert", "id", "description", "threshold", "metadata"})


def suite_from_prompt(
    template: PromptTemplate,
    *,
    cases: Path | None = None,
    choices: tuple[str, ...] = (),
    allow_code: bool = False,
    skip_bad_rows: bool = False,
    lenient: bool = False,
) -> EvalSuite:
    """The suite of one prompt and its cases.

    Args:
        cases: the file of cases; the prompt's own by default.
        choices: the closed set of answers; the prompt's own by default.
        allow_code, skip_bad_rows, lenient: as for
            :func:`localprompt.sources.suite.suite.load_suite`.

    Raises:
        DatasetError: the prompt has no cases, or something is wrong with them.
    """
    path = cases or (Path(template.cases) if template.cases else None)
    if path is None:
        raise DatasetError(
            f"the prompt {template.name!r} has no cases",
            where=template.path,
            expected="metadata.localprompt.cases in its front matter",
            next_step=f"localprompt eval {shlex.quote(template.name)} --cases FILE",
        )
    if not doors.is_file(path):
        raise DatasetError("no such file of cases", where=str(path))
    if choices:
        template = msgspec.structs.replace(template, choices=choices)
    rows = _PromptRows(path, template)
    stream = CaseStream(
        SuiteFolder(path.parent, allow_outside=True),
        rows.tests,
        {},
        allow_code=allow_code,
        skip_bad_rows=skip_bad_rows,
    )
    problems = Problems()
    prompt = SuitePrompt(template.name, template, template.path or template.name)
    objections = no_objections if lenient else missing_variables((prompt,), problems)
    counts, assertions = stream.check(problems, objections)
    problems.raise_if_any()
    return EvalSuite(
        name=template.name,
        path=str(path),
        description=template.description,
        prompts=(prompt,),
        providers=(),
        open_cases=stream,
        counts=counts,
        needs=frozenset(assertions.needs),
        judges=tuple(sorted(assertions.judges)),
        notes=by_kind(assertions.notes),
    )


class _PromptRows:
    """Reads rows of cases into tests of one prompt."""

    def __init__(self, path: Path, template: PromptTemplate) -> None:
        self.path = path
        self.template = template
        self.choices = template.choices
        declared = {spec.name for spec in template.inputs}
        self.inputs = declared or set(needed_variables(template))
        self.fields = _FIELDS - self.inputs

    def tests(self, reader: TestReader) -> Iterator[Outcome]:
        shown = str(self.path)
        try:
            for line, row in read_rows(self.path):
                at = At(shown, first_line=line)
                if not isinstance(row, dict):
                    yield not_a_row(row, at)
                elif isinstance(row.get("vars"), dict) and "vars" not in self.inputs:
                    yield reader.read(row, at)
                else:
                    named = {str(name): value for name, value in row.items()}
                    yield self._test(named, at, reader)
        except DatasetError as error:
            reader.problems.add_error(error, shown)

    def _test(self, values: Mapping[str, Any], at: At, reader: TestReader) -> Outcome:
        special = {key: values[key] for key in self.fields & values.keys()}
        columns = {key: value for key, value in values.items() if key not in special}
        unknown = [name for name in columns if not name.startswith("__")]
        unknown = [name for name in unknown if name not in self.inputs]
        if unknown and self.inputs:
            expected = nearest(unknown[0], self.inputs | self.fields)
            return DatasetError(
                f"{unknown[0]!r} is not an input of the prompt", where=str(at), expected=expected
            )
        try:
            row = reader.read_row(typed_values(columns, self.template), at)
            own = self._expected(special.pop("expected", None), at)
        except InputError as error:
            return DatasetError(
                error.message, where=str(at), expected=error.expected, found=error.found
            )
        threshold = special.get("threshold")
        if isinstance(threshold, str) and _is_number(threshold):  # a cell of csv
            special["threshold"] = float(threshold)
        test = reader.read({key: item for key, item in special.items() if item != ""}, at)
        joined = test.over(row)
        return msgspec.structs.replace(
            joined, id=test.id or row.id, expectations=(*own, *joined.expectations), literal=True
        )

    def _expected(self, value: Any, at: At) -> tuple[Expectation, ...]:
        if value is None or value == "":
            return ()
        if self.choices:
            value = word(value)
        if self.choices and value not in self.choices:
            raise DatasetError(
                "the expected answer is not one of the choices",
                expected=f"one of: {', '.join(self.choices)}",
                found=repr(value),
            )
        return (Expectation(type="equals", value=_literal(value), where=str(at / "expected")),)


def _literal(value: Any) -> Any:
    """Text that looks like a template, as a template that renders to it."""
    if isinstance(value, str) and ("{{" in value or "{%" in value):
        return f"{{{{ {json.dumps(value, ensure_ascii=False)} }}}}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
