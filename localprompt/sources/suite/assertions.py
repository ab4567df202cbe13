"""Assertions of a suite, from YAML or from a cell of a table, into expectations.

A cell uses promptfoo's shorthand: ``contains:Paris``, ``not-icontains-any: a, "b, c"``,
``levenshtein(3):Paris``, ``grade:`` for a rubric, ``file://check.py``; text without a known type
before a colon has to be equalled. As promptfoo has it, a type with a threshold gets 0.75 in a cell
that says none, also where its own default is another.

Values are checked when they are read, as far as they do not depend on a case, and again when they
are rendered for one, so that a suite that loads can be scored.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from localprompt import doors
from localprompt.errors import DatasetError
from localprompt.records.score import AnyExpectation, Expectation, ExpectationSet, Script
from localprompt.scoring.code_checks import split_code_file
from localprompt.scoring.expectations import CannotScoreError, finite
from localprompt.scoring.kinds import ASSERT_SET, KINDS, Kind, refusal, split_negation
from localprompt.scoring.pattern import check_pattern
from localprompt.scoring.text_checks import as_text, count_range
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.problems import Keys, Problems, Trail, nearest, text_of
from localprompt.sources.suite.scripts import check_code, file_script, transform_script
from localprompt.sources.suite.values import FILE, file_value, is_template, render, render_all
from localprompt.sources.yaml import At, read_yaml

_KEYS = Keys(
    frozenset(
        {"type", "value", "threshold", "weight", "metric", "provider", "config"}
        | {"normalizeUnicode", "description", "transform", "contextTransform", "id"}
        | {"rubricPrompt"}
    ),
)
_SET_KEYS = Keys(frozenset({"type", "assert", "threshold", "weight", "metric", "description"}))
_SHORTHAND = re.compile(r"(not-)?([a-z][a-z:-]*?)(?:\((\d+(?:\.\d+)?)\))?(?::(.*))?", re.DOTALL)
_SCRIPT_FILE = re.compile(r"file://\S+\.(?:[cm]?js|ts)(?::\w+)?")
_NO_SHORTHAND = frozenset({"select-best", "human", "max-score"})
_IN_CELLS = dict.fromkeys(
    (
        "levenshtein", "rouge-n", "perplexity", "perplexity-score", "latency", "cost",
        "answer-relevance", "context-faithfulness", "context-recall", "context-relevance",
    ),
    0.75,
) | {"similar": 0.8}  # fmt: skip
_LEGACY = {"grade:": "llm-rubric", "fn:": "javascript", "eval:": "javascript"}
_FORMS = frozenset({"NFC", "NFD", "NFKC", "NFKD"})


class AssertionReader:
    """Reads assertions; remembers what they need and what is wrong with them."""

    def __init__(self, folder: SuiteFolder, problems: Problems, *, allow_code: bool) -> None:
        self.folder = folder
        self.problems = problems
        self.allow_code = allow_code
        self.env: Mapping[str, str] = {}
        """What ``env.NAME`` stands for."""
        self.needs: set[str] = set()
        """Of judge and code, what any assertion needs."""
        self.judges: set[str] = set()
        """The judges that assertions name."""
        self.notes: dict[str, None] = {}
        self.trail = Trail()

    def read_list(self, value: Any, at: At) -> tuple[AnyExpectation, ...]:
        """The value of ``assert``: a list of assertions, sets and ``file://`` lists of them."""
        if value is None:
            return ()
        if not isinstance(value, list):
            self.problems.add(at, "not a list of assertions", "a list", type(value).__name__)
            return ()
        found: list[AnyExpectation] = []
        for index, item in enumerate(value):
            here = at / index
            if isinstance(item, str) and item.startswith(FILE):
                with self.trail.into(item, here, self.problems) as new:
                    found += self.read_list(self._file(item, here), here) if new else ()
            elif isinstance(item, dict) and item.get("type") == ASSERT_SET:
                found.append(self._set(item, here))
            elif isinstance(item, dict):
                expectation = self._assertion(item, here)
                found += [expectation] if expectation is not None else []
            else:
                self.problems.add(here, "not an assertion", "a mapping with type", repr(item))
        return tuple(found)

    def read_shorthand(
        self, text: str, at: At, metric: str | None = None, threshold: float | None = None
    ) -> Expectation | None:
        """A cell of ``__expected``; None where it is refused."""
        name, value, given = self._split_shorthand(text.strip(), at)
        base, negated = split_negation(name)
        code, script = self._javascript(value, at) if base == "javascript" else (value, None)
        return self._checked(
            Expectation(
                type=base,
                negated=negated,
                value=code,
                script=script,
                threshold=_cell_threshold(base, given if threshold is None else threshold),
                metric=metric,
                where=str(at),
            ),
            at,
        )

    def _split_shorthand(self, text: str, at: At) -> tuple[str, str | None, float | None]:
        for prefix, name in _LEGACY.items():
            if text.startswith(prefix):
                return name, text.removeprefix(prefix).strip(), None
        if text.startswith(FILE) and (text.endswith(".py") or ".py:" in text):
            return "python", text, None
        if _SCRIPT_FILE.fullmatch(text):
            return "javascript", text, None
        match = _SHORTHAND.fullmatch(text)
        if match is None:
            return "equals", text, None
        negation, base, threshold, value = match.groups()
        if base not in _NO_SHORTHAND and (base in KINDS or refusal(base) is not None):
            given = None if threshold is None else float(threshold)
            return f"{negation or ''}{base}", None if value is None else value.strip(), given
        if value is not None and (close := difflib.get_close_matches(base, KINDS, 1, 0.85)):
            self.notes[f"{at}: {text!r} has to match exactly; for an assertion, {close[0]}: …"] = (
                None
            )
        return "equals", text, None

    def _assertion(self, item: dict[str, Any], at: At) -> Expectation | None:
        self._note(_KEYS.check(item, at, self.problems))
        name = item.get("type")
        if not isinstance(name, str):
            self.problems.add(at, "an assertion has no type", "e.g. type: contains")
            return None
        base, negated = split_negation(name)
        if base not in KINDS and refusal(name) is None:
            self.problems.add(at / "type", f"the type {name!r} is not known", nearest(base, KINDS))
            return None
        form = item.get("normalizeUnicode") or None
        form = "NFC" if form is True else form
        if form is not None and (not isinstance(form, str) or form not in _FORMS):
            self.problems.add(at / "normalizeUnicode", "not a form", "NFC, NFD, NFKC or NFKD")
        value, script = item.get("value"), None
        if base == "javascript":
            value, script = self._javascript(value, at / "value")
        elif isinstance(value, str) and value.startswith(FILE) and base != "python":
            value = self._file(value, at / "value")
        elif isinstance(value, list):
            value = [
                self._file(part, at / "value")
                if isinstance(part, str) and part.startswith(FILE)
                else part
                for part in value
            ]
        return self._checked(
            Expectation(
                type=base,
                negated=negated,
                value=value,
                threshold=self._number(item, "threshold", at),
                weight=self._weight(item, at),
                metric=text_of(item, "metric", at, self.problems),
                config=item.get("config") or {},
                normalize_unicode=form,
                judge=judge_name(item.get("provider")),
                rubric_prompt=self.rubric_prompt(item, at),
                script=script,
                transform=self._transform(item, "transform", at),
                where=str(at),
            ),
            at,
        )

    def _javascript(self, value: Any, at: At) -> tuple[Any, Script | None]:
        """The code of a ``javascript`` assertion, or the file that it stands in."""
        try:
            if isinstance(value, str) and value.startswith(FILE):
                return value, file_script(value, self.folder, at)
            if isinstance(value, str):
                check_code(value, at=at)
        except DatasetError as error:
            self.problems.add_error(error, at)
        return value, None

    def _transform(self, item: Mapping[str, Any], key: str, at: At) -> Script | None:
        if item.get(key) is None:
            return None
        try:
            return self.transform_script(item[key], at / key)
        except DatasetError as error:
            self.problems.add_error(error, at / key)
            return None

    def transform_script(self, value: Any, at: At, first: str = "output") -> Script:
        """A transform; notes where it needs Python.

        Raises:
            DatasetError: it is not code that runs here.
        """
        script = transform_script(value, self.folder, at, first, allow_code=self.allow_code)
        if script.python is not None:
            self.needs.add("code")
        return script

    def rubric_prompt(self, item: Mapping[str, Any], at: At) -> str | None:
        """``rubricPrompt``: a text, messages, or the file of such; messages as JSON."""
        value = item.get("rubricPrompt")
        if isinstance(value, str) and value.startswith(FILE):
            value = self._file(value, at / "rubricPrompt")
        if value is None or isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False)

    def _set(self, item: dict[str, Any], at: At) -> ExpectationSet:
        self._note(_SET_KEYS.check(item, at, self.problems))
        members = self.read_list(item.get("assert"), at / "assert")
        single = tuple(member for member in members if isinstance(member, Expectation))
        if len(single) < len(members):
            self.problems.add(at, "a set cannot hold another set", "assertions")
        if any(member.type == "select-best" for member in single):
            self.problems.add(at, "select-best cannot be inside a set", "beside the set")
        if not single:
            self.problems.add(at, "a set without assertions", "assert: a list")
        return ExpectationSet(
            members=single,
            threshold=self._number(item, "threshold", at),
            weight=self._weight(item, at),
            metric=text_of(item, "metric", at, self.problems),
            where=str(at),
        )

    def _checked(self, expectation: Expectation, at: At) -> Expectation | None:
        """Refuses what is not supported; resolves a code file; checks what is already known."""
        reason = refusal(expectation.type)
        if reason is not None:
            self.problems.add(at, f"{expectation.name} {reason}")
            return None
        kind = KINDS[expectation.type]
        if kind.needs == "code":
            if not self.allow_code:
                message = "python runs code of this suite, which has to be allowed"
                self.problems.add(at, message, "--allow-code")
                return None
            expectation = self._code_file(expectation, at)
        if kind.needs is not None:
            self.needs.add(kind.needs)
        if expectation.judge is not None:
            self.judges.add(expectation.judge)
        if kind.threshold == "required" and expectation.threshold is None:
            self.problems.add(at, f"{expectation.name} has no threshold", "threshold: a number")
        if kind.threshold == "no" and expectation.threshold is not None:
            self.note(f"{at}: {expectation.name} takes no threshold")
        if not _depends_on_case(expectation.value):
            objection = objection_to(_finished(expectation, kind))
            if objection is not None:
                self.problems.add(at, objection[0], objection[1], objection[2])
        return expectation

    def _code_file(self, expectation: Expectation, at: At) -> Expectation:
        code = as_text(expectation.value)
        if not code.startswith(FILE):
            return expectation
        file, function = split_code_file(code)
        path = (self.folder / file).absolute()
        if not doors.is_file(path):
            self.problems.add(at, "no such file", found=str(path))
        else:
            self._allowed(path, at)
        return msgspec.structs.replace(expectation, value=f"{FILE}{path}:{function}")

    def _allowed(self, path: Path, at: At) -> None:
        try:
            self.folder.allow(path, str(at))
        except DatasetError as error:
            self.problems.add_error(error, at)

    def _file(self, reference: str, at: At) -> Any:
        try:
            return file_value(reference, self.folder, at)
        except DatasetError as error:
            self.problems.add_error(error, at)
            return None

    def _number(self, item: Mapping[str, Any], key: str, at: At) -> float | None:
        value = item.get(key)
        if value is None or is_number(value):
            return None if value is None else float(value)
        self.problems.add(at / key, f"{key} is not a number", "a number", repr(value))
        return None

    def _weight(self, item: Mapping[str, Any], at: At) -> float:
        weight = self._number(item, "weight", at)
        if weight is not None and weight < 0:
            self.problems.add(at / "weight", "a weight is negative", "0 or more", f"{weight:g}")
        return 1.0 if weight is None else weight

    def note(self, text: str) -> None:
        self.notes[text] = None

    def _note(self, notes: list[str]) -> None:
        self.notes.update(dict.fromkeys(notes))


def _cell_threshold(base: str, given: float | None) -> float | None:
    """A cell's threshold, or what promptfoo takes where a cell says none."""
    return _IN_CELLS.get(base) if given is None else given


def is_number(value: Any) -> bool:
    """Whether it is one that a float can hold; a boolean is not."""
    return finite(value) is not None


def judge_name(provider: Any) -> str | None:
    """The model named by an assertion's or an option's ``provider``."""
    if isinstance(provider, dict):
        provider = provider.get("id") or provider.get("text")
        return judge_name(provider)
    return provider if isinstance(provider, str) else None


def render_expectation(
    expected: AnyExpectation, variables: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> AnyExpectation:
    """``expected`` for one case.

    Raises:
        LocalPromptError: its template cannot be rendered.
        DatasetError: what came out is no value for its type.
    """
    metric = render(expected.metric, variables, env) if expected.metric else None
    if isinstance(expected, ExpectationSet):
        members = tuple(
            member
            for member in (render_expectation(m, variables, env) for m in expected.members)
            if isinstance(member, Expectation)
        )
        return msgspec.structs.replace(expected, members=members, metric=metric)
    kind = KINDS[expected.type]
    value = expected.value
    # A mapping's inside belongs to its author, as in promptfoo; so does a code file's name.
    if isinstance(value, (str, list)) and not (kind.value == "code" and _is_file(value)):
        value = render_all(value, variables, env)
    finished = _finished(msgspec.structs.replace(expected, value=value, metric=metric), kind)
    if value is not expected.value:
        objection = objection_to(finished)
        if objection is not None:
            message, wanted, found = objection
            raise DatasetError(message, where=expected.where, expected=wanted, found=found)
    return finished


def names_any(expected: AnyExpectation, names: Collection[str]) -> bool:
    """Whether a template of its value uses one of the variables."""
    if isinstance(expected, ExpectationSet):
        return any(names_any(member, names) for member in expected.members)
    texts = expected.value if isinstance(expected.value, list) else [expected.value]
    used = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")
    return any(isinstance(t, str) and is_template(t) and used.search(t) for t in texts)


def _finished(expected: Expectation, kind: Kind) -> Expectation:
    """Texts that stand for lists and schemas, turned into them."""
    value = expected.value
    if kind.value == "texts" and isinstance(value, str):
        try:
            return msgspec.structs.replace(expected, value=split_list(value))
        except ValueError:
            return expected
    if kind.value == "schema" and isinstance(value, str):
        try:
            return msgspec.structs.replace(expected, value=read_yaml(value, "schema").data)
        except DatasetError:
            return expected
    return expected


def objection_to(expected: Expectation) -> tuple[str, str | None, str | None] | None:
    """What is wrong with a finished value: message, expected, found; None where it is fine."""
    kind, value = KINDS[expected.type], expected.value
    found = repr(value)
    if value is None or value in ("", [], ()):
        if kind.value_required and not (kind.value == "any" and value is not None):
            return f"{expected.name} has no value", kind.value, None
        return None
    if kind.value == "text" and not isinstance(value, (str, int, float)):
        return f"{expected.name} takes one text", "a text", found
    if kind.value == "texts" and not isinstance(value, list):
        return f"{expected.name} takes several texts", "a list, or texts between commas", found
    if kind.value == "schema" and not isinstance(value, (dict, bool)):
        return f"{expected.name} takes a JSON Schema", "a mapping", found
    if kind.value == "code" and not isinstance(value, str):
        return f"{expected.name} takes code", "a text", found
    if expected.type == "regex" and (problem := check_pattern(as_text(value))) is not None:
        return f"not a regular expression: {problem}", None, found
    if kind.value == "count":
        try:
            count_range(value)
        except CannotScoreError:
            return f"{expected.name} takes a number or a range", "5 or {min: 2, max: 9}", found
    return None


def split_list(text: str) -> list[str]:
    """``a, "b, c"`` → ``["a", "b, c"]``; a quote is doubled or escaped inside quotes.

    Raises:
        ValueError: a quote is not closed, or something follows it.
    """
    items: list[str] = []
    for match in re.finditer(r'\s*(?:"((?:[^"\\]|""|\\.)*)"\s*(?=,|$)|([^,]*))(?:,|$)', text):
        quoted, plain = match.groups()
        if quoted is not None:
            items.append(re.sub(r'\\(["\\])|""', lambda m: m[1] or '"', quoted))
        elif plain.strip().startswith('"'):
            raise ValueError(f"a quote is not closed: {plain.strip()}")
        elif plain.strip():
            items.append(plain.strip())
    return items


def _depends_on_case(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    return isinstance(value, list) and any(map(_depends_on_case, value))


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(FILE)
