"""Nunjucks templates, as promptfoo's prompts are, rewritten into Jinja2.

Nunjucks is a port of Jinja2 to JavaScript, so most templates are the same text in both. What
differs is rewritten token by token, keeping every line where it was, so that an error in the
result points to the right line of the original:

====================================  =====================================
``a === b``, ``a !== b``              ``a == b``, ``a != b``
``a && b``, ``a || b``, ``!a``        ``a and b``, ``a or b``, ``not a``
``null``, ``undefined``               ``none``
``items.length``                      ``items|length``
``name.toUpperCase()`` and the like   ``name.upper()``
``x | dump``                          ``x | tojson``, without its HTML escapes
``{{ env.NAME }}``                    the variable's value, as a literal
``{% for k, v in mapping %}``         over ``mapping.items()``
``{% elseif %}``, ``{% verbatim %}``  ``{% elif %}``, ``{% raw %}``
====================================  =====================================

What has no counterpart (``switch``, ``asyncEach``, JavaScript's ``?:``, regular expression
literals, other templates, array methods) is refused with its line. Two differences remain, since
they depend on values: ``+`` does not turn numbers into text, and booleans print as ``True``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from localprompt.errors import PromptFileError

_BLOCK = re.compile(r"\{\{|\{%|\{#")
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_RAW = re.compile(r"\{%-?\s*raw\b")
_RAW_END = re.compile(r"\{%-?\s*end(?:raw|verbatim)\s*-?%\}")

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<regex>r/(?:[^/\\\n]|\\.)+/[gimy]*)
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<name>[A-Za-z_$][\w$]*)
  | (?P<operator>===|!==|==|!=|<=|>=|&&|\|\||=>|\*\*|//|[-+*/%<>=!?:.,|()\[\]{}~])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_OPERATORS = {"===": "==", "!==": "!=", "&&": " and ", "||": " or ", "!": "not "}
_NAMES = {"null": "none", "undefined": "none"}
_METHODS = {
    "toUpperCase": "upper",
    "toLowerCase": "lower",
    "trim": "strip",
    "trimStart": "lstrip",
    "trimEnd": "rstrip",
    "startsWith": "startswith",
    "endsWith": "endswith",
    "replaceAll": "replace",
}
_REFUSED_METHODS = frozenset(
    {"charAt", "concat", "every", "filter", "find", "forEach", "includes", "indexOf", "map"}
    | {"match", "padEnd", "padStart", "pop", "push", "reduce", "repeat", "slice", "some"}
    | {"substr", "substring", "test", "toFixed", "toISOString", "toString"}
)
_REFUSED_FILTERS = {
    "load": "give the variable as an object in the suite instead",
    "nl2br": "it is of use in HTML only",
    "urlize": "it is of use in HTML only",
    "striptags": "it is of use in HTML only",
}
_REFUSED_TAGS = {
    "switch": "use if and elif",
    "case": "use if and elif",
    "default": "use if and elif",
    "endswitch": "use if and elif",
    "asyncEach": "use for",
    "asyncAll": "use for",
    "endeach": "use endfor",
    "endall": "use endfor",
    "ifAsync": "use if",
    "include": "a prompt is one file",
    "import": "a prompt is one file",
    "from": "a prompt is one file",
    "extends": "a prompt is one file",
    "block": "a prompt is one file",
}
_TAGS = {"elseif": "elif", "verbatim": "raw", "endverbatim": "endraw"}

_DUMP_UNESCAPED = "".join(
    f'|replace("\\\\u{ord(character):04x}", {json.dumps(character)})' for character in "<>&'"
)


def translate_nunjucks(
    text: str,
    *,
    where: str = "template",
    first_line: int = 1,
    env: Mapping[str, str] | None = None,
) -> str:
    """``text`` as a Jinja2 template with the same meaning and the same number of lines.

    Args:
        where: the file, for messages.
        first_line: its line on which ``text`` begins.
        env: what ``env.NAME`` stands for.

    Raises:
        PromptFileError: with the line of what has no counterpart in Jinja2.
    """
    return _Translation(text, where, first_line, env or {}).run()


class _Translation:
    """One template: finds the blocks, rewrites what stands in them, and knows the lines."""

    def __init__(self, text: str, where: str, first_line: int, env: Mapping[str, str]) -> None:
        self.text = text
        self.where = where
        self.first_line = first_line
        self.env = env

    def run(self) -> str:
        parts: list[str] = []
        position = 0
        while (opening := _BLOCK.search(self.text, position)) is not None:
            parts.append(self.text[position : opening.start()])
            position = self._end_of_block(opening)
            block = self.text[opening.start() : position]
            if opening.group() != "{#":
                block = self._block(block, opening.start())
            parts.append(block)
            if _RAW.match(block):
                end = _RAW_END.search(self.text, position)
                if end is None:
                    raise self.error(opening.start(), "a raw block is never closed", "{% endraw %}")
                parts.append(self.text[position : end.start()])
                parts.append(end.group().replace("endverbatim", "endraw"))
                position = end.end()
        parts.append(self.text[position:])
        return "".join(parts)

    def error(
        self, position: int, message: str, expected: str | None = None, found: str | None = None
    ) -> PromptFileError:
        """An error that names the line of ``position`` in the whole text."""
        line = self.text.count("\n", 0, position)
        return PromptFileError(
            message,
            where=f"{self.where}:{self.first_line + line}",
            expected=expected,
            found=found or self.text.split("\n")[line].strip(),
        )

    def _end_of_block(self, opening: re.Match[str]) -> int:
        """Behind the closing mark; marks inside strings do not count, except in comments."""
        closing = _CLOSING[opening.group()]
        position = opening.end()
        while opening.group() != "{#" and position < len(self.text):
            if self.text.startswith(closing, position):
                return position + 2
            token = _TOKEN.match(self.text, position)
            position = token.end() if token is not None and token["string"] else position + 1
        end = self.text.find(closing, opening.end())
        if end < 0:
            raise self.error(opening.start(), f"{opening.group()} is never closed", closing)
        return end + 2

    def _block(self, block: str, start: int) -> str:
        """One ``{{ … }}`` or ``{% … %}``."""
        left = 3 if block[2] == "-" else 2
        right = 3 if block[-3] == "-" and len(block) > left + 2 else 2
        inside = block[left : len(block) - right]
        rewrite = self._expression if block[1] == "{" else self._tag
        return block[:left] + rewrite(inside, start + left) + block[len(block) - right :]

    def _tag(self, inside: str, offset: int) -> str:
        match = re.match(r"(\s*)([A-Za-z]+)", inside)
        if match is None:
            raise self.error(offset, "a tag has no name", "if, for, set, …", inside.strip())
        space, name = match.groups()
        if name in _REFUSED_TAGS:
            message = f"the tag {name!r} has no counterpart in Jinja2"
            raise self.error(offset, message, _REFUSED_TAGS[name])
        rest, offset = inside[match.end() :], offset + match.end()
        pairs = re.match(r"(\s+\w+\s*,\s*\w+\s+in\s+)(.+?)(\s*)$", rest, re.DOTALL)
        if name == "for" and pairs is not None:
            targets, text, tail = pairs.groups()
            over = self._expression(text, offset + len(targets))
            again = " ".join(over.split("\n"))  # the lines are counted once
            both = f"({over}).items() if ({again}) is mapping else ({again})"
            return f"{space}for{targets}({both}){tail}"
        return space + _TAGS.get(name, name) + self._expression(rest, offset)

    def _expression(self, text: str, offset: int) -> str:
        return _Expression(self, text, offset).run()


class _Expression:
    """What stands between the marks of one block, token by token."""

    def __init__(self, template: _Translation, text: str, offset: int) -> None:
        self.template = template
        self.offset = offset
        self.tokens = list(_TOKEN.finditer(text))
        self.index = 0
        self.parts: list[str] = []

    def run(self) -> str:
        while self.index < len(self.tokens):
            token = self.tokens[self.index]
            if token["regex"]:
                raise self._error("regular expressions cannot be had in Jinja2")
            if token["name"]:
                self.parts.append(self._name(token.group()))
            elif token["operator"]:
                self.parts.append(self._operator(token.group()))
            else:
                self.parts.append(token.group())
            self.index += 1
        return "".join(self.parts)

    def _name(self, name: str) -> str:
        before, after = self._neighbour(-1), self._neighbour(1)
        if "$" in name:
            raise self._error(f"{name!r} is no name in Jinja2")
        if before == "|":
            return self._filter(name)
        if before == ".":
            return self._member(name, called=after == "(")
        if name == "env" and after in {".", "["}:
            return self._environment()
        if after == "=>" or name in {"function", "new", "typeof", "instanceof"}:
            raise self._error(f"{name!r} is JavaScript, not Nunjucks")
        return _NAMES.get(name, name)

    def _member(self, name: str, called: bool) -> str:
        if called and name in _REFUSED_METHODS:
            raise self._error(f"JavaScript's {name}() cannot be called", "a filter")
        if called:
            return _METHODS.get(name, name)
        if name != "length":
            return name
        while self.parts.pop() != ".":  # the dot of ``.length``, and white space behind it
            pass
        return "|length"

    def _filter(self, name: str) -> str:
        if name in _REFUSED_FILTERS:
            message = f"the filter {name!r} has no counterpart in Jinja2"
            raise self._error(message, _REFUSED_FILTERS[name])
        if name != "dump":
            return name
        indent = ""
        if self._neighbour(1) == "(":
            rest = [token.group() for token in self.tokens[self.index + 1 :]]
            end = rest.index(")") if ")" in rest else len(rest) - 1
            arguments = "".join(rest[:end]).strip().removeprefix("(")
            indent = f"(indent={arguments})" if arguments else ""
            self.index += end + 1
        return f"tojson{indent}{_DUMP_UNESCAPED}"

    def _environment(self) -> str:
        """``env.NAME`` or ``env["NAME"]`` as a literal."""
        start = self.index
        bracketed = self._neighbour(1) == "["
        self._advance(2)
        name = self.tokens[self.index].group().strip("'\"")
        if bracketed:
            self._advance(1)
        if name not in self.template.env:
            self.index = start
            raise self._error(
                f"the environment variable {name!r} is not set",
                "a variable of the environment, or of env in the suite",
            )
        return json.dumps(self.template.env[name], ensure_ascii=False)

    def _operator(self, operator: str) -> str:
        if operator == "?":
            raise self._error("JavaScript's '?' cannot be used", "a if condition else b")
        return _OPERATORS.get(operator, operator)

    def _neighbour(self, step: int) -> str:
        """The next token in that direction that is not white space; empty at the end."""
        index = self.index + step
        while 0 <= index < len(self.tokens):
            if not self.tokens[index]["space"]:
                return self.tokens[index].group()
            index += step
        return ""

    def _advance(self, count: int) -> None:
        """``count`` tokens on, white space not counted; stops at the last one."""
        while count and self.index + 1 < len(self.tokens):
            self.index += 1
            count -= not self.tokens[self.index]["space"]

    def _error(self, message: str, expected: str | None = None) -> PromptFileError:
        position = self.offset + self.tokens[self.index].start()
        return self.template.error(position, message, expected)


def variables_of(template: str) -> Iterator[str]:
    """The names that a Jinja2 template takes from outside, in alphabetical order.

    Raises:
        PromptFileError: it is no valid template.
    """
    import jinja2
    from jinja2 import meta

    try:
        tree = jinja2.Environment(autoescape=False).parse(template)  # noqa: S701 — plain text
    except jinja2.TemplateSyntaxError as error:
        raise PromptFileError(
            f"the template cannot be read: {error.message}", where=f"template:{error.lineno}"
        ) from error
    yield from sorted(meta.find_undeclared_variables(tree))
