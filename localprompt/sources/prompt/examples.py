"""``metadata.localprompt.examples``: a pool of solved cases beside a prompt file.

    metadata:
      localprompt:
        examples:
          file: triage.examples.jsonl
          sha256: 3f0c…
          count: 4
          order: nearest-last
          fallback: 4

A row of the pool is ``{"vars": {…}, "answer": "…"}``. The digest is optional; where it is there, a
pool that was edited since is refused: what was proved of the prompt was proved with the old one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import PromptFileError
from localprompt.records.json import decode_as
from localprompt.records.prompt import EmbeddedBy, Example, NearestExamples
from localprompt.sources.prompt.front_matter import KeyLines
from localprompt.sources.prompt.references import inside_folder

MOST_POOL_BYTES = 16 * 1024**2
_KEY = ("metadata", "localprompt", "examples")
_ORDERS = ("nearest-last", "nearest-first")


class ExamplesKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in the front matter."""

    file: str
    count: int
    sha256: str | None = None
    order: str = "nearest-last"
    fallback: int = 0
    by: EmbeddedBy | None = None


def read_examples(prompt: Path, keys: ExamplesKeys, lines: KeyLines) -> NearestExamples:
    """The pool that a prompt file names.

    Raises:
        PromptFileError: it is not there, was edited since, or a row cannot be read.
    """
    where = lines.where((*_KEY, "file"))
    path = inside_folder(prompt.resolve().parent, keys.file, where)
    if keys.count < 1:
        raise PromptFileError(
            "no examples are asked for",
            where=lines.where((*_KEY, "count")),
            expected="a count of at least 1",
            found=str(keys.count),
        )
    if keys.order not in _ORDERS:
        raise PromptFileError(
            "unknown order",
            where=lines.where((*_KEY, "order")),
            expected=" or ".join(_ORDERS),
            found=keys.order,
        )
    data = _bytes(path, where)
    digest = hashlib.sha256(data).hexdigest()
    if keys.sha256 is not None and keys.sha256 != digest:
        raise PromptFileError(
            "the examples were changed since this prompt was made",
            where=str(path),
            expected=f"sha256 {keys.sha256}",
            found=f"sha256 {digest}",
            next_step=f"restore the file, or take sha256 out of {prompt}",
        )
    pool = _rows(data, path)
    if keys.by is not None:
        _check_vectors(pool, path)
    return NearestExamples(
        pool=pool,
        by=keys.by,
        count=keys.count,
        order="nearest-first" if keys.order == "nearest-first" else "nearest-last",
        fallback=keys.fallback,
    )


def pool_bytes(pool: Iterable[Example]) -> bytes:
    """A pool as its file has it."""
    return b"".join(msgspec.json.encode(example) + b"\n" for example in pool)


def _bytes(path: Path, where: str) -> bytes:
    try:
        if not path.is_file():
            raise FileNotFoundError
        if path.stat().st_size > MOST_POOL_BYTES:
            raise PromptFileError(
                "the file of examples is too large",
                where=str(path),
                expected=f"at most {MOST_POOL_BYTES:,} bytes",
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise PromptFileError("no such examples file", where=where, expected=path.name) from None
    except OSError as error:
        raise PromptFileError(
            f"cannot read the examples: {error.strerror}", where=str(path)
        ) from error


def _check_vectors(pool: tuple[Example, ...], path: Path) -> None:
    """
    Raises:
        PromptFileError: a row has no vector, or one of another length.
    """
    lengths = set()
    for number, example in enumerate(pool, start=1):
        try:
            found = len(base64.b64decode(example.vector or "", validate=True))
        except ValueError:
            found = 0
        lengths.add(found)
        if not found or found % 2 or len(lengths) > 1:
            raise PromptFileError(
                "an example without the vector that says what it is near to",
                where=f"{path}:{number}",
                expected="16-bit numbers in base64, as many in every row",
                next_step="take examples.by out of the prompt: words then say what is near",
            )


def _rows(data: bytes, path: Path) -> tuple[Example, ...]:
    rows = []
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append(decode_as(line, Example))
        except msgspec.DecodeError as error:
            raise PromptFileError(
                "not an example",
                where=f"{path}:{number}",
                expected='{"vars": {…}, "answer": "…"}',
                found=str(error),
            ) from error
    if not rows:
        raise PromptFileError("there are no examples", where=str(path), expected="at least one row")
    return tuple(rows)


def examples_keys(value: Any) -> ExamplesKeys:
    """The checked front matter as its record."""
    return msgspec.convert(value, ExamplesKeys)
