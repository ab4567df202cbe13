"""Checks that look at the answer as XML.

Elements that have to be there are named by their path from the outermost one: ``order.item.price``.
Where an element stands several times, its path goes on with a number (``order.item.0.price``), as
in promptfoo, which sees a list there. A document type of the answer's own is refused: it can make
gigabytes of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

import msgspec

from localprompt.records.score import Answer, Expectation
from localprompt.scoring.expectations import CannotScoreError, Verdict, quoted
from localprompt.scoring.text_checks import as_text

_TAG = re.compile(r"<(/?)([A-Za-z_:][\w:.-]*+)([^<>]*+)>")
_AROUND = "localprompt"
"""The element that pieces of an answer are put into, to be read as one document."""


class _NotXmlError(Exception):
    """It is not XML; the message says why."""


class _Element(msgspec.Struct):
    """An element whose end has not come yet."""

    name: str
    inside: dict[str, list[Any]]
    text: list[str]

    def value(self) -> Any:
        if not self.inside:
            return "".join(self.text).strip()
        return {name: many[0] if len(many) == 1 else many for name, many in self.inside.items()}


def is_xml(answer: Answer, expected: Expectation) -> Verdict:
    """The whole answer is one document with the elements that are asked for."""
    try:
        document = _read(answer.text)
    except _NotXmlError as error:
        return Verdict(False, f"the output is not XML: {error}")
    return _judged(document, _required(expected.value))


def contains_xml(answer: Answer, expected: Expectation) -> Verdict:
    """Somewhere in the answer stands an element, or elements side by side, with those asked for."""
    required = _required(expected.value)
    verdict = Verdict(False, "the output contains no XML")
    for piece in _pieces(answer.text):
        try:
            document = _read(f"<{_AROUND}>{piece}</{_AROUND}>")
        except _NotXmlError as error:
            verdict = Verdict(False, f"the output contains no XML: {error}")
            continue
        verdict = _judged(document[_AROUND], required)
        if verdict.met:
            return verdict
    return verdict


def _judged(document: Any, required: list[str]) -> Verdict:
    missing = [path for path in required if not _has(document, path.split("."))]
    if missing:
        return Verdict(False, f"the XML lacks {', '.join(map(quoted, missing))}")
    named = f" with {', '.join(map(quoted, required))}" if required else ""
    return Verdict(True, f"the output has XML{named}")


def _required(value: Any) -> list[str]:
    """The paths of a value: texts between commas, a list, or ``requiredElements``.

    Raises:
        CannotScoreError: it is something else.
    """
    if isinstance(value, dict) and value:
        value = value.get("requiredElements")
    if value is None or value in ("", {}):
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    if isinstance(value, list):
        return [as_text(part) for part in value]
    raise CannotScoreError("the elements are not a list of paths, such as order.item")


def _has(value: Any, path: list[str]) -> bool:
    for name in path:
        if isinstance(value, list):
            inside = {str(index): item for index, item in enumerate(value)}
        else:
            inside = value if isinstance(value, dict) else {}
        if name not in inside:
            return False
        value = inside[name]
    return True


def _read(text: str) -> dict[str, Any]:
    """A document as mappings: an element's children by name, several of one name as a list, and
    text where there are none.

    Raises:
        _NotXmlError: it is not well-formed, or has a document type of its own.
    """
    root = _Element("", {}, [])
    open_elements = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        inside = {f"@_{key}": [item] for key, item in attributes.items()}
        open_elements.append(_Element(name, dict(inside), []))

    def end(name: str) -> None:
        done = open_elements.pop()
        open_elements[-1].inside.setdefault(name, []).append(done.value())

    def doctype(name: str, system: str | None, public: str | None, has_subset: bool) -> None:
        if has_subset:
            raise _NotXmlError("it brings a document type of its own")

    def characters(part: str) -> None:
        open_elements[-1].text.append(part)

    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise _NotXmlError(str(error)) from None
    found: dict[str, Any] = root.value()
    return found


def _pieces(text: str) -> Iterator[str]:
    """What may be XML in a text: the elements that stand in no other one, first all of them with
    what is between them, then each."""
    open_tags: list[tuple[str, int]] = []
    found: list[tuple[int, int]] = []
    for tag in _TAG.finditer(text):
        closing, name, rest = tag.groups()
        if not closing:
            open_tags.append((name, tag.start()))
        if closing or rest.endswith("/"):
            if open_tags and open_tags[-1][0] == name:
                _, begin = open_tags.pop()
                while found and found[-1][0] > begin:
                    found.pop()  # it stands in this one
                found.append((begin, tag.end()))
            else:
                open_tags.clear()
    if len(found) > 1:
        yield text[found[0][0] : found[-1][1]]
    yield from (text[begin:end] for begin, end in found)
