"""What the user calls a suite → the suite, read and checked.

A suite is a file (looked for where it is said to be, then among the benchmarks that come with the
package), or a prompt with cases beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from localprompt import doors, paths
from localprompt.errors import DatasetError, InputError
from localprompt.records.evaluation import EvalRequest
from localprompt.sources.prompt.search import load_named_prompt
from localprompt.sources.suite.prompty import suite_from_prompt
from localprompt.sources.suite.records import EvalCase, EvalSuite
from localprompt.sources.suite.suite import load_suite
from localprompt.sources.task.file import is_task
from localprompt.sources.task.suite import suite_from_task

SUITE_FILES = (".yaml", ".yml", ".json")


def open_suite(request: EvalRequest) -> EvalSuite:
    """Read the suite; a pass over all its cases is part of it.

    Raises:
        DatasetError: something is wrong with it, or there is no such file.
        UnknownNameError: no prompt has that name.
        PromptFileError: the prompt cannot be read.
        InputError: a file of cases was given beside a suite that has its own.
    """
    if not request.suite.lower().endswith(SUITE_FILES):
        return suite_from_prompt(
            load_named_prompt(request.suite),
            cases=Path(request.cases) if request.cases else None,
            choices=request.choices,
            allow_code=request.allow_code,
            skip_bad_rows=request.skip_bad_rows,
            lenient=request.lenient,
        )
    if request.cases:
        raise InputError(
            "a suite brings its own cases",
            where="--cases",
            expected="the name of a prompt, or a suite without --cases",
            found=request.suite,
        )
    path = _suite_file(request.suite)
    if path.suffix != ".json" and is_task(path):
        return _task(path, request)
    suite = load_suite(
        path,
        load_prompt=load_named_prompt,
        allow_code=request.allow_code,
        skip_bad_rows=request.skip_bad_rows,
        lenient=request.lenient,
        allow_outside=request.allow_outside,
        strict=request.strict,
    )
    if not request.choices:
        return suite
    prompts = (
        msgspec.structs.replace(
            prompt, template=msgspec.structs.replace(prompt.template, choices=request.choices)
        )
        for prompt in suite.prompts
    )
    return msgspec.structs.replace(suite, prompts=tuple(prompts))


def _task(path: Path, request: EvalRequest) -> EvalSuite:
    """
    Raises:
        InputError: the request says how choices are made, which is the task's to say.
        DatasetError: something is wrong with the task.
    """
    if request.choices or request.scoring != "raw":
        raise InputError(
            "a task says itself what its choices are and how they are weighed",
            where="--choices" if request.choices else "--scoring",
            expected="doc_to_choice and metric_list in the task",
            found=request.suite,
        )
    return suite_from_task(
        path,
        skip_bad_rows=request.skip_bad_rows,
        allow_outside=request.allow_outside,
        strict=request.strict,
    )


def typical_case(cases: Iterable[EvalCase]) -> EvalCase:
    """The one whose variables are of median length.

    Raises:
        ValueError: there is none.
    """
    ordered = sorted(cases, key=lambda case: sum(len(str(value)) for value in case.vars.values()))
    if not ordered:
        raise ValueError("no cases")
    return ordered[len(ordered) // 2]


def _suite_file(name: str) -> Path:
    path = Path(name)
    if doors.is_file(path):
        return path
    relative = path.relative_to("benchmarks") if path.parts[:1] == ("benchmarks",) else path
    for folder in paths.search_path("benchmarks"):
        if not path.is_absolute() and doors.is_file(folder / relative):
            return folder / relative
    raise DatasetError(
        "no such suite",
        where=name,
        expected="a promptfoo configuration file, a task of lm-eval, or a prompt's name",
    )
