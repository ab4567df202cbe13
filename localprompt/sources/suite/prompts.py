"""The ``prompts`` of a suite, as prompt templates.

promptfoo takes a prompt as one text, as a list of chat messages in JSON or YAML, or as JavaScript
that makes one of these. All three become a template whose body is what stands in the suite;
:mod:`localprompt.sources.suite.messages` renders it.

Files may hold several prompts: ``---`` between them in txt, a line each in jsonl, a row each in
csv, an item each in a YAML list; md and j2 are one, as they stand. A folder or a pattern stands for
its files. A ``.prompty`` file, or the name of one, is read by whoever reads prompts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from localprompt import doors
from localprompt.errors import LocalPromptError, PromptFileError, ScriptError, UnknownNameError
from localprompt.javascript.engine import Template, analyse
from localprompt.records.prompt import PromptTemplate
from localprompt.sources.documents import read_document, read_text
from localprompt.sources.rows import read_rows
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.models import is_json_schema, options_from, schema_from
from localprompt.sources.suite.problems import Keys, Problems
from localprompt.sources.suite.records import SuitePrompt
from localprompt.sources.suite.script_modules import TYPESCRIPT, no_typescript
from localprompt.sources.suite.scripts import read_script, split_function
from localprompt.sources.suite.tool_choice import chosen_tools
from localprompt.sources.suite.tools import read_tools
from localprompt.sources.suite.values import FILE, file_path, is_template, used_env
from localprompt.sources.yaml import At

LoadPrompt = Callable[[str], PromptTemplate]
"""A name or the path of a ``.prompty`` file → the prompt; raises UnknownNameError."""

_KEYS = Keys(
    frozenset({"id", "label", "raw", "config", "display"}),
    refused={"function": "give the file of the function as file://prompt.js", "transform": "same"},
)
_TEXT_FILES = frozenset({".txt", ".md", ".j2", ".json", ".jsonl", ".yaml", ".yml", ".csv"})
_SCRIPT_FILES = frozenset({".js", ".cjs", ".mjs"})
_CODE_FILES = frozenset({".sh", ".bash", ".rb", ".pl", ".go"})
_NAME = re.compile(r"[\w.-]+")
_LONGEST_NAME = 1024
_DEEPEST = 3
_ROLE_LINE = re.compile(
    r"[^\S\n]*+(?:#[^\S\n]*+)?(?:system|user|assistant|developer)(?:\[[^\n]*\])?[^\S\n]*+:[^\S\n]*+",
    re.IGNORECASE,
)


class _Source(NamedTuple):
    """A prompt's text and where it came from."""

    text: str
    label: str
    at: At
    path: Path | None
    first_line: int = 1
    function: str | None = None
    """What makes the prompt: JavaScript's export (empty: the only one), or Python's function
    (empty: the file is run and prints it)."""
    language: Literal["nunjucks", "javascript", "python"] = "nunjucks"


class PromptReader:
    """Reads the prompts of one suite."""

    def __init__(
        self,
        folder: SuiteFolder,
        problems: Problems,
        *,
        load_prompt: LoadPrompt | None,
        env: Mapping[str, str],
        notes: dict[str, None],
        filters: dict[str, str] | None = None,
        allow_code: bool = False,
    ) -> None:
        self.folder = folder
        self.problems = problems
        self.load_prompt = load_prompt
        self.env = env
        self.notes = notes
        self.filters = filters or {}
        self.allow_code = allow_code
        self._labels: dict[str, int] = {}

    def read(self, value: Any, at: At) -> tuple[SuitePrompt, ...]:
        """``prompts``: a text, a list, or labels by text; without any, the variable ``prompt``."""
        if value is None:
            value = "{{prompt}}"
        if isinstance(value, dict):
            value = [{"raw": text, "label": str(label)} for text, label in value.items()]
        found: list[SuitePrompt] = []
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            here = at / index if isinstance(value, list) else at
            try:
                found.extend(self._entry(item, here))
            except LocalPromptError as error:
                self.problems.add_error(error, here)
        return tuple(found)

    def _entry(self, item: Any, at: At) -> Iterator[SuitePrompt]:
        label, config = None, None
        if isinstance(item, dict):
            self.notes.update(dict.fromkeys(_KEYS.check(item, at, self.problems)))
            label, config = item.get("label") or item.get("display"), item.get("config")
            item = item.get("raw") or item.get("id")
        if not isinstance(item, str) or not item.strip():
            self.problems.add(at, "not a prompt", "a text, a file or {id, label}", repr(item))
            return
        own = self._own(config, at / "config")
        found = list(self._prompty(item, at))
        for prompty in found:
            name = label if label and len(found) == 1 else prompty.name
            yield self._labelled(name, _with(prompty, own), at, config)
        if found:
            return
        for source in self._sources(item, label, at):
            template = _with(self._template(source), own)
            if source.language != "nunjucks" and isinstance(config, dict):
                given = {**template.metadata, "config": config}
                template = msgspec.structs.replace(template, metadata=given)
            yield self._labelled(source.label, template, at, config)

    def _own(self, config: Any, at: At) -> dict[str, Any]:
        """What a prompt's ``config`` sets of its template: it goes before that of the provider."""
        tools = read_tools(config, self.folder, at, self.problems, self.notes)
        tools, call = chosen_tools(config, tools, at, self.problems, self.notes)
        fields = {
            "options": options_from(config, at, self.notes),
            "tools": tools,
            "output_schema": call or schema_from(config),
        }
        return {name: value for name, value in fields.items() if value}

    def _prompty(self, text: str, at: At) -> Iterator[PromptTemplate]:
        """The prompts that a name, or a path or pattern of ``.prompty`` files, stands for."""
        reference = text.removeprefix(FILE).strip()
        if self.load_prompt is None:
            return
        if reference.endswith(".prompty") and "\n" not in reference:
            paths = self.folder.matching(reference, str(at))
            if not paths:
                found = str(self.folder / reference)
                raise UnknownNameError("no such prompt", where=f"{at}: {found}")
            yield from (self.load_prompt(str(path)) for path in paths)
        elif _NAME.fullmatch(reference) and Path(reference).suffix not in _TEXT_FILES:
            try:
                prompt = self.load_prompt(reference)
            except UnknownNameError:
                return  # then it is the prompt's text
            yield prompt

    def _sources(self, text: str, label: str | None, at: At, depth: int = 0) -> Iterator[_Source]:
        reference = text.removeprefix(FILE)
        one_line = "\n" not in reference.strip()
        name, function = split_function(reference) if one_line else (reference, "")
        suffix = Path(name).suffix if one_line else ""
        scheme = re.match(r"(exec|langfuse|portkey|helicone|https?|package):", reference)
        if suffix == ".py" and " " not in name:
            yield from self._python(name, function, label, at)
            return
        if suffix in TYPESCRIPT and " " not in name:
            raise no_typescript(self.folder / name, str(at))
        if scheme or (suffix in _CODE_FILES and " " not in name):
            self.problems.add(
                at, "prompts made by programs or services are not supported", "a text or a file"
            )
            return
        paths = self._files(name, str(at)) if one_line else []
        named = suffix in _TEXT_FILES | _SCRIPT_FILES and " " not in name
        if not paths and not named and not text.startswith(FILE):
            yield _Source(text, label or _short(text), at, None)
            return
        if not paths:
            self.problems.add(at, "no such prompt", found=str(self.folder / name))
        for path in paths:
            if path.suffix in _SCRIPT_FILES:
                shown = label or _relative(path, self.folder.path)
                source = read_script(path, self.folder)
                yield _Source(source, shown, at, path, function=function, language="javascript")
            else:
                yield from self._file(path, label if len(paths) == 1 else None, at, depth)

    def _python(self, name: str, function: str, label: str | None, at: At) -> Iterator[_Source]:
        """A function of the suite's Python, where that is allowed."""
        if not self.allow_code:
            message = "the prompt is made by this suite's Python code, which has to be allowed"
            self.problems.add(at, message, "--allow-code", name)
            return
        paths = self._files(name, str(at))
        if not paths:
            self.problems.add(at, "no such prompt", found=str(self.folder / name))
        for path in paths:
            shown = label or _relative(path, self.folder.path)
            text = read_text(path)
            named = rf"^(?:async\s+)?(?:def|class)\s+{function.partition('.')[0]}\b"
            if function and not re.search(named, text, re.MULTILINE):
                self.problems.add(at, f"the file has no function {function!r}", found=name)
            yield _Source(text, shown, at, path, function=function, language="python")

    def _files(self, name: str, where: str) -> list[Path]:
        """The files that a name, a pattern or a folder stands for."""
        if len(name) > _LONGEST_NAME:
            return []
        if name.strip() and doors.is_folder(self.folder / name):
            return self.folder.inside(name, where, _TEXT_FILES | _SCRIPT_FILES)
        return self.folder.matching(name, where)

    def _file(self, path: Path, label: str | None, at: At, depth: int) -> Iterator[_Source]:
        shown = label or _relative(path, self.folder.path)
        if path.suffix == ".csv":
            for line, row in read_rows(path):
                text = row.get("prompt", "").strip() if isinstance(row, dict) else ""
                if not text:
                    self.problems.add(f"{path}:{line}", "not a prompt", "columns prompt and label")
                    continue
                yield _Source(text, row.get("label") or f"{shown}:{line}", at, path, line)
            return
        if path.suffix in {".yaml", ".yml"}:
            yield from self._yaml(path, shown, at, depth)
            return
        if path.suffix == ".json":
            yield _Source(self._json(path, at), shown, at, path)
            return
        pieces = list(_pieces(read_text(path), path.suffix))
        for number, (line, piece) in enumerate(pieces, start=1):
            own = shown if len(pieces) == 1 else f"{shown}:{number}"
            yield _Source(piece, own, at, path, line)

    def _yaml(self, path: Path, shown: str, at: At, depth: int) -> Iterator[_Source]:
        """A YAML file: one chat (or other data, as JSON), or a list of prompts."""
        data = read_document(path, allow=self.folder.allow).data
        if not isinstance(data, list) or any(_is_message(item) for item in data):
            chat = json.dumps(self._filled(data, at), ensure_ascii=False)
            yield _Source(chat, shown, at, path)
            return
        for number, item in enumerate(data, start=1):
            label, text = None, item
            if isinstance(item, dict):
                label, text = item.get("label"), item.get("raw") or item.get("id")
            if not isinstance(text, str) or not text.strip():
                self.problems.add(f"{path} [{number - 1}]", "not a prompt", found=repr(item))
                continue
            if depth >= _DEEPEST:
                raise PromptFileError("the lists of prompts lead back to themselves", where=str(at))
            yield from self._sources(text, label or _short(text), at, depth + 1)

    def _json(self, path: Path, at: At) -> str:
        """A JSON file's text; a template of JSON stays as it is."""
        text = read_text(path)
        if FILE not in text:
            return text
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return json.dumps(self._filled(data, at), ensure_ascii=False)

    def _filled(self, value: Any, at: At) -> Any:
        """Data with the files that it names in the place of their names."""
        if isinstance(value, dict):
            return {key: self._filled(item, at) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item, at) for item in value]
        if not isinstance(value, str) or not value.startswith(FILE) or is_template(value):
            return value
        path = file_path(value, self.folder, at)
        if path.suffix in {".json", ".yaml", ".yml"}:
            return read_document(path, allow=self.folder.allow).data
        return read_text(path)

    def _template(self, source: _Source) -> PromptTemplate:
        where = str(source.path) if source.path is not None else str(source.at)
        template = PromptTemplate(
            name=source.label,
            body=source.text,
            path=where,
            sha256=hashlib.sha256(source.text.encode("utf-8", "surrogatepass")).hexdigest(),
            body_line=source.first_line,
            language=source.language,
            metadata={"function": source.function} if source.function else {},
            env=used_env(source.text, self.env),
            filters=self.filters,
        )
        if source.language == "nunjucks":
            self._check(template, where)
        return template

    def _check(self, template: PromptTemplate, where: str) -> None:
        """
        Raises:
            PromptFileError: it is not a template, or uses what is not there.
        """
        if unset := [name for name in template.env if name not in self.env]:
            raise PromptFileError(
                f"the environment variable {unset[0]!r} is not set",
                where=where,
                expected="a variable of the environment, or of env in the suite",
            )
        try:
            found = analyse(Template(template.body, template.env, self.filters))
        except ScriptError as error:
            raise PromptFileError(
                f"not a Nunjucks template: {error.message}",
                where=where,
                expected="braces that are meant as text between {% raw %} and {% endraw %}",
            ) from error
        if found.unknown_filters:
            names = ", ".join(found.unknown_filters)
            raise PromptFileError(
                f"Nunjucks has no filter {names}",
                where=where,
                expected="one of Nunjucks' filters, or of the suite's nunjucksFilters",
            )

    def _labelled(
        self, label: str, template: PromptTemplate, at: At, config: Any = None
    ) -> SuitePrompt:
        """Labels are unique: the second ``draft`` is ``draft (2)``."""
        count = self._labels[label] = self._labels.get(label, 0) + 1
        name = label if count == 1 else f"{label} ({count})"
        return SuitePrompt(name, template, str(at), as_json=is_json_schema(config))


def _with(template: PromptTemplate, own: dict[str, Any]) -> PromptTemplate:
    """The template with what the suite sets of it."""
    if "options" in own:
        own = {**own, "options": {**template.options, **own["options"]}}
    return msgspec.structs.replace(template, **own) if own else template


def with_affixes(template: PromptTemplate, prefix: str, suffix: str) -> PromptTemplate:
    """``template`` with a case's text before its own (its first message's) and at its end."""
    if not prefix and not suffix:
        return template
    if template.language == "nunjucks" and (chat := _json_chat(template.body)):
        chat[0]["content"] = prefix + chat[0]["content"]
        chat[-1]["content"] += suffix
        return msgspec.structs.replace(template, body=json.dumps(chat, ensure_ascii=False))
    first, line_end, rest = template.body.partition("\n")
    is_turn = template.language == "jinja2" and _ROLE_LINE.fullmatch(first)
    if is_turn and line_end:
        body = f"{first}\n{prefix}{rest}{suffix}"
    else:
        body = f"{prefix}{template.body}{suffix}"
    return msgspec.structs.replace(template, body=body)


def _json_chat(body: str) -> list[dict[str, str]] | None:
    """A body that is a JSON list of messages with texts."""
    if not body.lstrip().startswith("["):
        return None
    try:
        chat = json.loads(body)
    except (ValueError, RecursionError):
        return None
    whole = chat and all(_is_message(m) and isinstance(m.get("content"), str) for m in chat)
    return chat if whole else None


def _pieces(text: str, suffix: str) -> Iterator[tuple[int, str]]:
    """The prompts of a text file with the line on which each begins."""
    lines = text.split("\n")
    if suffix == ".jsonl":
        yield from ((n, line) for n, line in enumerate(lines, start=1) if line.strip())
        return
    if suffix in (".md", ".j2"):
        yield 1, text
        return
    start = 0
    for index, line in enumerate([*lines, "---"]):
        if line.strip() == "---":
            block = lines[start:index]
            empty = sum(1 for _ in _leading_blanks(block))
            if len(block) > empty:
                yield start + empty + 1, "\n".join(block).strip()
            start = index + 1


def _leading_blanks(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line.strip():
            return
        yield line


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and "role" in item


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
