"""The texts of pages that exist in more than one language.

A language is a TOML file in ``texts/``: keys to sentences, the same keys in each. Views ask for
``language("experiments.domain.title")``; what stands in braces is filled in. Numbers are written as
the language does, which is why they come through :meth:`Language.number` and not straight from
:mod:`localprompt.units`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from localprompt.errors import InputError, UnknownNameError
from localprompt.records.evidence import Condition, Figure, Unit
from localprompt.units import format_bytes, format_seconds

LANGUAGES = ("en", "pt-BR")
DEFAULT = "en"
_SWAPPED = str.maketrans(",.", ".,")


class NoSuchTextError(KeyError):
    """There are no words for this."""


@contextmanager
def words_for(path: Path) -> Iterator[None]:
    """Results that were read from a file may name what this version has no words for.

    Raises:
        InputError: they do.
    """
    try:
        yield
    except NoSuchTextError as error:
        raise InputError(
            "this version of localprompt has no words for a part of these results",
            where=str(path),
            found=str(error.args[0]),
            next_step="make the page with the version that wrote them",
        ) from error


class Language:
    """One language's texts.

    Args:
        code: one of :data:`LANGUAGES`.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self._texts = texts(code)
        self._swap_separators = self("format.decimal") == ","

    def __call__(self, key: str, **values: str) -> str:
        """The text of a key, with its gaps filled.

        Raises:
            NoSuchTextError: the language has no such text, or a gap of it is left; a bug, unless
                key and values come from a file (:func:`words_for`).
        """
        try:
            return self._texts[key].format(**values)
        except KeyError as error:
            raise NoSuchTextError(key) from error

    def knows(self, key: str) -> bool:
        return key in self._texts

    def about(self, figure: Figure) -> str:
        """What a figure is of: a word of the texts, or a name that is the same everywhere."""
        key = f"about.{figure.about}"
        return self(key) if self.knows(key) else figure.about

    def number(self, text: str) -> str:
        """A number that was written as in English."""
        return text.translate(_SWAPPED) if self._swap_separators else text

    def quantity(self, value: float, unit: Unit) -> str:
        """``0.123`` and ``share`` → ``12.3 %``."""
        match unit:
            case "bytes":
                text = format_bytes(value)
            case "seconds":
                text = format_seconds(value)
            case "usd":
                text = f"{_money(value)} USD" if abs(value) >= _CENT else _small_money(value)
            case "share":
                text = f"{100 * value:.{_share_decimals(value)}f} %"
            case "points":
                return self("format.points", value=self.number(f"{100 * value:+.1f}"))
            case "ratio":
                text = f"{_significant(value)} ×"
            case "per_hour":
                return self("format.per_hour", value=self.number(_significant(value)))
            case "count":
                text = f"{value:,.0f}"
            case "perplexity" | "loss":
                text = f"{value:.2f}"
        return self.number(text)

    def interval(self, figure: Figure) -> str:
        """``66.7 % to 81.9 %``; empty where there is none that its digits could show."""
        if figure.interval is None:
            return ""
        low = self.quantity(figure.interval.low, figure.unit)
        high = self.quantity(figure.interval.high, figure.unit)
        return "" if low == high else self("format.interval", low=low, high=high)

    def condition(self, condition: Condition, unit: Unit) -> str:
        """A condition of a rule, as a sentence without its full stop."""
        return self(
            f"rule.{condition.end}",
            figure=self(f"figures.{condition.figure}"),
            comparison=condition.comparison,
            bound=self.quantity(condition.bound, unit),
        )


@cache
def texts(code: str) -> dict[str, str]:
    """All texts of a language, by dotted key.

    Raises:
        UnknownNameError: there is no such language.
    """
    if code not in LANGUAGES:
        raise UnknownNameError(
            f"there is no language {code!r} here", where="--lang", nearest=LANGUAGES
        )
    file = resources.files("localprompt.views").joinpath("texts", f"{code}.toml")
    return dict(_flat(tomllib.loads(file.read_text("utf-8")), ""))


def _flat(table: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", " ".join(str(value).split())))
    return found


_CENT = 0.01


def _money(value: float) -> str:
    """Cents where there are any, and one more decimal where there are few."""
    size = abs(value)
    return f"{value:,.2f}" if size == 0 or size >= 0.995 else f"{value:.{2 if size >= 0.1 else 3}f}"


def _small_money(value: float) -> str:
    """Below a cent: ``11 µ$`` or ``1.8 m$``, in two digits."""
    if value == 0:
        return "0 USD"
    unit, size = ("m$", 1e-3) if abs(value) >= 1e-3 else ("µ$", 1e-6)
    return (
        f"{value / size:.2g} {unit}" if abs(value) / size < 99.5 else f"{value / size:.0f} {unit}"
    )


def _share_decimals(value: float) -> int:
    """100 % is 100 %, and what is not must not look like it."""
    return 0 if value in {0, 1} else 2 if value > 0.9995 else 1


def _significant(value: float) -> str:
    size = abs(value)
    return f"{value:,.0f}" if size >= 99.95 else f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"
