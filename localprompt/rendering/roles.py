"""Segments → messages: where a conversation's turns begin.

A line ``system:``, ``user:``, ``assistant:`` or ``developer:`` of its own begins a turn; it may be
indented, begin with ``#`` and carry attributes, ``user[name="Ada", id=7]:``. What stands before the
first such line is the system's.

Only the template's own words can be such a line. The text is searched with every character that
came from a value blanked out, so that a value can neither be a role line nor help to form one; the
one exception is the value of an attribute that the template has put in quotes. Line breaks inside
values do not count as line breaks either.

A parameter of kind ``thread`` is a list of messages. It renders as a marker that no value can
forge, because markers count only where the template wrote them or the thread itself is the source.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast, get_args

from localprompt.errors import ParameterError
from localprompt.records.prompt import AttributeValue, Message, Role, Segment
from localprompt.rendering.traced import TracedText, from_segments, spans_of, to_segments

_BLANK = "\uffff"
_ROLE_LINE = re.compile(
    r"^[^\S\n]*+(?:#[^\S\n]*+)?(system|user|assistant|developer)(\[[^\n]*\])?[^\S\n]*+:[^\S\n]*+$",
    re.IGNORECASE | re.MULTILINE,
)
_ATTRIBUTE = re.compile(r'[^\S\n]*+(\w++)\s*+=\s*+(?:"([^"\n]*+)"|([^",\]\n]*+))\s*+(,|$)')
_INTEGER = re.compile(r"[+-]?\d{1,15}")
_FLOAT = re.compile(r"[+-]?(?:\d{1,15}\.\d{0,15}|\.\d{1,15}|\d{1,15})(?:[eE][+-]?\d{1,2})?")

Threads = Mapping[str, Sequence[Message]]


def parse_messages(
    segments: Iterable[Segment], threads: Threads | None = None
) -> tuple[Message, ...]:
    """Cut rendered text into messages and put threads in.

    Args:
        segments: the rendering, in order.
        threads: name of each thread parameter → its messages. Where the template mentions none
            of them, all come at the end, as in Prompty; beside one that it mentions, the others
            are left out.
    """
    text = from_segments(segments)
    messages = _turns(text) if text else iter(())
    return tuple(_with_threads(messages, threads) if threads else messages)


def thread_marker(name: str) -> str:
    """What stands for a thread while the template renders; different each time."""
    return f"__PROMPTY_THREAD_{secrets.token_hex(4)}_{name}__"


def read_thread(name: str, value: Any) -> tuple[Message, ...]:
    """A thread parameter's value → messages; their text counts as the parameter's.

    Args:
        name: of the parameter.
        value: ``[{"role": "user", "content": "…"}, …]``; the content may also be a list of text
            parts, ``[{"kind": "text", "value": "…"}]``.

    Raises:
        ParameterError: it has another form.
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise ParameterError(
            f"the parameter {name!r} is not a thread",
            expected='a list of messages, as [{"role": "user", "content": "…"}]',
            found=type(value).__name__,
        )
    return tuple(_read_message(f"{name}[{at}]", name, item) for at, item in enumerate(value))


def _turns(text: TracedText) -> Iterator[Message]:
    lines = list(_role_lines(text))
    before = text[: lines[0][0].start()] if lines else text
    if not lines or before.strip():
        yield Message("system", to_segments(before.strip("\n")))
    for at, (line, attributes) in enumerate(lines):
        end = lines[at + 1][0].start() if at + 1 < len(lines) else len(text)
        content = text[line.end() : end].strip("\n")
        role = cast("Role", line.group(1).lower())
        yield Message(role, to_segments(content), attributes)


def _role_lines(text: TracedText) -> Iterator[tuple[re.Match[str], dict[str, AttributeValue]]]:
    searched = "".join(
        span.text if span.origin == "template" else _BLANK * len(span.text)
        for span in spans_of(text)
    )
    for line in _ROLE_LINE.finditer(searched):
        attributes = _attributes(line, str.__str__(text))
        if attributes is not None:
            yield line, attributes


def _attributes(line: re.Match[str], text: str) -> dict[str, AttributeValue] | None:
    """The attributes in brackets; None where there is something else in the brackets.

    Found in the blanked text, read from the real one: a quoted value may come from a parameter.
    """
    if line.group(2) is None:
        return {}
    attributes: dict[str, AttributeValue] = {}
    at, end = line.start(2) + 1, line.end(2) - 1
    while at < end:
        found = _ATTRIBUTE.match(line.string, at, end)
        if found is None or (found.group(3) is not None and _BLANK in found.group(3)):
            return None
        key, quoted = found.group(1), found.group(2) is not None
        group = 2 if quoted else 3
        attributes[key] = _typed(text[found.start(group) : found.end(group)].strip())
        at = found.end()
    return attributes or None


def _typed(text: str) -> AttributeValue:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _with_threads(messages: Iterable[Message], threads: Threads) -> Iterator[Message]:
    names = "|".join(map(re.escape, sorted(threads, key=len, reverse=True)))
    marker = re.compile(rf"__PROMPTY_THREAD_[0-9a-f]{{8,16}}_({names})__")
    seen: set[str] = set()
    for message in messages:
        text = from_segments(message.segments)
        cursor = 0
        found_any = False
        for start, end, name in _markers(text, marker):
            found_any = True
            seen.add(name)
            yield from _part(message, text[cursor:start])
            yield from threads[name]
            cursor = end
        if found_any:
            yield from _part(message, text[cursor:])
        else:
            yield message
    if not seen:
        for thread in threads.values():
            yield from thread


def _markers(text: TracedText, marker: re.Pattern[str]) -> Iterator[tuple[int, int, str]]:
    offset = 0
    for span in spans_of(text):
        for found in marker.finditer(span.text):
            if span.origin == "template" or span.source == found.group(1):
                yield offset + found.start(), offset + found.end(), found.group(1)
        offset += len(span.text)


def _part(message: Message, text: str) -> Iterator[Message]:
    if text.strip():
        yield Message(message.role, to_segments(text.strip()), message.attributes)


def _read_message(where: str, name: str, item: Any) -> Message:
    role = item.get("role", "user") if isinstance(item, Mapping) else None
    content = item.get("content", "") if isinstance(item, Mapping) else None
    if isinstance(content, list):
        parts = [_text_part(part) for part in content]
        content = None if None in parts else "".join(part or "" for part in parts)
    if role not in get_args(Role) or not isinstance(content, str):
        raise ParameterError(
            f"the thread's message {where} cannot be read",
            expected=f"a role ({', '.join(get_args(Role))}) and a text as content",
            found=repr(item)[:80],
        )
    return Message(cast("Role", role), (Segment(content, name),) if content else ())


def _text_part(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("kind", part.get("type", "text")) == "text":
        text = part.get("value", part.get("text", ""))
        return text if isinstance(text, str) else None
    return None
