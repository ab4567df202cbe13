"""The ``prompts`` of a suite, as prompt templates.

promptfoo takes a prompt as one text, or as a list of chat messages in JSON or YAML; both become
the body of a prompt file: role lines, and Jinja2 translated from Nunjucks. A line of a plain text
that happens to be a role line (``Assistant:`` in a few-shot example) stays text, by way of an
input that holds it: values never begin a turn.

Files may hold several prompts: ``---`` between them in txt, a line each in jsonl, a row each in
csv. A ``.prompty`` file, or the name of one, is read by whoever reads prompts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from localprompt.errors import LocalPromptError, PromptFileError, UnknownNameError
from localprompt.records.prompt import InputSpec, PromptTemplate
from localprompt.sources.documents import read_document, read_text
from localprompt.sources.rows import read_rows
from localprompt.sources.suite.models import options_from
from localprompt.sources.suite.nunjucks import translate_nunjucks
from localprompt.sources.suite.problems import Keys, Problems
from localprompt.sources.suite.records import SuitePrompt
from localprompt.sources.suite.values import FILE, matching
from localprompt.sources.yaml import At

LoadPrompt = Callable[[str], PromptTemplate]
"""A name or the path of a ``.prompty`` file → the prompt; raises UnknownNameError."""

_KEYS = Keys(
    frozenset({"id", "label", "raw", "config", "display"}),
    refused={"function": "prompts made by code cannot be had", "transform": "same"},
)
_TEXT_FILES = frozenset({".txt", ".md", ".j2", ".json", ".jsonl", ".yaml", ".yml", ".csv"})
_CODE_FILES = frozenset({".py", ".js", ".cjs", ".mjs", ".ts", ".sh", ".bash", ".rb", ".pl"})
_ROLE_LINE = re.compile(
    r"^([^\S\n]*(?:#[^\S\n]*)?(?:system|user|assistant|developer)(?:\[[^\n]*\])?[^\S\n]*:[^\S\n]*)$",
    re.IGNORECASE | re.MULTILINE,
)
_ROLES = frozenset({"system", "user", "assistant", "developer"})
_NAME = re.compile(r"[\w.-]+")


class _Source(NamedTuple):
    """A prompt's text and where it came from."""

    text: str
    label: str
    at: At
    path: Path | None
    first_line: int = 1
    chat: Any = None
    """The messages, where they are known already."""


class PromptReader:
    """Reads the prompts of one suite."""

    def __init__(
        self,
        folder: Path,
        problems: Problems,
        *,
        load_prompt: LoadPrompt | None,
        env: Mapping[str, str],
        notes: dict[str, None],
    ) -> None:
        self.folder = folder
        self.problems = problems
        self.load_prompt = load_prompt
        self.env = env
        self.notes = notes
        self._labels: dict[str, int] = {}

    def read(self, value: Any, at: At) -> tuple[SuitePrompt, ...]:
        """``prompts``: a text or a list; without any, the variable ``prompt`` is the prompt."""
        if value is None:
            value = "{{prompt}}"
        found: list[SuitePrompt] = []
        for index, item in enumerate(value if isinstance(value, list) else [value]):
            here = at / index if isinstance(value, list) else at
            try:
                found.extend(self._entry(item, here))
            except LocalPromptError as error:
                self.problems.add_error(error, here)
        return tuple(found)

    def _entry(self, item: Any, at: At) -> Iterator[SuitePrompt]:
        label, options = None, {}
        if isinstance(item, dict):
            self.notes.update(dict.fromkeys(_KEYS.check(item, at, self.problems)))
            label = item.get("label") or item.get("display")
            options = options_from(item.get("config"), at / "config", self.notes)
            item = item.get("raw") or item.get("id")
        if not isinstance(item, str) or not item.strip():
            self.problems.add(at, "not a prompt", "a text, a file or {id, label}", repr(item))
            return
        found = list(self._prompty(item, at))
        for prompty in found:
            name = label if label and len(found) == 1 else prompty.name
            yield self._labelled(name, self._with(prompty, options), at)
        if found:
            return
        for source in self._sources(item, label, at):
            yield self._labelled(source.label, self._with(self._template(source), options), at)

    def _prompty(self, text: str, at: At) -> Iterator[PromptTemplate]:
        """The prompts that a name, or a path or pattern of ``.prompty`` files, stands for."""
        reference = text.removeprefix(FILE).strip()
        if self.load_prompt is None:
            return
        if reference.endswith(".prompty") and "\n" not in reference:
            paths = matching(self.folder, reference)
            if not paths:
                found = str(self.folder / reference)
                raise UnknownNameError("there is no such prompt", where=f"{at}: {found}")
            yield from (self.load_prompt(str(path)) for path in paths)
        elif _NAME.fullmatch(reference) and Path(reference).suffix not in _TEXT_FILES:
            try:
                prompt = self.load_prompt(reference)
            except UnknownNameError:
                return  # then it is the prompt's text
            yield prompt

    def _sources(self, text: str, label: str | None, at: At) -> Iterator[_Source]:
        reference = text.removeprefix(FILE)
        suffix = Path(reference.partition(".py:")[0]).suffix if "\n" not in reference else ""
        scheme = re.match(r"(exec|langfuse|portkey|helicone|https?|package):", reference)
        if scheme or suffix in _CODE_FILES or ".py:" in reference:
            self.problems.add(at, "prompts made by code or fetched cannot be had", "text, a file")
            return
        is_file = text.startswith(FILE) or (suffix in _TEXT_FILES and " " not in reference)
        if not is_file:
            yield _Source(text, label or _short(text), at, None)
            return
        paths = matching(self.folder, reference)
        if not paths:
            self.problems.add(at, "there is no such prompt", found=str(self.folder / reference))
        for path in paths:
            yield from self._file(path, label if len(paths) == 1 else None, at)

    def _file(self, path: Path, label: str | None, at: At) -> Iterator[_Source]:
        shown = label or _relative(path, self.folder)
        if path.suffix == ".csv":
            for line, row in read_rows(path):
                text = row.get("prompt", "").strip() if isinstance(row, dict) else ""
                if not text:
                    self.problems.add(f"{path}:{line}", "not a prompt", "columns prompt and label")
                    continue
                yield _Source(text, row.get("label") or f"{shown}:{line}", at, path, line)
            return
        if path.suffix in {".json", ".yaml", ".yml"}:
            chat = read_document(path).data
            yield _Source(read_text(path), shown, at, path, chat=chat)
            return
        pieces = list(_pieces(read_text(path), path.suffix))
        for number, (line, piece) in enumerate(pieces, start=1):
            own = shown if len(pieces) == 1 else f"{shown}:{number}"
            yield _Source(piece, own, at, path, line)

    def _template(self, source: _Source) -> PromptTemplate:
        chat = source.chat if source.chat is not None else _as_chat(source.text)
        where = str(source.path) if source.path is not None else str(source.at)
        literals: list[str] = []
        if isinstance(chat, list):
            body = "\n".join(self._message(item, source, where, literals) for item in chat)
        else:
            body = f"user:\n{self._body(source.text, where, source.first_line, literals)}"
        inputs = [InputSpec(name, default=text) for name, text in enumerate_literals(literals)]
        return PromptTemplate(
            name=source.label,
            body=body,
            path=where,
            sha256=hashlib.sha256(source.text.encode("utf-8", "surrogatepass")).hexdigest(),
            inputs=tuple(inputs),
            # The role line that stands before the text counts as no line of the file.
            body_line=source.first_line - (0 if isinstance(chat, list) else 1),
        )

    def _message(self, item: Any, source: _Source, where: str, literals: list[str]) -> str:
        role = item.get("role") if isinstance(item, dict) else None
        if role not in _ROLES:
            raise PromptFileError(
                "not a chat message",
                where=where,
                expected="role: system, user or assistant, and content",
                found=_short(repr(item)),
            )
        content = item.get("content")
        if isinstance(content, list):
            content = "".join(_text_part(part, where) for part in content)
        if not isinstance(content, str):
            raise PromptFileError("a message has no text", where=where, found=_short(repr(item)))
        return f"{role}:\n{self._body(content, where, source.first_line, literals)}"

    def _body(self, text: str, where: str, line: int, literals: list[str]) -> str:
        translated = translate_nunjucks(text, where=where, first_line=line, env=self.env)

        def as_value(match: re.Match[str]) -> str:
            literals.append(match[1])
            return f"{{{{ {literal_name(len(literals))} }}}}"

        return _ROLE_LINE.sub(as_value, translated)

    def _with(self, template: PromptTemplate, options: dict[str, Any]) -> PromptTemplate:
        if not options:
            return template
        return msgspec.structs.replace(template, options={**template.options, **options})

    def _labelled(self, label: str, template: PromptTemplate, at: At) -> SuitePrompt:
        """Labels are unique: the second ``draft`` is ``draft (2)``."""
        count = self._labels[label] = self._labels.get(label, 0) + 1
        return SuitePrompt(label if count == 1 else f"{label} ({count})", template, str(at))


def literal_name(number: int) -> str:
    return f"literal_line_{number}"


def enumerate_literals(literals: list[str]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(literals, start=1):
        yield literal_name(number), text


def with_affixes(template: PromptTemplate, prefix: str, suffix: str) -> PromptTemplate:
    """``template`` with a case's Jinja2 text before its first message's text and at its end."""
    if not prefix and not suffix:
        return template
    first, line_end, rest = template.body.partition("\n")
    if _ROLE_LINE.fullmatch(first) and line_end:
        body = f"{first}\n{prefix}{rest}{suffix}"
    else:
        body = f"{prefix}{template.body}{suffix}"
    return msgspec.structs.replace(template, body=body)


def _pieces(text: str, suffix: str) -> Iterator[tuple[int, str]]:
    """The prompts of a text file with the line on which each begins."""
    lines = text.split("\n")
    if suffix == ".jsonl":
        yield from ((n, line) for n, line in enumerate(lines, start=1) if line.strip())
        return
    if suffix == ".md":
        yield 1, text.strip()
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


def _as_chat(text: str) -> list[Any] | None:
    """A text that is a JSON list of messages."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) and value and isinstance(value[0], dict) else None


def _text_part(part: Any, where: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise PromptFileError(
        "only text can be put into a prompt", where=where, found=_short(repr(part))
    )


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
