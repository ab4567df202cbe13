"""The one YAML reader: front matter, suites, datasets and bench suites all come through here.

Plain words follow YAML 1.2's core schema, as promptfoo's and Prompty's own readers do: only
``true`` and ``false`` are booleans; ``yes``, ``12:30``, ``1_000`` and ``2024-01-01`` are text. A
door says where it wants *words*: there a number that would not print as it is written (``010``,
``1.10``, ``1e3``) stays the text that it is, since what is written is what the model should see.
Keys are always text.

Read from the parser's events in one pass and without recursion, so depth, size and what aliases
stand for are bounded before anything is built. A key that stands twice, an alias to what encloses
it and a tag beyond the core schema are errors with their line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

from localprompt.errors import DatasetError, LocalPromptError

KeyPath = tuple[str | int, ...]

MOST_NODES = 1_000_000
"""Scalars, lists and mappings of one document, aliases counted as what they stand for."""
MOST_CHARACTERS = 128 << 20
"""Characters of its scalars, aliases counted as what they stand for."""
DEEPEST = 100
"""Lists and mappings inside each other."""

Words = Callable[[KeyPath], frozenset[str]]
"""At a path, the kinds of number (``int``, ``float``, ``special``) that stay text there."""

INTEGERS = frozenset({"int", "special"})
NUMBERS = frozenset({"int", "float", "special"})
_CORE = "tag:yaml.org,2002:"
_BOOLEANS = dict.fromkeys(("true", "True", "TRUE"), True)
_BOOLEANS |= dict.fromkeys(("false", "False", "FALSE"), False)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MOST_DIGITS = 19
"""Longer integers stay text: no record can hold them."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class At(msgspec.Struct, frozen=True):
    """A place in a file: prints as ``suite.yaml:12 (tests[0].assert)``."""

    file: str
    path: KeyPath = ()
    lines: dict[KeyPath, int] = {}
    first_line: int | None = None
    """The line of a row, where the file is not YAML."""

    def __truediv__(self, key: str | int) -> At:
        return At(self.file, (*self.path, key), self.lines, self.first_line)

    @property
    def key(self) -> str:
        """``tests[0].assert[1].type``; empty at the top."""
        text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path)
        return text.removeprefix(".")

    @property
    def line(self) -> int | None:
        for length in range(len(self.path), -1, -1) if self.lines else ():
            if self.path[:length] in self.lines:
                return self.lines[self.path[:length]]
        return self.first_line

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place} ({self.key})" if self.path else place


class Document(msgspec.Struct, frozen=True):
    """A file's content and where it stands."""

    data: Any
    at: At


def as_numbers(path: KeyPath) -> frozenset[str]:
    """Nowhere are words wanted: every number of the core schema is one."""
    return frozenset()


def as_words(path: KeyPath) -> frozenset[str]:
    """Words are wanted everywhere."""
    return NUMBERS


def read_yaml(
    text: str,
    shown: str,
    *,
    first_line: int = 1,
    words: Words = as_numbers,
    most_nodes: int = MOST_NODES,
    error: type[LocalPromptError] = DatasetError,
) -> Document:
    """The content of one YAML document, and the line of every key and item.

    Args:
        shown: the file's name in messages.
        first_line: the file's line on which ``text`` begins.
        words: where numbers that would print differently stay text.
        most_nodes: the most nodes, aliases expanded.
        error: what is raised.

    Raises:
        LocalPromptError: of the given type; it is not YAML, or beyond the limits above.
    """
    import yaml

    builder = _Builder(shown, first_line, words, most_nodes, error)
    builder.last_line = text.rstrip().count("\n")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.YAMLError as problem:
        raise builder.not_yaml(problem, text) from None
    except UnicodeEncodeError:
        raise builder.problem("not valid YAML: half of a surrogate pair", 0) from None
    return Document(builder.document, At(shown, lines=builder.lines))


def dump_yaml(value: Any) -> str:
    """``value`` as YAML that :func:`read_yaml` reads back."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes texts that either version of YAML would take for something else."""

    for name, pattern in (("int", _INTEGER), ("float", _FLOAT), ("float", _SPECIAL)):
        whole = re.compile(rf"(?:{pattern.pattern})\Z")
        Dumper.add_implicit_resolver(f"{_CORE}{name}", whole, list("-+.0123456789"))
    text: str = yaml.dump(
        value,
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=False,
    )
    return text


def scalar(text: str, words: frozenset[str] = frozenset()) -> Any:
    """What a plain word stands for."""
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text in _NULLS:
        return None
    first = text[0]
    if not (first.isdigit() or first in "+-."):
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text, "int" in words)
    if _FLOAT.fullmatch(text):
        number = float(text)
        as_written = "float" in words and repr(number) != text
        return text if as_written or not math.isfinite(number) else number
    if _SPECIAL.fullmatch(text):
        return text if "special" in words else float(text.replace(".", ""))
    return text


def word(value: Any) -> Any:
    """A boolean or a number as text, as YAML and JSON write it; anything else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _integer(text: str, as_written: bool) -> Any:
    if len(text) > _MOST_DIGITS + 1:
        return text
    number = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    fits = -(1 << 63) <= number < 1 << 63
    return number if fits and not (as_written and str(number) != text) else text


class _Open(msgspec.Struct):
    """A list or mapping whose end has not come yet."""

    value: Any
    path: KeyPath
    line: int
    anchor: str | None
    nodes_before: int
    characters_before: int
    height: int = 1
    key: str | None = None
    """The key whose value comes next."""
    merge: bool = False
    """That value is for ``<<``."""
    own: set[str] = set()
    """The keys that stand in it; others were merged in."""


class _Anchored(msgspec.Struct, frozen=True):
    """What an anchor names, and its size with the aliases in it expanded."""

    value: Any
    nodes: int
    characters: int
    height: int


class _Builder:
    """Events in, one document out."""

    def __init__(
        self,
        shown: str,
        first_line: int,
        words: Words,
        most_nodes: int,
        error: type[LocalPromptError],
    ) -> None:
        self.shown = shown
        self.first_line = first_line
        self.words = words
        self.most_nodes = most_nodes
        self.error = error
        self.document: Any = None
        self.last_line = 0
        """Errors at the end of the text are told there, not on the empty line behind it."""
        self.lines: dict[KeyPath, int] = {}
        self._documents = 0
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}
        """None: its end has not come yet."""
        self._nodes = 0
        self._characters = 0

    def problem(self, message: str, line: int, **more: str) -> LocalPromptError:
        return self.error(message, where=f"{self.shown}:{line + self.first_line}", **more)

    def not_yaml(self, problem: Any, text: str) -> LocalPromptError:
        """PyYAML's own error, with our line; of a character that YAML forbids it knows none."""
        mark, character = getattr(problem, "problem_mark", None), getattr(problem, "character", "")
        words = getattr(problem, "problem", None) or str(problem).splitlines()[0]
        line = 0 if mark is None else min(mark.line, self.last_line)
        if isinstance(character, int):
            line = text.count("\n", 0, max(text.find(chr(character)), 0))
        return self.problem(f"not valid YAML: {words}", line)

    def take(self, event: Any) -> None:
        """The parser's next event."""
        import yaml

        line = event.start_mark.line
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin({}, event, line, f"{_CORE}map")
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin([], event, line, f"{_CORE}seq")
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor or "", line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self.problem("a second document begins here", line, expected="one document")

    def _scalar(self, event: Any, line: int) -> None:
        text: str = event.value
        self._count(1, len(text), 0, line)
        if _SURROGATE.search(text):
            raise self.problem("not valid YAML: half of a surrogate pair", line)
        if self._awaits_key():
            # What a key would be as a value does not matter: keys are text.
            self._anchor(event.anchor, text, 1, len(text), 0)
            self._key(text, plain=event.implicit[0], line=line)
            return
        value = text
        if event.implicit[0]:
            value = scalar(text, self.words(self._next_path()))
        elif event.tag is not None and not event.implicit[1]:
            value = self._tagged(event.tag, text, line)
        self._anchor(event.anchor, value, 1, len(text), 0)
        self._place(value, line, 0)

    def _tagged(self, tag: str, text: str, line: int) -> Any:
        """A scalar whose kind its author said."""
        kind = tag.removeprefix(_CORE)
        value = scalar(text) if kind in ("int", "float", "bool", "null") else text
        types: dict[str, type | tuple[type, ...]] = {
            "str": str, "!": str, "bool": bool, "int": int, "float": (int, float),
            "null": type(None),
        }  # fmt: skip
        if kind not in types:
            raise self.problem(
                f"the tag {_tag(tag)} is not supported", line, expected="the core schema's tags"
            )
        if not isinstance(value, types[kind]) or (kind != "bool" and isinstance(value, bool)):
            raise self.problem(f"not a value of !!{kind}", line, found=_short(text))
        return float(value) if isinstance(value, int) and kind == "float" else value

    def _begin(self, value: Any, event: Any, line: int, tag: str) -> None:
        if self._awaits_key():
            raise self.problem("a key is a list or a mapping", line, expected="a key that is text")
        if event.tag not in (None, "!", tag):
            raise self.problem(
                f"the tag {_tag(event.tag)} is not supported",
                line,
                expected="the core schema's tags",
            )
        if len(self._open) >= DEEPEST:
            raise self._too_deep(line)
        path = self._next_path()
        before = self._nodes, self._characters
        self._count(1, 0, 0, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(_Open(value, path, line, event.anchor, *before))

    def _end(self) -> None:
        done = self._open.pop()
        nodes = self._nodes - done.nodes_before
        self._anchor(
            done.anchor, done.value, nodes, self._characters - done.characters_before, done.height
        )
        self._place(done.value, done.line, done.height)

    def _alias(self, name: str, line: int) -> None:
        if name not in self._anchors:
            raise self.problem(f"there is no anchor {_short(name)!r}", line)
        anchored = self._anchors[name]
        if anchored is None:
            raise self.problem(f"the alias *{_short(name)} leads back to itself", line)
        self._count(anchored.nodes, anchored.characters, anchored.height, line)
        if self._awaits_key():
            if not isinstance(anchored.value, str):
                raise self.problem("a key is not text", line)
            self._key(anchored.value, plain=False, line=line)
        else:
            self._place(anchored.value, line, anchored.height)

    def _anchor(self, name: str | None, value: Any, nodes: int, chars: int, height: int) -> None:
        if name is not None:
            self._anchors[name] = _Anchored(value, nodes, chars, height)

    def _awaits_key(self) -> bool:
        top = self._open[-1] if self._open else None
        return top is not None and isinstance(top.value, dict) and top.key is None

    def _key(self, text: str, *, plain: bool, line: int) -> None:
        top = self._open[-1]
        top.merge = plain and text == "<<"
        if text in top.own and not top.merge:
            raise self.problem(f"the key {_short(text)!r} appears twice", line)
        top.own.add(text)
        top.key = text
        if not top.merge:
            self.lines[(*top.path, text)] = line + self.first_line

    def _next_path(self) -> KeyPath:
        if not self._open:
            return ()
        top = self._open[-1]
        if isinstance(top.value, list):
            return (*top.path, len(top.value))
        return (*top.path, top.key or "")

    def _place(self, value: Any, line: int, height: int) -> None:
        """Put a finished value where it belongs."""
        if not self._open:
            self.document = value
            return
        top = self._open[-1]
        top.height = max(top.height, height + 1)
        if isinstance(top.value, list):
            self.lines[(*top.path, len(top.value))] = line + self.first_line
            top.value.append(value)
            return
        if top.merge:
            self._merge(top, value, line)
        else:
            assert top.key is not None  # noqa: S101 — a mapping's value follows its key
            top.value[top.key] = value
        top.key = None

    def _merge(self, top: _Open, value: Any, line: int) -> None:
        found = value if isinstance(value, list) else [value]
        if not all(isinstance(item, dict) for item in found):
            raise self.problem("<< takes a mapping or a list of mappings", line)
        for key, item in ((key, item) for mapping in found for key, item in mapping.items()):
            top.value.setdefault(key, item)

    def _count(self, nodes: int, characters: int, height: int, line: int) -> None:
        self._nodes += nodes
        self._characters += characters
        if len(self._open) + height > DEEPEST:
            raise self._too_deep(line)
        if self._nodes > self.most_nodes or self._characters > MOST_CHARACTERS:
            raise self.problem(
                "the file is too large once its aliases are expanded",
                line,
                expected=f"at most {self.most_nodes:,} values",
            )

    def _too_deep(self, line: int) -> LocalPromptError:
        return self.problem("nested too deep", line, expected=f"at most {DEEPEST} levels")


def _tag(tag: str) -> str:
    return _short(tag.replace(_CORE, "!!"))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
