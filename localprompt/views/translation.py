"""What the program says around its results, in the language of the user: English, or Portuguese.

``LANGUAGE``, ``LC_ALL``, ``LC_MESSAGES`` and ``LANG`` say which, as with gettext. The catalogue is
a gettext ``.po`` file in ``texts/``, English as the key; what it does not have is said in English.
For English nothing is read, and every text is given back as it came.

Most messages are made where they are needed, with values in them. So they are translated where they
are shown: a key such as ``no model is called {0}`` stands for every text of that form, and what
stands in its gaps is put into the gaps of the translation. ``docs/catalogue.py`` collects the keys.

Answers, prompts, files and what programs read (``--json``, csv, jsonl) are never touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import NamedTuple

LANGUAGES = {"pt_BR": "pt-BR.po", "pt": "pt-BR.po"}
"""A locale's name → its catalogue."""
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
_GAP = re.compile(r"\{\d\}")


def language(environment: Mapping[str, str]) -> str | None:
    """The catalogue for this environment; None: English.

    The first variable that is set decides. It may list several languages; those that are not known
    are passed over, until one is English.
    """
    wanted = next((value for name in _VARIABLES if (value := environment.get(name))), "")
    for name in wanted.split(":"):
        locale = name.partition(".")[0].partition("@")[0]
        if locale in LANGUAGES:
            return LANGUAGES[locale]
        if locale.partition("_")[0] in {"en", "C", "POSIX"}:
            return None
    return None


class Form(NamedTuple):
    """A key with gaps: the texts between them, and what is said instead."""

    parts: tuple[str, ...]
    translation: str

    def filled(self, text: str) -> list[str] | None:
        """What stands in the gaps where the text has this form."""
        first, *between, last = self.parts
        if not text.startswith(first) or len(text) < len(first) + len(last):
            return None
        if not text.endswith(last):
            return None
        end = len(text) - len(last)
        at, values = len(first), []
        for part in between:
            found = text.find(part, at, end)  # of two gaps side by side the second has the text
            if found < 0:
                return None
            values.append(text[at:found])
            at = found + len(part)
        return [*values, text[at:end]]


class Catalogue:
    """One language's texts.

    Args:
        texts: English → translation; entries without one are left out.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._whole = {key: said for key, said in texts.items() if not _GAP.search(key)}
        forms = [
            Form(tuple(map(unescaped, _GAP.split(key))), said)
            for key, said in texts.items()
            if _GAP.search(key)
        ]
        # The one that says most by itself fits best: "no model {0}" before "no {0}".
        self._forms = sorted(forms, key=lambda form: -sum(map(len, form.parts)))

    def __call__(self, text: str, *, inside: bool = False) -> str:
        """The translation, or the text itself.

        Args:
            inside: it stood in a gap of another one; gaps are looked into only once.
        """
        if (said := self._whole.get(text)) is not None:
            return said
        for form in self._forms:
            if (values := form.filled(text)) is not None:
                if not inside:
                    values = [self(value, inside=True) for value in values]
                return form.translation.format(*values)
        return text


def unescaped(text: str) -> str:
    """A key with gaps writes braces of its own twice."""
    return text.replace("{{", "{").replace("}}", "}")


def read_po(text: str) -> Iterator[tuple[str, str]]:
    """The entries of a catalogue: key and translation, "" where there is none yet."""
    fields: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        word, _, rest = line.partition(" ")
        if word in {"msgid", "msgstr"}:
            name, fields[word] = word, json.loads(rest)
        elif line.startswith('"') and name:
            fields[name] += json.loads(line)
        elif fields.get("msgid"):
            yield fields["msgid"], fields.get("msgstr", "")
            fields, name = {}, ""
        elif not line.startswith("#"):
            fields, name = {}, ""


def read_catalogue(file: str) -> Catalogue:
    """The catalogue of that name in ``texts/``."""
    text = resources.files("localprompt.views").joinpath("texts", file).read_text("utf-8")
    return Catalogue({key: said for key, said in read_po(text) if said})


_spoken: list[Catalogue] = []
"""The one catalogue that is spoken; empty: English."""
PORTUGUESE = "pt-BR"
"""The one language beside English, as pages call it."""


def speak(catalogue: Catalogue | None) -> None:
    """From now on, for this process; None: English."""
    _spoken[:] = [] if catalogue is None else [catalogue]


def speak_code(code: str) -> None:
    """As :func:`speak`, by what pages call a language."""
    speak(read_catalogue(LANGUAGES["pt"]) if code == PORTUGUESE else None)


def spoken_code() -> str:
    """What pages call the language that is spoken."""
    return PORTUGUESE if _spoken else "en"


def speaking() -> bool:
    """Whether anything else than English is spoken."""
    return bool(_spoken)


def to_translate(text: str) -> str:
    """Marks a text for the catalogue that is translated later, where it is shown."""
    return text


def translated(text: str) -> str:
    """The text as the user reads it."""
    return _spoken[0](text) if _spoken else text
