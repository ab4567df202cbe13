"""The parts of an evaluation as files, on machines that need not see each other.

    eval suite.yaml --shard 2/4 -o part2.jsonl       on each machine its own part
    runs merge part*.jsonl                           :mod:`localprompt.evaluate.merging`

Which part a case belongs to follows from its id alone: the same whoever computes it, and unchanged
for the cases that are there when others are appended. A part's file is JSON lines: a head with the
evaluation as it was planned, a line for each result, and an end with their number and digest, so
that half a copy is not taken for a whole.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO, TypeVar

import msgspec

import localprompt
from localprompt import doors
from localprompt.errors import DatasetError, InputError
from localprompt.evaluate.selection import part_of
from localprompt.records import json
from localprompt.records.evaluation import CaseResult, Evaluation, Shard
from localprompt.records.json import decode_as
from localprompt.records.model_use import ModelUse
from localprompt.store.history import History

T = TypeVar("T")

MOST_PARTS = 10_000
_SHARD = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")
_FORMAT = "localprompt-part"
_VERSION = 1
_MOST_RESULTS = 10**12


class _Head(msgspec.Struct, frozen=True):
    """The first line of a part."""

    format: str
    version: int
    evaluation: Evaluation
    uses: tuple[ModelUse, ...]


class Part(msgspec.Struct, frozen=True):
    """A part that lies in a file, its results not read yet."""

    path: Path
    evaluation: Evaluation
    """As it was planned."""
    shard: Shard
    uses: tuple[ModelUse, ...]

    def results(self) -> Iterator[CaseResult]:
        """Its results, each once and where it belongs, and all of them.

        Raises:
            DatasetError: the file is damaged or was cut off.
            InputError: a result is missing, there twice, or belongs to another part.
        """
        return _checked(self)


class _MadeBy(msgspec.Struct, frozen=True):
    localprompt_version: str


class _OtherHead(msgspec.Struct, frozen=True):
    """What is read of the first line of a part that this version does not understand."""

    format: str
    evaluation: _MadeBy


class _End(msgspec.Struct, frozen=True):
    """Its last line."""

    results: int
    sha256: str
    """Of the lines of the results, line ends included."""


def parse_shard(text: str) -> tuple[int, int]:
    """``2/4`` → (2, 4).

    Raises:
        InputError: it is not a part of a number of parts.
    """
    match = _SHARD.fullmatch(text.strip())
    number, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= of <= MOST_PARTS:
        raise InputError(
            "not a part of an evaluation",
            where="--shard",
            expected=f"a part and how many there are, as 2/4; at most {MOST_PARTS:,}",
            found=text,
        )
    return number, of


def write_part(evaluation: Evaluation, history: History, stream: TextIO) -> None:
    """Write the results of a part that are there.

    Args:
        stream: UTF-8, opened with ``newline=""``.
    """
    head = _Head(_FORMAT, _VERSION, evaluation, tuple(history.uses(evaluation.id)))
    stream.write(json.encode(head).decode() + "\n")
    digest, count = hashlib.sha256(), 0
    for result in history.results(evaluation.id):
        line = json.encode(result).decode() + "\n"
        digest.update(line.encode())
        stream.write(line)
        count += 1
    stream.write(json.encode(_End(count, digest.hexdigest())).decode() + "\n")


def read_part(path: Path) -> Part:
    """
    Raises:
        DatasetError: the file is not a part, or is one of a version that this one does not read.
    """
    lines = _lines(path)
    first = next(lines, b"")
    try:
        head = decode_as(first, _Head)
    except msgspec.DecodeError as cause:
        _check_version(path, first)
        raise DatasetError(
            "not a part of an evaluation",
            where=f"{path}:1",
            expected="a file that eval --shard has written",
            found=str(cause)[:200],
        ) from cause
    if head.format != _FORMAT or head.version != _VERSION or head.evaluation.shard is None:
        _check_version(path, first)
        raise DatasetError(
            "not a part of an evaluation that this version reads",
            where=f"{path}:1",
            expected=f"{_FORMAT}, version {_VERSION}",
            found=f"{head.format}, version {head.version}",
        )
    part = Part(path, head.evaluation, head.evaluation.shard, head.uses)
    _check_sense(part)
    return part


def _check_sense(part: Part) -> None:
    """
    Raises:
        DatasetError: no plan has such numbers.
    """
    shard, targets = part.shard, part.evaluation.targets
    counts = (part.evaluation.repeat, shard.cases, *shard.results, *(t.results for t in targets))
    if not (
        1 <= shard.number <= shard.of <= MOST_PARTS
        and len(shard.results) == len(targets) > 0
        and all(0 <= count <= _MOST_RESULTS for count in counts)
    ):
        raise _damaged(f"{part.path}:1", f"no such part: {shard.number} of {shard.of}")


def _check_version(path: Path, head: bytes) -> None:
    """
    Raises:
        DatasetError: another version of this program has written that head.
    """
    with suppress(msgspec.DecodeError):
        other = decode_as(head, _OtherHead)
        made_by = other.evaluation.localprompt_version
        if other.format == _FORMAT and made_by != localprompt.__version__:
            raise DatasetError(
                "this part is of a version of localprompt whose parts this one does not read",
                where=f"{path}:1",
                expected=f"localprompt {localprompt.__version__}",
                found=f"localprompt {made_by}",
                next_step="merge with the version that made the parts, or make them with this one",
            )


def _checked(part: Part) -> Iterator[CaseResult]:
    evaluation, shard = part.evaluation, part.shard
    seen: set[tuple[int, int, int]] = set()
    for result in _results(part.path):
        place = (result.target, result.case_index, result.repetition)
        most = (len(evaluation.targets), _MOST_RESULTS, evaluation.repeat + 1)
        if not all(0 <= at < end for at, end in zip(place, most, strict=True)):
            raise _damaged(
                f"{part.path}: {result.case_id}", "a result of no case of the evaluation"
            )
        if place in seen:
            raise InputError(
                "a case appears twice in one part",
                where=f"{part.path}: {result.case_id}",
                expected="one result for each target and repetition",
            )
        if (own := part_of(result.case_id, shard.of)) != shard.number:
            raise InputError(
                "a case does not belong to its part",
                where=f"{part.path}: {result.case_id}",
                expected=f"part {own} of {shard.of}",
                found=f"part {shard.number}",
            )
        seen.add(place)
        yield result
    if len(seen) != evaluation.results:
        name = shlex.quote(part.path.name)
        raise InputError(
            f"the part {shard.number} of {shard.of} is incomplete",
            where=str(part.path),
            expected=f"{evaluation.results} results",
            found=f"{len(seen)}",
            next_step=f"where it was made: localprompt eval --resume {evaluation.id} -o {name}",
        )


def _results(path: Path) -> Iterator[CaseResult]:
    """The lines between head and end; the end has to be what it says."""
    digest, count = hashlib.sha256(), 0
    lines = _lines(path)
    next(lines, None)
    waiting = next(lines, b"")
    for number, line in enumerate(lines, start=2):
        digest.update(waiting)
        count += 1
        yield _decoded(waiting, CaseResult, f"{path}:{number}")
        waiting = line
    end = _decoded(waiting, _End, str(path))
    if count != end.results:
        raise _damaged(str(path), f"{count} results, where {end.results} were written")
    if digest.hexdigest() != end.sha256:
        raise _damaged(str(path), "other bytes than were written: a letter, or the ends of lines")


def _decoded(line: bytes, kind: type[T], where: str) -> T:
    try:
        return decode_as(line, kind)
    except msgspec.DecodeError as cause:
        raise _damaged(where, str(cause)[:200]) from cause


def _damaged(where: str, found: str) -> DatasetError:
    return DatasetError(
        "the part is damaged or was cut off",
        where=where,
        found=found,
        next_step="copy the file again",
    )


def _lines(path: Path) -> Iterator[bytes]:
    """
    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        with doors.open_file(path) as file:
            while line := file.readline(doors.MOST_TEXT_BYTES + 1):
                if len(line) > doors.MOST_TEXT_BYTES:
                    raise _damaged(str(path), "a line without an end")
                yield line
    except OSError as error:
        raise doors.refusal(error, str(path), DatasetError) from error
