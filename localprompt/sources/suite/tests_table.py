"""The columns of a table of tests, as promptfoo's csv files have them.

Every column is a variable, but for those with two underscores: ``__expected`` (and
``__expected1``, ``__expected2`` …), ``__description``, ``__prefix``, ``__suffix``, ``__metric``,
``__threshold``, ``__metadata:key`` (``__metadata:tags[]`` for a list between commas),
``__config:__expected1:threshold``, and ``__id``, a case's own id. Another column with two
underscores is a variable as well, unless it looks like one of these misspelt.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from localprompt.errors import DatasetError

_EXPECTED = re.compile(r"__expected(\d*)")
_KNOWN = (
    "__expected, __expected1, __description, __prefix, __suffix, __metric,"
    " __threshold, __metadata:…, __config:__expected1:threshold or __id"
)
_NAMES = (
    "expected",
    "description",
    "prefix",
    "suffix",
    "metric",
    "threshold",
    "metadata",
    "config",
)
_MISSPELT = 0.8
_CONFIG = re.compile(r"__config:__expected(\d*):(\w+)")
_PLAIN = {
    "__description": "description",
    "__prefix": "prefix",
    "__suffix": "suffix",
    "__metric": "metric",
    "__id": "id",
}


def split_columns(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row's variables, and its test's own fields by promptfoo's names.

    The second holds ``expected`` (list of shorthand texts), ``thresholds`` (of those, by their
    number from 0), ``metadata``, and the plain columns without their underscores.

    Raises:
        DatasetError: a special column is misspelt, cannot be meant, or holds no number where one
            belongs.
    """
    variables: dict[str, Any] = {}
    fields: dict[str, Any] = {"expected": [], "thresholds": {}, "metadata": {}}
    for column, cell in row.items():
        if not column.startswith("__"):
            variables[column] = cell
        elif _EXPECTED.fullmatch(column):
            if str(cell).strip():
                fields["expected"].append((column, str(cell).strip()))
        elif column.startswith("__metadata:"):
            _add_metadata(fields["metadata"], column.removeprefix("__metadata:"), cell)
        elif (config := _CONFIG.fullmatch(column)) is not None and config[2] == "threshold":
            if str(cell).strip():
                fields["thresholds"][int(config[1] or 1) - 1] = _number(cell, column)
        elif column == "__threshold":
            fields["threshold"] = _number(cell, column) if str(cell).strip() else None
        elif column in _PLAIN:
            fields[_PLAIN[column]] = cell or None
        elif column == "__providerOutput":
            raise DatasetError(
                "the column '__providerOutput' is not supported: answers come from a model that"
                " runs here"
            )
        elif _means_a_special_one(column):
            raise DatasetError(f"the column {column!r} is not known", expected=_KNOWN)
        else:
            variables[column] = cell
    return variables, fields


def remarks(columns: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Columns that are taken for variables and may mean something else, each with what to say."""
    for column in columns:
        name = column.removeprefix("_")
        if column.startswith("_") and not name.startswith("_") and name.startswith(_NAMES):
            yield column, f"the column {column!r} is a variable; _{column} is not"
        elif column.startswith("__") and not _is_special(column):
            yield column, f"the column {column!r} is taken for a variable"


def _is_special(column: str) -> bool:
    return column in _PLAIN or column == "__threshold" or _means_a_special_one(column)


def _means_a_special_one(column: str) -> bool:
    """Whether a column is one of promptfoo's, or looks like one that is misspelt."""
    name = column.removeprefix("__").partition(":")[0]
    return name.startswith(_NAMES) or bool(
        difflib.get_close_matches(name, _NAMES, n=1, cutoff=_MISSPELT)
    )


def _add_metadata(metadata: dict[str, Any], key: str, cell: Any) -> None:
    if not str(cell).strip():
        return
    if key.endswith("[]"):
        parts = re.split(r"(?<!\\),", str(cell))
        metadata[key[:-2]] = [part.strip().replace("\\,", ",") for part in parts]
    else:
        metadata[key] = cell


def _number(cell: Any, column: str) -> float:
    try:
        number = float(cell)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"{column} is not a number", expected="a number", found=repr(cell))
    return number
