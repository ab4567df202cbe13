"""An evaluation suite: promptfoo's configuration file, read, checked and frozen.

    promptfooconfig.yaml ─▶ prompts, providers, defaultTest, tests, scenarios ─▶ EvalSuite

Everything that is wrong is told at once, with file, line and key; so is everything that would
change the outcome and is not supported (code that needs Node, remote graders). Keys that only
concern how promptfoo runs or shows things are ignored with a note; so are unknown ones, as in
promptfoo, unless the user asked to be strict.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from localprompt import doors
from localprompt.errors import DatasetError, PromptFileError, ScriptError
from localprompt.javascript.engine import Template, analyse
from localprompt.records.prompt import PromptTemplate
from localprompt.rendering.failures import Place
from localprompt.rendering.segments import undeclared_variables
from localprompt.sources.documents import read_document
from localprompt.sources.suite.folder import SuiteFolder, check_outputs
from localprompt.sources.suite.models import read_providers
from localprompt.sources.suite.problems import Keys, Problems, by_kind
from localprompt.sources.suite.prompts import LoadPrompt, PromptReader
from localprompt.sources.suite.records import EvalCase, EvalSuite, SuitePrompt, SuiteProvider
from localprompt.sources.suite.scripts import as_expression, file_script
from localprompt.sources.suite.stream import CaseStream
from localprompt.sources.suite.test import Outcome, Test
from localprompt.sources.suite.tests import TestReader
from localprompt.sources.suite.values import FILE
from localprompt.sources.yaml import At, Document

_SHOW = "it concerns how promptfoo shows or shares results"
_RUN = "it concerns how promptfoo runs; localprompt fits its work to this machine"
_CODE = "'extensions' is not supported: it runs code around the evaluation"
_KEYS = Keys(
    frozenset(
        {"description", "prompts", "providers", "targets", "tests", "defaultTest", "scenarios"}
        | {
            "outputPath",
            "evaluateOptions",
            "assertionTemplates",
            "env",
            "$schema",
            "nunjucksFilters",
            "extensions",
        }
    ),
    ignored={
        "tags": _SHOW,
        "metadata": _SHOW,
        "sharing": _SHOW,
        "author": _SHOW,
        "writeLatestResults": _SHOW,
        "commandLineOptions": "options are given to localprompt itself",
        "tracing": _RUN,
        "derivedMetrics": "they only sum metrics up",
        "redteam": "it makes further tests with a remote service",
    },
)
_OPTION_KEYS = Keys(
    frozenset({"repeat"}),
    ignored=dict.fromkeys(
        ("maxConcurrency", "delay", "cache", "timeoutMs", "maxEvalTimeMs", "showProgressBar"), _RUN
    ),
    refused={"generateSuggestions": "it writes prompts with a remote service"},
)
_SCENARIO_KEYS = Keys(frozenset({"description", "config", "tests"}))
_TURNS = "_conversation"
"""The variable that holds the turns before."""


def load_suite(
    path: Path,
    *,
    load_prompt: LoadPrompt | None = None,
    allow_code: bool = False,
    skip_bad_rows: bool = False,
    lenient: bool = False,
    strict: bool = False,
    allow_outside: bool = False,
    env: Mapping[str, str] | None = None,
) -> EvalSuite:
    """Read and check a suite; a pass over all its cases is part of it.

    Args:
        path: of the YAML or JSON file; ``file://`` in it is relative to its folder.
        load_prompt: reads a ``.prompty`` prompt by name or path.
        allow_code: whether ``python`` assertions may run; otherwise they are refused.
        skip_bad_rows: whether malformed rows are passed over and counted.
        lenient: whether cases may lack variables that a prompt uses.
        strict: whether keys that are not known are errors.
        allow_outside: whether files outside its folder may be read, and written outside the
            working folder.
        env: what ``{{ env.NAME }}`` stands for; the process's environment by default. The
            suite's own ``env`` goes before it.

    Raises:
        DatasetError: all that is wrong with the suite.
    """
    folder = SuiteFolder(path.parent, allow_outside=allow_outside)
    document = read_document(path, allow=folder.allow)
    problems = Problems(strict=strict)
    notes = _checked_keys(document, path, problems)
    environment = {**(os.environ if env is None else env), **_own_env(document, problems)}
    prompts = _prompts(
        document, folder, problems, notes, environment, load_prompt, allow_code=allow_code
    )
    providers = _providers(document, folder, problems, notes, allow_code=allow_code)
    stores: set[str] = set()
    stream = CaseStream(
        folder,
        lambda reader: _tests(document, reader),
        environment,
        allow_code=allow_code,
        skip_bad_rows=skip_bad_rows,
        strict=strict,
        stored=stores,
        providers=frozenset(name for one in providers for name in (one.id, one.label)),
    )
    objections = no_objections if lenient else missing_variables(prompts, problems, stores)
    counts, assertions = stream.check(problems, _watching(objections, stores))
    repeat = _repeat(document, problems, notes)
    outputs = _outputs(document, folder, problems)
    problems.raise_if_any()
    return EvalSuite(
        name=path.stem,
        path=str(path),
        description=document.data.get("description"),
        prompts=prompts,
        providers=providers,
        open_cases=stream,
        counts=counts,
        repeat=repeat,
        outputs=outputs,
        reads=tuple(map(str, folder.read)),
        in_turn=bool(stores) or any(_TURNS in prompt.template.body for prompt in prompts),
        needs=frozenset(assertions.needs) | _code(prompts, providers),
        judges=tuple(sorted(assertions.judges)),
        notes=by_kind((*notes, *assertions.notes)),
    )


def _checked_keys(document: Document, path: Path, problems: Problems) -> dict[str, None]:
    """Notes on keys that are passed over.

    Raises:
        DatasetError: it is not a suite.
    """
    if not isinstance(document.data, dict):
        raise DatasetError(
            "not a suite", where=str(path), expected="a mapping with prompts and tests"
        )
    notes = dict.fromkeys(_KEYS.check(document.data, document.at, problems))
    _check_extensions(document, problems, notes)
    return notes


def _check_extensions(document: Document, problems: Problems, notes: dict[str, None]) -> None:
    """Code that promptfoo calls when all is done changes no result; other code may."""
    value, at = document.data.get("extensions") or [], document.at / "extensions"
    names = value if isinstance(value, list) else [value]
    if not names:
        return
    if all(isinstance(name, str) and name.endswith(":afterAll") for name in names):
        notes[f"{at}: 'extensions' is ignored: it runs when the results are there"] = None
    else:
        problems.add(at, _CODE, found=repr(names[0]))


def _prompts(
    document: Document,
    folder: SuiteFolder,
    problems: Problems,
    notes: dict[str, None],
    environment: Mapping[str, str],
    load_prompt: LoadPrompt | None,
    *,
    allow_code: bool,
) -> tuple[SuitePrompt, ...]:
    reader = PromptReader(
        folder,
        problems,
        load_prompt=load_prompt,
        env=environment,
        notes=notes,
        filters=_filters(document, folder, problems),
        allow_code=allow_code,
    )
    return reader.read(_listed(document.data.get("prompts"), folder), document.at / "prompts")


def _listed(value: Any, folder: SuiteFolder) -> Any:
    """``prompts: file://prompts.yaml``: what stands there, where that is a list of prompts."""
    if not (isinstance(value, str) and value.startswith(FILE)):
        return value
    path = folder / value.removeprefix(FILE)
    if path.suffix not in {".yaml", ".yml"} or not doors.is_file(path):
        return value
    data = read_document(folder.allow(path, value), allow=folder.allow).data
    chat = isinstance(data, list) and any(isinstance(m, dict) and "role" in m for m in data)
    return data if isinstance(data, list) and not chat else value


def _providers(
    document: Document,
    folder: SuiteFolder,
    problems: Problems,
    notes: dict[str, None],
    *,
    allow_code: bool,
) -> tuple[SuiteProvider, ...]:
    """The models, and an objection to a suite whose tests a service would have to make."""
    config, at = document.data, document.at
    if "redteam" in config and not {"tests", "scenarios"} & config.keys():
        problems.add(at / "redteam", "the suite has no tests: they are made by a remote service")
    key = "targets" if "targets" in config else "providers"
    return read_providers(config.get(key), at / key, folder, problems, notes, allow_code=allow_code)


def _filters(document: Document, folder: SuiteFolder, problems: Problems) -> dict[str, str]:
    """``nunjucksFilters``: name → JavaScript that returns the function."""
    value, at = document.data.get("nunjucksFilters") or {}, document.at / "nunjucksFilters"
    if not isinstance(value, dict):
        problems.add(at, "not filters", "name: file.js", repr(value))
        return {}
    filters = {}
    for name, reference in value.items():
        try:
            script = file_script(str(reference), folder, at / str(name))
        except DatasetError as error:
            problems.add_error(error, at / str(name))
        else:
            filters[str(name)] = as_expression(script)
    return filters


def _code(prompts: tuple[SuitePrompt, ...], providers: tuple[SuiteProvider, ...]) -> frozenset[str]:
    """``code``, where Python makes a prompt or transforms what a model says."""
    made = any(prompt.template.language == "python" for prompt in prompts) or any(
        provider.transform is not None and provider.transform.python for provider in providers
    )
    return frozenset({"code"} if made else ())


def _watching(
    objections: Callable[[EvalCase, Problems], None], stores: set[str]
) -> Callable[[EvalCase, Problems], None]:
    """The objections, with the names noted under which answers are kept for later cases."""

    def watched(case: EvalCase, problems: Problems) -> None:
        objections(case, problems)
        if case.store_as is not None:
            stores.add(case.store_as)

    return watched


def _tests(document: Document, reader: TestReader) -> Iterator[Outcome]:
    """All tests of the suite, defaults applied."""
    config, at = document.data, document.at
    default = _default(config.get("defaultTest"), at / "defaultTest", reader)
    tests, scenarios = config.get("tests"), config.get("scenarios")
    if tests is None and scenarios is None:
        yield default
        return
    if tests is not None:
        for outcome in reader.read_all(tests, at / "tests"):
            yield outcome.over(default) if isinstance(outcome, Test) else outcome
    for scenario, here in _scenarios(scenarios, at / "scenarios", reader):
        for note in _SCENARIO_KEYS.check(scenario, here, reader.problems):
            reader.assertions.note(note)
        for data in reader.read_all(scenario.get("config") or [{}], here / "config"):
            if isinstance(data, DatasetError):
                yield data
                continue
            shared = data.over(default)
            for outcome in reader.read_all(scenario.get("tests") or [{}], here / "tests"):
                yield outcome.over(shared) if isinstance(outcome, Test) else outcome


def _default(value: Any, at: At, reader: TestReader) -> Test:
    if value is None:
        return Test(at=at)
    if isinstance(value, str):
        paths = list(reader.files(value, at))
        if not paths:
            return Test(at=at)
        document = read_document(paths[0], allow=reader.folder.allow)
        return reader.read(document.data, document.at)
    return reader.read(value, at)


def _scenarios(value: Any, at: At, reader: TestReader) -> Iterator[tuple[dict[str, Any], At]]:
    """The scenarios, those of files included."""
    for index, item in enumerate(value if isinstance(value, list) else [value] if value else []):
        here = at / index
        if isinstance(item, str) and item.startswith(FILE):
            for path in reader.files(item, here):
                with reader.assertions.trail.into(str(path), here, reader.problems) as new:
                    if new:
                        document = read_document(path, allow=reader.folder.allow)
                        yield from _scenarios(document.data, document.at, reader)
        elif isinstance(item, dict):
            yield item, here
        else:
            reader.problems.add(here, "not a scenario", "config and tests", repr(item))


def missing_variables(
    prompts: tuple[SuitePrompt, ...], problems: Problems, stored: Collection[str] = ()
) -> Callable[[EvalCase, Problems], None]:
    """An objection to cases that lack a variable of a prompt that they are for.

    A file of rows lacks a column in all of them, which is told once.

    Args:
        stored: variables that earlier cases leave; it may grow between cases.
    """
    needed: dict[str, tuple[SuitePrompt, list[str]]] = {}
    for prompt in prompts:
        defaults = {spec.name for spec in prompt.template.inputs if not spec.required}
        try:
            names = [n for n in needed_variables(prompt.template) if n not in defaults | {_TURNS}]
        except (PromptFileError, ScriptError) as error:
            problems.add_error(error, prompt.where)
            continue
        needed[prompt.label] = prompt, names
    told: set[tuple[str, str, str]] = set()

    def objections(case: EvalCase, problems: Problems) -> None:
        for prompt, names in needed.values():
            if all(name in case.vars for name in names) or not prompt.matches(case.prompts):
                continue
            file = case.where.partition(":")[0]
            for name in (name for name in names if name not in case.vars and name not in stored):
                if (prompt.label, name, file) in told:
                    continue
                told.add((prompt.label, name, file))
                problems.add(
                    case.where,
                    f"there is no {name!r}, which the prompt {prompt.label!r} uses",
                    f"a variable or a column {name}, or --lenient to leave it empty",
                    ", ".join(case.vars) or "no variables: a test has them under vars",
                )

    return objections


def needed_variables(template: PromptTemplate) -> list[str]:
    """The variables that a prompt cannot do without, in alphabetical order.

    Raises:
        PromptFileError, ScriptError: it is not a template.
    """
    if template.language in ("javascript", "python"):
        return []
    if template.language == "nunjucks":
        script = Template(template.body, template.env, template.filters)
        return list(analyse(script).needed)
    return sorted(undeclared_variables(template.body, Place(template.path or template.name)))


def no_objections(case: EvalCase, problems: Problems) -> None:
    """Takes every case as it is."""


def _own_env(document: Document, problems: Problems) -> dict[str, str]:
    value = document.data.get("env") or {}
    if isinstance(value, dict):
        return {str(key): str(item) for key, item in value.items()}
    problems.add(document.at / "env", "env is not a mapping", "NAME: value", repr(value))
    return {}


def _repeat(document: Document, problems: Problems, notes: dict[str, None]) -> int:
    options, at = document.data.get("evaluateOptions") or {}, document.at / "evaluateOptions"
    if not isinstance(options, dict):
        problems.add(at, "evaluateOptions is not a mapping", "e.g. repeat: 3", repr(options))
        return 1
    notes.update(dict.fromkeys(_OPTION_KEYS.check(options, at, problems)))
    repeat = options.get("repeat", 1)
    if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 1:
        problems.add(
            at / "repeat", "repeat is not a positive whole number", "1 or more", repr(repeat)
        )
        return 1
    return repeat


def _outputs(document: Document, folder: SuiteFolder, problems: Problems) -> tuple[str, ...]:
    """Where results are to be written."""
    value, at = document.data.get("outputPath"), document.at / "outputPath"
    names = value if isinstance(value, list) else [value] if value else []
    outputs = tuple(str((folder.path / str(name)).absolute()) for name in names)
    try:
        check_outputs(outputs, str(at), allow_outside=folder.allow_outside)
    except DatasetError as error:
        problems.add_error(error, at)
    return outputs
