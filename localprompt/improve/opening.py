"""A request → everything that a search needs, read and checked before a model is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import localprompt
from localprompt.errors import InputError, UnknownNameError
from localprompt.evaluate.loading import SUITE_FILES
from localprompt.improve.judging import HITS, metric_for
from localprompt.improve.labels import LabelWords, in_capitals, read_labels
from localprompt.improve.parts import Parts, label_of, split
from localprompt.improve.wordings import Wording, read_wordings
from localprompt.measure import machine
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.records import json
from localprompt.records.ids import new_run_id
from localprompt.records.improvement import Improvement, ImproveRequest
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.running.assemble import model_record, with_threads
from localprompt.sources.prompt.search import load_named_prompt
from localprompt.sources.suite.prompty import suite_from_prompt
from localprompt.sources.suite.records import EvalCase, EvalSuite

_JUDGED = "a model grades every answer that comes anew: the search takes its time as well"

FindModel = Callable[[str], ModelRecord]


class Setting(msgspec.Struct, frozen=True):
    """A search that can begin."""

    improvement: Improvement
    template: PromptTemplate
    parts: Parts
    own_wordings: tuple[Wording, ...]
    label_sets: tuple[LabelWords, ...]
    needs: frozenset[str]
    """What the cases' assertions need, as a suite has it."""
    metric: str = HITS
    """What candidates are ranked by; what was asked for, or what the cases suggest."""


def open_search(
    request: ImproveRequest,
    *,
    earlier: Improvement | None = None,
    find_model: FindModel = model_record,
) -> Setting:
    """Read the prompt, the cases and the wordings; find the model; split the cases.

    Args:
        earlier: the search to go on with.

    Raises:
        LocalPromptError: something is wrong with one of them, or the earlier search was about
            other cases, another prompt or other weights.
    """
    check_output(request.output)
    request = lasting(request)
    template = load_named_prompt(request.prompt)
    if request.prompt.lower().endswith(SUITE_FILES):
        raise InputError(
            "a suite is not a prompt",
            where=request.prompt,
            expected="a .prompty file or a prompt's name",
        )
    suite = _suite(template, request.cases)
    final = None if request.final is None else _suite(template, request.final)
    cases = list(suite.cases())
    final_cases = None if final is None else list(final.cases())
    everything = [*cases, *(final_cases or ())]
    metric = metric_for(everything, request.metric)
    _check_labels(everything, template)
    parts = split(
        cases,
        seed=request.seed,
        final=final_cases,
        choices=template.choices,
        force=request.force,
    )
    wordings = read_wordings(Path(request.wordings), template) if request.wordings else ()
    labels = _labels(request, template)
    if request.nearest_by is not None:
        find_model(request.nearest_by)  # whatever is wrong with it is said before anything runs
    model = _model(request, template, find_model)
    request = msgspec.structs.replace(
        request, settings=with_threads(request.settings), metric=metric
    )
    needs = suite.needs | (final.needs if final else frozenset())
    judged = (_JUDGED,) if "judge" in needs else ()
    improvement = Improvement(
        id=new_run_id() if earlier is None else earlier.id,
        kind="improve",
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        localprompt_version=localprompt.__version__,
        title=f"improve {template.name}",
        request=request,
        model=model,
        prompt=template.name,
        prompt_sha256=template.sha256,
        cases_sha256=_digest(everything),
        machine=machine.describe(),
        parts=parts.sizes(),
        notes=(*suite.notes, *parts.notes, *judged),
    )
    if earlier is not None:
        _check_same(earlier, improvement)
    return Setting(improvement, template, parts, wordings, labels, needs, metric)


def check_output(output: str | None) -> None:
    """
    Raises:
        InputError: the file exists already, or its name is not a prompt file's.
    """
    if output is None:
        return
    path = Path(output)
    if path.suffix != ".prompty":
        raise InputError(
            "the output is not a prompt file",
            where="--output",
            expected="a name that ends in .prompty",
            found=output,
        )
    for there in (path, path.with_suffix(".examples.jsonl")):
        if there.exists():
            raise InputError(
                "the file exists already", where=str(there), next_step="choose another name"
            )
    if not path.absolute().parent.is_dir():
        raise InputError("no such folder", where=str(path.absolute().parent))


def lasting(request: ImproveRequest) -> ImproveRequest:
    """The request with paths that mean the same from any folder."""

    def absolute(name: str | None) -> str | None:
        return str(Path(name).absolute()) if name and Path(name).is_file() else name

    return msgspec.structs.replace(
        request,
        prompt=absolute(request.prompt),
        cases=absolute(request.cases),
        final=absolute(request.final),
        wordings=absolute(request.wordings),
        labels=absolute(request.labels),
        output=None if request.output is None else str(Path(request.output).absolute()),
    )


def _suite(template: PromptTemplate, cases: str | None) -> EvalSuite:
    return suite_from_prompt(template, cases=None if cases is None else Path(cases))


def _check_labels(cases: list[EvalCase], template: PromptTemplate) -> None:
    """
    Raises:
        InputError: a case expects what no prompt can answer, since it is not a choice.
    """
    if not template.choices:
        return
    other = [case for case in cases if label_of(case) not in {"", *template.choices}]
    if other:
        more = f", and {len(other) - 1} more" if len(other) > 1 else ""
        raise InputError(
            "the expected answer is not one of the choices",
            where=other[0].where or None,
            expected=", ".join(template.choices),
            found=f"{label_of(other[0])!r}{more}",
        )


def _labels(request: ImproveRequest, template: PromptTemplate) -> tuple[LabelWords, ...]:
    """The user's sets of label words, and the choices in capitals.

    Raises:
        InputError: the file cannot be used.
    """
    own = read_labels(Path(request.labels), template.choices) if request.labels else ()
    large = None if template.label_words else in_capitals(template.choices)
    return own if large is None or large in own else (*own, large)


def _model(request: ImproveRequest, template: PromptTemplate, find_model: FindModel) -> ModelRecord:
    """The model that the user named, the prompt's own where it is known here, or the default."""
    if request.model is not None:
        return find_model(request.model)
    if template.model_id:
        try:
            return find_model(template.model_id)
        except UnknownNameError:
            pass  # prompt files from elsewhere name models of services
    return find_model(DEFAULT_MODEL)


def _digest(cases: list[EvalCase]) -> str:
    total = hashlib.sha256()
    for case in cases:
        total.update(json.encode(msgspec.structs.replace(case, where="")))
    return total.hexdigest()


def _check_same(earlier: Improvement, now: Improvement) -> None:
    """
    Raises:
        InputError: what the search is about has changed since it was cut off.
    """
    changed = {
        "cases": earlier.cases_sha256 != now.cases_sha256,
        "prompt": earlier.prompt_sha256 != now.prompt_sha256,
        "model": earlier.model.sha256 != now.model.sha256,
    }
    for what, different in changed.items():
        if different:
            raise InputError(
                f"the {what} changed since this search began",
                where=earlier.id,
                next_step="start a new search; equal answers are reused",
            )
