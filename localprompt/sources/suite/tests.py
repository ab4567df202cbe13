"""Tests of a suite: inline, or in csv, jsonl, json and yaml files.

    tests, scenarios ─▶ Test ─▶ over defaultTest ─▶ cases (:mod:`localprompt.sources.suite.cases`)

Row files (csv, jsonl) are read anew on every pass and never held, so a suite may have more cases
than memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from localprompt import doors
from localprompt.errors import DatasetError, InputError, LocalPromptError, ScriptError
from localprompt.javascript.engine import call
from localprompt.records.cell import SamplingChoices, sampling_for
from localprompt.records.score import Script
from localprompt.scoring.bounded import CODE_SECONDS, run_bounded
from localprompt.scoring.expectations import CannotScoreError
from localprompt.sources.documents import read_document
from localprompt.sources.rows import read_rows
from localprompt.sources.suite.assertions import AssertionReader, is_number, judge_name
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.models import (
    OPTIONS,
    OURS,
    is_json_schema,
    options_from,
    schema_from,
)
from localprompt.sources.suite.problems import Keys, Problems, text_of
from localprompt.sources.suite.script_modules import no_typescript
from localprompt.sources.suite.scripts import file_script
from localprompt.sources.suite.test import Outcome, Test
from localprompt.sources.suite.tests_table import remarks, split_columns
from localprompt.sources.suite.values import FILE
from localprompt.sources.yaml import At

_FORMATS = "csv, jsonl, json or yaml"
_CODE = re.compile(r"\.(py|[cm]?js|ts)(?::[\w.]+)?\Z")
_TABLES = frozenset({".csv", ".jsonl", ".json", ".yaml", ".yml"})
TEST_KEYS = Keys(
    frozenset(
        {"id", "description", "vars", "assert", "threshold", "metadata", "options"}
        | {"prompts", "providers", "provider"}
    ),
    refused={
        "assertScoringFunction": "a score is the weighted mean of its assertions",
        "providerOutput": "answers come from a model that runs here",
    },
    hint="a variable stands under vars: {vars: {name: value}}",
)
OPTION_KEYS = Keys(
    frozenset(
        {"prefix", "suffix", "provider", "disableVarExpansion", "disableDefaultAsserts"}
        | {"transform", "postprocess", "transformVars", "storeOutputAs", "disableConversationVar"}
        | {"runSerially", "rubricPrompt", *OPTIONS, "response_format"}
    ),
)


class TestReader:
    """Reads tests; what is wrong inside one goes to the problems of its assertions' reader."""

    __test__ = False

    def __init__(
        self,
        folder: SuiteFolder,
        assertions: AssertionReader,
        providers: frozenset[str] = frozenset(),
    ) -> None:
        self.folder = folder
        self.assertions = assertions
        self.providers = providers
        """Labels and ids of the suite's."""

    @property
    def problems(self) -> Problems:
        return self.assertions.problems

    def read(self, value: Any, at: At) -> Test:
        """A test written as a mapping."""
        if not isinstance(value, dict):
            self.problems.add(at, "not a test", "a mapping", repr(value))
            return Test(at=at)
        for note in TEST_KEYS.check(value, at, self.problems):
            self.assertions.note(note)
        options = self._mapping(value, "options", at)
        for note in OPTION_KEYS.check(options, at / "options", self.problems):
            self.assertions.note(note)
        return Test(
            vars=self._variables(value.get("vars"), at / "vars"),
            expectations=self.assertions.read_list(value.get("assert"), at / "assert"),
            threshold=self._threshold(value, at),
            description=self._text(value, "description", at),
            metadata=self._mapping(value, "metadata", at),
            prefix=self._text(options, "prefix", at / "options"),
            suffix=self._text(options, "suffix", at / "options"),
            transform=self._script(options, ("transform", "postprocess"), at / "options"),
            transform_vars=self._script(options, ("transformVars",), at / "options", "vars"),
            options=self._sampling(options, at / "options"),
            output_schema=schema_from(options),
            as_json=is_json_schema(options),
            store_as=self._text(options, "storeOutputAs", at / "options"),
            talks=False if options.get("disableConversationVar") else None,
            judge=self._judge(options),
            rubric_prompt=self.assertions.rubric_prompt(options, at / "options"),
            id=None if value.get("id") is None else str(value["id"]),
            prompts=self._names(value, "prompts", at),
            providers=self._names(value, "providers", at) or self._provider(value, at),
            expand=not options.get("disableVarExpansion"),
            default_assertions=not options.get("disableDefaultAsserts"),
            at=at,
        )

    def read_row(self, values: Mapping[str, Any], at: At) -> Test:
        """A test written as a row of a table.

        Raises:
            DatasetError: a special column is not known or holds no number.
        """
        variables, fields = split_columns(values)
        found = [
            self.assertions.read_shorthand(
                text, at / column, fields.get("metric"), fields["thresholds"].get(number)
            )
            for number, (column, text) in enumerate(fields["expected"])
        ]
        return Test(
            vars=variables,
            expectations=tuple(e for e in found if e is not None),
            threshold=fields.get("threshold"),
            description=fields.get("description"),
            metadata=fields["metadata"],
            prefix=fields.get("prefix"),
            suffix=fields.get("suffix"),
            id=fields.get("id"),
            at=at,
        )

    def read_all(self, value: Any, at: At) -> Iterator[Outcome]:
        """The value of ``tests``: a list, or what names files of tests."""
        items = value if isinstance(value, list) else [value]
        for index, item in enumerate(items):
            here = at / index if isinstance(value, list) else at
            if isinstance(item, str):
                for path in self.files(item, here):
                    yield from self.read_file(path)
                yield from self._made(item, here)
            elif (
                isinstance(item, dict) and isinstance(item.get("path"), str) and "vars" not in item
            ):
                for path in self.files(item["path"], here):
                    yield from self.read_file(path)
                yield from self._made(item["path"], here, item.get("config"))
            else:
                yield self.read(item, here)

    def read_file(self, path: Path) -> Iterator[Outcome]:
        """The tests of one file, row files streamed."""
        with self.assertions.trail.into(str(path), str(path), self.problems) as new:
            if new:
                yield from self._tests_of(path)

    def _tests_of(self, path: Path) -> Iterator[Outcome]:
        shown = str(path)
        try:
            if path.suffix in {".csv", ".jsonl"}:
                read, first = self._row if path.suffix == ".csv" else self.read, True
                for line, row in read_rows(path):
                    at = At(shown, first_line=line)
                    if first and path.suffix == ".csv" and isinstance(row, dict):
                        first = self._remark(row, shown)
                    yield read(row, at) if isinstance(row, dict) else not_a_row(row, at)
            elif path.suffix in {".json", ".yaml", ".yml"}:
                document = read_document(path, allow=self.folder.allow)
                yield from self.read_all(document.data or [], document.at)
            else:
                self.problems.add(
                    shown, f"tests cannot be read from {path.suffix or 'such'} files", _FORMATS
                )
        except DatasetError as error:
            self.problems.add_error(error, shown)

    def _remark(self, columns: Iterable[str], file: str) -> bool:
        """Tells what is doubtful about a table's columns; False: that is done."""
        for column, words in remarks(columns):
            if self.problems.strict and column.startswith("__"):
                self.problems.add(file, words, "a column without __")
            else:
                self.assertions.note(f"{file}: {words}")
        return False

    def files(self, reference: str, at: At) -> Iterable[Path]:
        """The files that a text names, which may be a pattern."""
        name = reference.removeprefix(FILE)
        if "://" in name:
            message = "the tests are on the network, and nothing is fetched from there"
            self.problems.add(at, message, f"a file beside the suite: {_FORMATS}", reference)
            return []
        if _CODE.search(name):
            return []
        if doors.is_folder(self.folder / name):
            paths = self.folder.inside(name, str(at), _TABLES)
        else:
            paths = self.folder.matching(name, str(at))
        if not paths:
            self.problems.add(at, "no such file", found=str(self.folder / name))
        return paths

    def _files_beside(self, reference: str, at: At) -> Iterable[Path]:
        """Files of variables, named from where the test stands or from the suite's folder."""
        name = reference.removeprefix(FILE)
        beside = self.folder.beside(Path(at.file))
        return beside.matching(name, str(at)) or self.files(reference, at)

    def _made(self, reference: str, at: At, config: Any = None) -> Iterator[Outcome]:
        """The tests that a function makes: JavaScript, or Python where that is allowed."""
        found = _CODE.search(reference)
        if found is None:
            return
        name = reference.removeprefix(FILE)
        given = [] if config is None else [config]
        try:
            if found[1] == "py":
                tests = self._python(name, given, at)
            elif found[1] == "ts":
                raise no_typescript(self.folder / name, str(at))
            else:
                script = file_script(name, self.folder, at)
                tests = call(script.source, given, file=True, name=script.name).value
        except (DatasetError, ScriptError, CannotScoreError) as error:
            message = error.message if isinstance(error, LocalPromptError) else str(error)
            self.problems.add(at, f"the tests cannot be made: {message}", found=name)
            return
        if not isinstance(tests, list):
            self.problems.add(at, "the function returned no list of tests", found=repr(tests)[:60])
            return
        with self.assertions.trail.into(name, at, self.problems) as new:
            if new:
                yield from self.read_all(tests, at)

    def _python(self, name: str, given: list[Any], at: At) -> Any:
        path, _, function = name.partition(".py:")
        file = self.folder / (f"{path}.py" if function else path)
        if not doors.is_file(file):
            raise DatasetError("no such file", found=str(file))
        if not self.assertions.allow_code:
            raise DatasetError(
                "they are made by this suite's Python code, which needs --allow-code"
            )
        self.assertions.needs.add("code")
        return run_bounded(
            "make",
            CODE_SECONDS,
            path=str(self.folder.allow(file, str(at)).absolute()),
            function=function or "generate_tests",
            given=given,
        )

    def _row(self, values: Mapping[str, Any], at: At) -> Outcome:
        try:
            return self.read_row(values, at)
        except DatasetError as error:
            return DatasetError(
                error.message, where=str(at), expected=error.expected, found=error.found
            )

    def _variables(self, value: Any, at: At) -> dict[str, Any]:
        """``vars``: a mapping, or the names of YAML or JSON files with one."""
        if value is None:
            return {}
        if isinstance(value, dict):
            return {str(key): item for key, item in value.items()}
        merged: dict[str, Any] = {}
        for name in value if isinstance(value, list) else [value]:
            for path in self._files_beside(name, at) if isinstance(name, str) else ():
                try:
                    data = read_document(path, allow=self.folder.allow).data
                except DatasetError as error:
                    self.problems.add_error(error, at)
                    continue
                if isinstance(data, dict):
                    merged.update(data)
                else:
                    self.problems.add(str(path), "no variables", "a mapping")
            if not isinstance(name, str):
                self.problems.add(at, "not variables", "a mapping or a file's name", repr(name))
        return merged

    def _script(
        self, options: Mapping[str, Any], keys: tuple[str, ...], at: At, first: str = "output"
    ) -> Script | None:
        """The first of the keys that is there, as a script."""
        for key in keys:
            if options.get(key) is not None:
                try:
                    return self.assertions.transform_script(options[key], at / key, first)
                except DatasetError as error:
                    self.problems.add_error(error, at / key)
                    return None
        return None

    def _sampling(self, options: Mapping[str, Any], at: At) -> dict[str, Any]:
        """Temperature and the like, for this test alone."""
        known = {key: value for key, value in options.items() if key in OPTIONS}
        found = options_from(known, at, {})
        try:
            sampling_for(SamplingChoices(), found)
        except (InputError, TypeError, ValueError) as error:
            what = error.message if isinstance(error, InputError) else str(error)
            self.problems.add(at, f"not an option of a model: {what}", found=repr(known))
            return {}
        return found

    def _provider(self, value: Mapping[str, Any], at: At) -> tuple[str, ...] | None:
        """A test's own ``provider``, where it is one of the suite's."""
        if value.get("provider") is None:
            return None
        name = judge_name(value["provider"])
        if name is not None and name.removeprefix(OURS) in self.providers:
            return (name.removeprefix(OURS),)
        self.assertions.note(
            f"{at / 'provider'}: ignored: it is not one of the suite's providers, and every case"
            " runs on each of those"
        )
        return None

    def _judge(self, options: Mapping[str, Any]) -> str | None:
        judge = judge_name(options.get("provider"))
        if judge is not None:
            self.assertions.judges.add(judge)
        return judge

    def _mapping(self, value: Mapping[str, Any], key: str, at: At) -> dict[str, Any]:
        item = value.get(key)
        if item is None or isinstance(item, dict):
            return item or {}
        self.problems.add(at / key, f"{key} is not a mapping", "a mapping", repr(item))
        return {}

    def _text(self, value: Mapping[str, Any], key: str, at: At) -> str | None:
        return text_of(value, key, at, self.problems)

    def _threshold(self, value: Mapping[str, Any], at: At) -> float | None:
        item = value.get("threshold")
        if item is None or is_number(item):
            return item
        self.problems.add(at / "threshold", "threshold is not a number", "0 to 1", repr(item))
        return None

    def _names(self, value: Mapping[str, Any], key: str, at: At) -> tuple[str, ...] | None:
        item = value.get(key)
        if item is None:
            return None
        if isinstance(item, list) and all(isinstance(name, str) for name in item):
            return tuple(item)
        self.problems.add(at / key, f"{key} is not a list of names", "a list of texts", repr(item))
        return None


def not_a_row(row: Any, at: At) -> DatasetError:
    """What is wrong with a row that is not a mapping."""
    if isinstance(row, DatasetError):
        return row
    found = type(row).__name__
    return DatasetError("the row is not an object", where=str(at), expected="{…}", found=found)
