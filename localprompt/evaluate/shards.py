"""An evaluation in parts, on machines that need not see each other.

    eval suite.yaml --shard 2/4 -o part2.jsonl       on each machine its own part
    runs merge part*.jsonl                           the evaluation, as if made in one go

Which part a case belongs to follows from its id alone: the same whoever computes it, and unchanged
for the cases that are there when others are appended. A part's file is JSON lines: a head with the
evaluation as it was planned, a line for each result, and an end with their number and digest, so
that half a copy is not taken for a whole. Parts are merged only if they are of one plan: suite,
cases, prompts, weights, sampling and version. Pass rates add up over machines; times do not, so
where parts come from several machines their results lose them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, TypeVar

import msgspec

import localprompt
from localprompt import doors
from localprompt.errors import DatasetError, InputError
from localprompt.evaluate.selection import part_of
from localprompt.records import json
from localprompt.records.evaluation import CaseResult, Evaluation, Shard
from localprompt.records.ids import new_run_id
from localprompt.records.model_use import ModelUse
from localprompt.store.history import History

T = TypeVar("T")

MOST_PARTS = 10_000
_SHARD = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")
_FORMAT = "localprompt-part"
_VERSION = 1
_MOST_NAMED = 5
_SAVED_AT_ONCE = 1000


class _Head(msgspec.Struct, frozen=True):
    """The first line of a part."""

    format: str
    version: int
    evaluation: Evaluation
    uses: tuple[ModelUse, ...]


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


def merge(paths: Sequence[Path], history: History) -> Evaluation:
    """Put parts together, and keep the whole in the history.

    Raises:
        DatasetError: a file is no part, is damaged or was cut off.
        InputError: the parts are not of one plan; one is missing, incomplete or there twice.
        HistoryError: the whole cannot be kept; nothing of it is.
    """
    heads = [(path, _read_head(path)) for path in paths]
    _check_one_plan(heads)
    _check_numbers(heads)
    for path, head in heads:
        for _ in _checked(path, head):
            pass
    machines = {head.evaluation.machine.id for _, head in heads}
    whole = _whole(heads, machines)
    history.begin(whole)
    for path, head in heads:
        _take_over(path, head, whole, history, timed=len(machines) == 1)
    return whole


def _read_head(path: Path) -> _Head:
    lines = _lines(path)
    first = next(lines, b"")
    try:
        head = msgspec.json.decode(first, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
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
    return head


def _check_version(path: Path, head: bytes) -> None:
    """
    Raises:
        DatasetError: another version of this program has written that head.
    """
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        other = msgspec.json.decode(head, type=_OtherHead)
        made_by = other.evaluation.localprompt_version
        if other.format == _FORMAT and made_by != localprompt.__version__:
            raise DatasetError(
                "this part is of a version of localprompt whose parts this one does not read",
                where=f"{path}:1",
                expected=f"localprompt {localprompt.__version__}",
                found=f"localprompt {made_by}",
                next_step="merge with the version that made the parts, or make them with this one",
            )


def _check_one_plan(heads: Sequence[tuple[Path, _Head]]) -> None:
    (first_path, first), *others = heads
    wanted = dict(_plan(first.evaluation))
    for path, head in others:
        for what, value in _plan(head.evaluation):
            if value != wanted[what]:
                raise InputError(
                    f"these are not parts of one evaluation: their {what} differ",
                    where=str(path),
                    expected=f"as in {first_path}: {_shown(wanted[what])}",
                    found=_shown(value),
                )


def _plan(evaluation: Evaluation) -> Iterator[tuple[str, Any]]:
    """What parts of one evaluation have in common, most telling first."""
    shard, request = _shard_of(evaluation), evaluation.request
    yield "versions of localprompt", evaluation.localprompt_version
    yield "suites", evaluation.title
    yield "cases", shard.cases_sha256
    yield "numbers of parts", shard.of
    yield "models", tuple(target.model.sha256 for target in evaluation.targets)
    yield "prompts", tuple((t.prompt, t.template.sha256) for t in evaluation.targets)
    yield "ways of sampling", tuple(target.sampling for target in evaluation.targets)
    yield "repetitions", evaluation.repeat
    yield "scorings", (request.scoring, request.choices)
    yield "chat templates", request.chat_template
    yield "judges", request.judge


def _check_numbers(heads: Sequence[tuple[Path, _Head]]) -> None:
    """Every part is there, once, and complete."""
    found: dict[int, Path] = {}
    of = _shard_of(heads[0][1].evaluation).of
    for path, head in heads:
        number = _shard_of(head.evaluation).number
        if number in found:
            raise InputError(
                f"part {number} of {of} appears twice",
                where=str(path),
                found=f"the same part in {found[number]}",
            )
        found[number] = path
    missing = [number for number in range(1, of + 1) if number not in found]
    if missing:
        named = ", ".join(map(str, missing[:_MOST_NAMED]))
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        raise InputError(
            f"{len(missing)} of {of} parts missing: {named}{more}",
            where=", ".join(str(path) for path, _ in heads[:_MOST_NAMED]),
            next_step=f"localprompt eval SUITE --shard {missing[0]}/{of} -o part{missing[0]}.jsonl",
        )


def _whole(heads: Sequence[tuple[Path, _Head]], machines: set[str]) -> Evaluation:
    first = heads[0][1].evaluation
    shard = _shard_of(first)
    made_on = ", ".join(
        sorted({f"{h.evaluation.machine.cpu or 'a CPU'} ({h.evaluation.machine.id[:8]})"
                for _, h in heads})
    )  # fmt: skip
    return msgspec.structs.replace(
        first,
        id=new_run_id(),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        request=msgspec.structs.replace(first.request, shard=None),
        targets=tuple(
            msgspec.structs.replace(target, results=results)
            for target, results in zip(first.targets, shard.results, strict=True)
        ),
        cases=shard.cases,
        cases_sha256=shard.cases_sha256,
        notes=(
            *first.notes,
            f"merged from {len(heads)} parts, made on {len(machines)} machine"
            f"{'' if len(machines) == 1 else 's'}: {made_on}",
        ),
        shard=None,
    )


def _take_over(
    path: Path, head: _Head, whole: Evaluation, history: History, *, timed: bool
) -> None:
    """The results of one part into the whole; its times too where all are of one machine."""
    results = _checked(path, head)
    while portion := list(islice(results, _SAVED_AT_ONCE)):
        if not timed:
            portion = [msgspec.structs.replace(result, timing=None) for result in portion]
        history.add(whole.id, portion)
    for use in head.uses:
        history.add_use(whole.id, use)


def _checked(path: Path, head: _Head) -> Iterator[CaseResult]:
    """The results of a part, each once and where it belongs, and all of them."""
    evaluation, shard = head.evaluation, _shard_of(head.evaluation)
    seen: set[tuple[int, int, int]] = set()
    for result in _results(path):
        place = (result.target, result.case_index, result.repetition)
        if place in seen or not 0 <= result.target < len(evaluation.targets):
            raise InputError(
                "a case appears twice in one part",
                where=f"{path}: {result.case_id}",
                expected="one result for each target and repetition",
            )
        if (own := part_of(result.case_id, shard.of)) != shard.number:
            raise InputError(
                "a case does not belong to its part",
                where=f"{path}: {result.case_id}",
                expected=f"part {own} of {shard.of}",
                found=f"part {shard.number}",
            )
        seen.add(place)
        yield result
    expected = sum(target.results for target in evaluation.targets)
    if len(seen) != expected:
        raise InputError(
            f"the part {shard.number} of {shard.of} is incomplete",
            where=str(path),
            expected=f"{expected} results",
            found=f"{len(seen)}",
            next_step=f"where it was made: localprompt eval --resume {evaluation.id} "
            f"-o {path.name}",
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
    if end != _End(count, digest.hexdigest()):
        raise _damaged(str(path), f"{count} results, where {end.results} were written")


def _decoded(line: bytes, kind: type[T], where: str) -> T:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
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


def _shard_of(evaluation: Evaluation) -> Shard:
    if evaluation.shard is None:
        raise InputError("not a part of an evaluation", where=evaluation.id)
    return evaluation.shard


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
