"""Tests into cases: variables filled in, expectations rendered, ids given.

One test with lists of texts among its variables, or with files that a pattern matches, becomes
one case for each combination, in the order in which promptfoo runs them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from localprompt import doors
from localprompt.errors import DatasetError, LocalPromptError, ScriptError
from localprompt.javascript.engine import call
from localprompt.records.score import AnyExpectation, Expectation, ExpectationSet, Script
from localprompt.scoring.bounded import CODE_SECONDS, run_bounded
from localprompt.scoring.expectations import CannotScoreError
from localprompt.scoring.script_checks import transformed_variables
from localprompt.sources.suite.assertions import names_any, render_expectation
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.records import EvalCase
from localprompt.sources.suite.scripts import file_script
from localprompt.sources.suite.test import Test
from localprompt.sources.suite.values import (
    FILE,
    checked_file,
    file_path,
    render,
    resolve_references,
    variable_from_file,
)
from localprompt.sources.yaml import At

MOST_COMBINATIONS = 100_000
"""Of lists among variables, all tests together; a file of rows may have any number of cases."""


class CaseMaker:
    """Turns tests into cases, one after the other, and gives them their ids."""

    def __init__(
        self,
        folder: SuiteFolder,
        env: Mapping[str, str],
        stored: Collection[str] = (),
        *,
        allow_code: bool = False,
        with_ids: bool = True,
    ) -> None:
        self.folder = folder
        self.env = env
        """What ``env.NAME`` stands for in templates."""
        self.stored = stored
        """Variables under which answers are kept for later cases; it may grow between cases."""
        self.allow_code = allow_code
        self.ran_code = False
        """Whether a variable was made by the suite's Python."""
        self.ids = CaseIds() if with_ids else None
        """None: cases are only looked at, and get no ids but those of their tests."""
        self.index = 0
        self._combinations = 0

    def cases(self, test: Test) -> Iterator[EvalCase]:
        """The cases of one test, in the order in which promptfoo runs them.

        Raises:
            DatasetError: a variable's file cannot be read, or a template cannot be rendered.
        """
        if test.literal:
            yield self._case(test, test.vars, test.id)
            self.index += 1
            return
        choices = [self._choices(name, value, test) for name, value in test.vars.items()]
        self._count_combinations(choices, test)
        combinations = itertools.product(*choices)
        several = any(len(choice) > 1 for choice in choices)
        for number, values in enumerate(combinations, start=1):
            chosen = dict(zip(test.vars, values, strict=True))
            variables = resolve_references(chosen, str(test.at))
            if test.transform_vars is not None:
                variables = self._transformed(test, test.transform_vars, variables)
            own = f"{test.id}-{number}" if test.id is not None and several else test.id
            yield self._case(test, variables, own)
            self.index += 1

    def _count_combinations(self, choices: list[list[Any]], test: Test) -> None:
        """
        Raises:
            DatasetError: the lists stand for more cases than anybody would run.
        """
        wanted = 1
        for choice in choices:
            wanted *= len(choice)
            if self._combinations + wanted > MOST_COMBINATIONS and wanted > 1:
                raise DatasetError(
                    "the lists among the variables expand to too many cases",
                    where=str(test.at / "vars"),
                    expected=f"at most {MOST_COMBINATIONS:,} combinations in all",
                    found=" × ".join(str(len(c)) for c in choices[:12]),
                )
        self._combinations += wanted if wanted > 1 else 0

    def _case(self, test: Test, variables: dict[str, Any], own_id: str | None) -> EvalCase:
        stored = [name for name in self.stored if name not in variables]
        late = tuple(e for e in test.expectations if stored and names_any(e, stored))
        try:
            return EvalCase(
                id=self._id(variables) if own_id is None else own_id,
                index=self.index,
                vars=variables,
                expectations=tuple(
                    render_expectation(_judged(e, test), variables, self.env)
                    for e in test.expectations
                    if e not in late
                ),
                late=tuple(_judged(e, test) for e in late),
                threshold=test.threshold,
                description=self._description(test, variables),
                metadata=test.metadata,
                prefix=test.prefix or "",
                suffix=test.suffix or "",
                transforms=() if test.transform is None else (test.transform,),
                options=test.options,
                output_schema=test.output_schema,
                as_json=test.as_json,
                store_as=test.store_as,
                talks=test.talks is not False,
                prompts=test.prompts,
                providers=test.providers,
                where=str(test.at),
            )
        except LocalPromptError as error:
            raise DatasetError(
                error.message, where=str(test.at), expected=error.expected, found=error.found
            ) from error

    def _id(self, variables: Mapping[str, Any]) -> str:
        return "" if self.ids is None else self.ids.next(variables, self.index)

    def _description(self, test: Test, variables: Mapping[str, Any]) -> str | None:
        return render(test.description, variables, self.env) if test.description else None

    def _transformed(self, test: Test, script: Script, variables: dict[str, Any]) -> dict[str, Any]:
        try:
            return transformed_variables(script, variables)
        except ScriptError as error:
            raise DatasetError(
                f"transformVars failed: {error.message}", where=str(test.at)
            ) from error

    def _choices(self, name: str, value: Any, test: Test) -> list[Any]:
        """What one variable may be: a list of texts stands for each of them."""
        if isinstance(value, str) and not value.startswith(FILE):
            return [_as_text(value)]  # most are
        at = test.at / "vars" / name
        if isinstance(value, list) and value and isinstance(value[0], str) and test.expand:
            return [choice for item in value for choice in self._loaded(item, at, test.vars)]
        return self._loaded(value, at, test.vars)

    def _loaded(self, value: Any, at: At, beside: Mapping[str, Any]) -> list[Any]:
        if isinstance(value, (dict, list)):
            return [self._nested(value, at)]
        if not isinstance(value, str):
            return [value]
        if not value.startswith(FILE):
            return [_as_text(value)]
        if SCRIPT.search(value):
            return [self._made(value, at, beside)]
        paths = self.folder.matching(value.removeprefix(FILE), str(at))
        checked = [checked_file(path, self.folder, at) for path in paths]
        paths = checked or [file_path(value, self.folder, at)]
        return [variable_from_file(path, self.folder) for path in paths]

    def _made(self, reference: str, at: At, beside: Mapping[str, Any]) -> Any:
        """The ``output`` of a variable's function, which is given the variable's name and the
        variables of its test as they are written."""
        name = at.path[-1]
        try:
            if reference.endswith(".py"):
                made = self._python(reference, [name, "", beside], at)
            else:
                script = file_script(reference, self.folder, at)
                given = [name, "", beside, {}]
                made = call(script.source, given, file=True, name=script.name).value
        except (ScriptError, CannotScoreError) as error:
            words = error.message if isinstance(error, ScriptError) else str(error)
            message = f"the value cannot be made: {words}"
            raise DatasetError(message, where=str(at)) from error
        if not isinstance(made, dict) or made.get("output") is None:
            message = str(made.get("error")) if isinstance(made, dict) else "no { output }"
            raise DatasetError(f"the value's function returned {message}", where=str(at))
        return made["output"]

    def _python(self, reference: str, given: list[Any], at: At) -> Any:
        path = self.folder / reference.removeprefix(FILE)
        if not self.allow_code:
            message = "the value is made by this suite's Python code, which has to be allowed"
            raise DatasetError(
                message, where=str(at), expected="--allow-code", found=reference.removeprefix(FILE)
            )
        if not doors.is_file(path):
            raise DatasetError("no such file", where=str(at), found=str(path))
        self.ran_code = True
        file = str(self.folder.allow(path, str(at)).absolute())
        return run_bounded("make", CODE_SECONDS, path=file, function="get_var", given=given)

    def _nested(self, value: Any, at: At) -> Any:
        """Lists and mappings with the files that they name inside."""
        if isinstance(value, dict):
            return {key: self._nested(item, at / str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._nested(item, at / index) for index, item in enumerate(value)]
        if isinstance(value, str) and value.startswith(FILE):
            return variable_from_file(file_path(value, self.folder, at), self.folder)
        return value


def _as_text(value: str) -> str:
    """One line end at the end is not part of a text, as promptfoo has it."""
    return value.removesuffix("\n")


def _judged(expected: AnyExpectation, test: Test) -> AnyExpectation:
    """The test's judge, and its prompt for judges, for those that name none."""
    if test.judge is None and test.rubric_prompt is None:
        return expected
    if isinstance(expected, ExpectationSet):
        members = tuple(m for m in (_judged(m, test) for m in expected.members))
        return msgspec.structs.replace(
            expected, members=tuple(m for m in members if isinstance(m, Expectation))
        )
    return msgspec.structs.replace(
        expected,
        judge=expected.judge or test.judge,
        rubric_prompt=expected.rubric_prompt or test.rubric_prompt,
    )


SCRIPT = re.compile(r"\.(?:py|[cm]?js(?::\w+)?)\Z")
_BITS = 23
_written = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode


class CaseIds:
    def __init__(self) -> None:
        self._seen = bytearray(1 << (_BITS - 3))

    def next(self, variables: Mapping[str, Any], index: int) -> str:
        """The id of the next case, unique and the same in every pass."""
        text = _written(variables)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        place = int(digest[-8:], 16) & ((1 << _BITS) - 1)
        byte, bit = place >> 3, 1 << (place & 7)
        known = self._seen[byte] & bit
        self._seen[byte] |= bit
        return f"{digest[:12]}-{index}" if known else digest[:12]
