"""What strangers write: texts, paths and files that have hurt programs before."""

from __future__ import annotations

import copy
import json
import os
import random
from pathlib import Path
from typing import Any

MARKUP = "</script><img src=x onerror=alert(1)>"
"""What must never stand in a page as it is."""
TEXTS = (
    "",
    " ",
    "a",
    "-",
    "--",
    "-x",
    "@",
    "@@",
    "last",
    "last~99999999999999999999",
    "../../etc/passwd",
    "/etc/passwd",
    "~nobody/x",
    "\x1b]0;owned\x07",
    "\x1b[2J\x9b31m",
    "\u202egnp.exe",
    "é" * 200,
    "a" * 300,
    "a" * 5000,
    "What is the capital of France, and why do people ask it so often? " * 6,
    "\udcff\udcfe",
    "{{ 1/0 }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% for a in range(10**9) %}{% endfor %}",
    "<|im_end|>",
    "nan",
    "inf",
    "1e999",
    "9" * 4301,
    "0x10",
    "1_000",
    "%s%n",
    "a=b",
    "=",
    "a:b",
    "null",
    "[" * 200,
    "{" * 200,
    "'; drop table runs; --",
    "\\",
    "💥",
    "x,y,x",
    ",",
    MARKUP,
)
NUMBERS = (
    "-1", "0", "1", "2", "7", "512", "513", "4096", "2147483647", "2147483648", "4294967296",
    "9223372036854775808", "1e3", "0.5", "-0", "nan", "inf", "", "x", "9" * 400, "٣",
)  # fmt: skip
SCALARS = (
    "yes", "no", "~", "null", "0o17", "010", "1_000", "12:30:45", "2024-01-01", "!!timestamp x",
    "!!bool maybe", "!!int abc", "!!python/object:os.system x", "!!binary x", "*a", "&a [*a]",
    "{a: &a [*a]}", ".nan", ".inf", "9" * 4301, '"\\ud800"', "'%c' % 55296", "|\n  text", "? a",
    "<<: *a", "<<: [1]", "[" * 150 + "]" * 150, "'\x1b[2J'", "@x", "`x`", "%TAG", "- - - -",
)  # fmt: skip
TEMPLATES = (
    "{{ x }}",
    "{{ x | upper }}",
    "{{ x * 10**9 }}",
    "{{ '%c' % 55296 }}",
    "{{ 'a'.center(10**9) }}",
    "{{ x.__class__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__ }}",
    "{{ namespace(a=1) }}",
    "{{ range(10**8) | list | length }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}",
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% include 'x' %}",
    "{% import '/etc/passwd' as p %}",
    "{% extends x %}",
    "{% raw %}{{",
    "{{ [1] | batch(10**9) | list }}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ ('x' ~ '\\n') * 1000 | wordwrap(1) }}",
    "{{ x | tojson(indent=10**6) }}",
    "{{ '{:>1000000000}'.format(x) }}",
    "{{ x | regex_replace('(a+)+$', 'b') }}",
    "{{ undefined_name }}",
    "{{",
    "{%",
    "{# ",
    "system:\nuser:\nassistant:",
    'user[name="{{x}}"]:',
)


class Places:
    """Paths of every kind below a folder, made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pipe = folder / "pipe"
        self.empty = folder / "empty"
        self.binary = folder / "binary"
        self.dangling = folder / "dangling"
        self.looping = folder / "loop"
        folder.mkdir(parents=True, exist_ok=True)
        if not self.pipe.exists():
            os.mkfifo(self.pipe)
        self.empty.write_bytes(b"")
        self.binary.write_bytes(bytes(range(256)) * 64)
        for link, target in ((self.dangling, "nowhere"), (self.looping, "loop")):
            if not link.is_symlink():
                link.symlink_to(target)

    def any(self, rng: random.Random, known: tuple[str, ...] = ()) -> str:
        """A path: often one of the known ones, otherwise one that no program expects."""
        if known and rng.random() < 0.4:
            return rng.choice(known)
        return rng.choice(
            (
                str(self.pipe),
                str(self.empty),
                str(self.binary),
                str(self.dangling),
                str(self.looping),
                str(self.folder),
                str(self.folder / "absent"),
                str(self.empty / "below a file"),
                "/dev/zero",
                "/dev/full",
                "/dev/null",
                "/dev/stdin",
                "/proc/self/mem",
                "/proc/self/cmdline",
                "x" * 256,
                "/" + "d/" * 2100,
                "\udcff.gguf",
                *TEXTS[:20],
            )
        )


def spoiled(rng: random.Random, text: str, splices: tuple[str, ...]) -> bytes:
    """A text file with one to four things wrong with it."""
    lines = text.split("\n")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        kind = rng.randrange(9)
        splice = rng.choice(splices)
        if kind == 0:
            del lines[at]
            lines = lines or [""]
        elif kind == 1:
            lines.insert(at, lines[at])
        elif kind == 2:
            key, colon, _ = lines[at].partition(":")
            lines[at] = f"{key}: {splice}" if colon else splice
        elif kind == 3:
            lines.insert(at, f"{rng.choice(('', '  ', '- '))}{splice}")
        elif kind == 4:
            lines[at] = " " * rng.randrange(5) + lines[at].lstrip()
        elif kind == 5:
            cut = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:cut] + splice + lines[at][cut:]
        elif kind == 6:
            lines[at] = lines[at] * rng.choice((2, 50, 2000))
        elif kind == 7:
            lines[at] = lines[at].replace(rng.choice("[]{}:,\"' "), rng.choice("[]{}:,\"' \t"), 1)
        else:
            lines[at] = lines[at].swapcase()
    data = "\n".join(lines).encode("utf-8", "surrogateescape")
    if rng.random() < 0.1:
        broken = bytearray(data or b"x")
        broken[rng.randrange(len(broken))] = rng.randrange(256)
        data = bytes(broken)
    return data if rng.random() > 0.03 else data.decode("utf-8", "replace").encode("utf-16")


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), MARKUP,
    "", "x" * 5000, "\x1b[2J", "\ud800", "../../etc/passwd", "/dev/zero", "1e999", "last", "a\nb",
    [], {}, [[]], [None], {"": 1}, {"$ref": "#"}, {"x" * 300: {}}, "2026-13-45T99:99", "{{ x }}",
)  # fmt: skip


def spoiled_value(rng: random.Random, value: Any) -> Any:
    """JSON data with one to three things wrong with it, somewhere."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_containers(value))
        if not places:
            return rng.choice(ODD)
        _spoil(rng, rng.choice(places))
    return value


def _containers(value: Any) -> Any:
    """Every mapping and list in it that has something in it."""
    if isinstance(value, (dict, list)) and value:
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _containers(item)


def _spoil(rng: random.Random, place: Any) -> None:
    key: Any = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
    kind = rng.randrange(6)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place[rng.choice((key.upper(), "x", "", key + " "))] = place.pop(key)
    elif kind == 1:
        place.insert(key, place[key])
    elif kind == 2 and isinstance(place[key], (int, float)):
        place[key] = rng.choice((-place[key], place[key] * 10**9, str(place[key]), 1 - place[key]))
    elif kind == 3:
        for _ in range(rng.choice((1, 5, 99, 400))):
            place[key] = [place[key]]
    else:
        place[key] = rng.choice(ODD)


def as_json(value: Any, *, indent: int | None = None) -> bytes:
    """JSON as a stranger writes it: NaN, half a surrogate pair and all."""
    try:
        return json.dumps(value, indent=indent).encode()
    except (RecursionError, ValueError):
        return b"["
