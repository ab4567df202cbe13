"""Parts of an evaluation put together: the evaluation, as if it had been made in one go.

Parts are merged only if they are of one plan: suite, cases, prompts, weights, settings, sampling,
judge and version; where they lie and how many threads a machine has may differ. Pass rates add up
over machines, times do not: where parts come from machines of several kinds, every result names the
part that it was made in, as results of a cluster name their machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import InputError
from localprompt.evaluate.shards import Part, read_part
from localprompt.records import json
from localprompt.records.evaluation import CaseResult, EvalTarget, Evaluation
from localprompt.records.ids import new_run_id
from localprompt.records.model_use import ModelUse
from localprompt.records.run import RequestedSettings
from localprompt.store.history import History

_MOST_NAMED = 5
_SHOWN_DIGITS = 12
_SETTINGS = ("n_ctx", "type_k", "type_v", "flash_attn")
"""Those that may change an answer, as adapters do."""
_OWN: dict[str, str | None] = {"path": None, "cases": None, "grammar_path": None, "sha256": ""}
"""Fields of a template that say where it lies and how its lines end, as files of one's own may."""


_Trait = tuple[str, Any, str]
"""Something that all parts of one evaluation have in common: as after "their"; by what it is
compared; in words."""


def merge(paths: Sequence[Path], history: History) -> Evaluation:
    """Put parts together, and keep the whole in the history.

    Raises:
        DatasetError: a file is not a part, is damaged or was cut off.
        InputError: the parts are not of one plan; one is missing, incomplete or there twice.
        HistoryError: the whole cannot be kept; nothing of it is.
    """
    parts = [read_part(path) for path in paths]
    _check_one_plan(parts)
    _check_numbers(parts)
    parts.sort(key=lambda part: part.shard.number)
    kinds = {part.evaluation.machine.id for part in parts}
    whole = _whole(parts)
    history.adopt(whole, _results(parts, alike=len(kinds) == 1), _uses(parts))
    return whole


def _check_one_plan(parts: Sequence[Part]) -> None:
    first, *others = parts
    for part in others:
        for (what, wanted, wanted_text), (_, found, text) in zip(
            _traits(first), _traits(part), strict=True
        ):
            if found != wanted:
                raise InputError(
                    f"these are not parts of one evaluation: their {what} differ",
                    where=str(part.path),
                    expected=f"as in {first.path}: {wanted_text}",
                    found=text,
                    next_step="make one of them again as the other was made; "
                    "answers that are known are taken over",
                )


def _traits(part: Part) -> Iterator[_Trait]:
    """What parts of one evaluation have in common, most telling first."""
    evaluation, shard, request = part.evaluation, part.shard, part.evaluation.request
    targets, version = evaluation.targets, evaluation.localprompt_version
    yield "versions of localprompt", version, version
    yield "suites", evaluation.title, evaluation.title
    yield "numbers of parts", shard.of, f"part {shard.number} of {shard.of}"
    cases = f"{shard.cases} cases ({_short(shard.cases_sha256)})"
    yield "cases", shard.cases_sha256, cases
    models = dict.fromkeys((target.model.sha256, target.model.name) for target in targets)
    shown = ", ".join(f"{name} ({_short(sha256 or '')})" for sha256, name in models)
    yield "models", tuple(target.model.sha256 for target in targets), shown
    choices = f" of {', '.join(request.choices)}" if request.choices else ""
    yield "scorings", (request.scoring, request.choices), f"{request.scoring}{choices}"
    prompts = dict.fromkeys((target.prompt, _prompt_digest(target)) for target in targets)
    shown = ", ".join(f"{label} ({_short(digest)})" for label, digest in prompts)
    yield "prompts", tuple((t.prompt, _prompt_digest(t)) for t in targets), shown
    sampled = tuple(target.sampling for target in targets)
    yield "ways of sampling", sampled, _listed(sampled)
    used = tuple(_answer_settings(target.settings or request.settings) for target in targets)
    shown = "; ".join(dict.fromkeys(text for text, _ in used))
    yield "settings", tuple(value for _, value in used), shown
    yield "repetitions", evaluation.repeat, f"{evaluation.repeat}"
    template = request.chat_template
    shown = "the model's own" if template is None else f"another ({_digest(template)})"
    yield "chat templates", template, shown
    judge = shard.judge_sha256 or request.judge
    shown = f"{request.judge or 'the model that answered'} ({_short(shard.judge_sha256 or '')})"
    yield "judges", judge, shown
    shown = "allowed (--lenient)" if request.lenient else "errors"
    yield "ways with undefined variables", request.lenient, shown


def _prompt_digest(target: EvalTarget) -> str:
    """Of all that makes a prompt and what its answers are held to, wherever its files lie."""
    template = msgspec.structs.replace(target.template, **_OWN)
    transform = target.transform and target.transform.anywhere
    return _digest((template, transform, target.as_json))


def _answer_settings(settings: RequestedSettings) -> tuple[str, Any]:
    """Those that may change an answer, in words and to compare."""
    values = {name: getattr(settings, name) for name in _SETTINGS}
    shown = [f"{name} {value}" for name, value in values.items() if value is not None]
    shown += [f"adapter {adapter.label}" for adapter in settings.adapters]
    adapters = tuple((adapter.sha256, adapter.scale) for adapter in settings.adapters)
    return ", ".join(shown), (values, adapters)


def _check_numbers(parts: Sequence[Part]) -> None:
    """Every part is there, once."""
    found: dict[int, Path] = {}
    of = parts[0].shard.of
    for part in parts:
        number = part.shard.number
        if number in found:
            raise InputError(
                f"part {number} of {of} appears twice",
                where=str(part.path),
                found=f"the same part in {found[number]}",
            )
        found[number] = part.path
    missing = [number for number in range(1, of + 1) if number not in found]
    if missing:
        named = ", ".join(map(str, missing[:_MOST_NAMED]))
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        raise InputError(
            f"{len(missing)} of {of} parts missing: {named}{more}",
            where=", ".join(str(part.path) for part in parts[:_MOST_NAMED]),
            next_step=f"localprompt eval SUITE --shard {missing[0]}/{of} -o part{missing[0]}.jsonl",
        )


def _whole(parts: Sequence[Part]) -> Evaluation:
    first, shard = parts[0].evaluation, parts[0].shard
    machines = {part.evaluation.machine.id: part.evaluation.machine for part in parts}
    named = ", ".join(f"{one.cpu or 'a CPU'} ({one.id[:8]})" for one in machines.values())
    kinds = "one kind of machine" if len(machines) == 1 else f"{len(machines)} kinds of machine"
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
        notes=(*first.notes, f"merged from {len(parts)} parts, made on {kinds}: {named}"),
        shard=None,
    )


def _results(parts: Sequence[Part], *, alike: bool) -> Iterator[CaseResult]:
    """All results.

    Args:
        alike: the machines of all parts are of one kind, so that times may be put together.
    """
    for part in parts:
        for result in part.results():
            if alike:
                yield result
            else:
                yield msgspec.structs.replace(result, machine=_made_by(part, result.machine))


def _uses(parts: Sequence[Part]) -> Iterator[ModelUse]:
    """What the models took in each part, which is not that of one machine."""
    for part in parts:
        for use in part.uses:
            yield msgspec.structs.replace(
                use,
                hand=_made_by(part, use.hand),
                machine=use.machine or part.evaluation.machine,
                by_target=(),
            )


def _made_by(part: Part, hand: str | None) -> str:
    """What is told apart in the whole: the part, and who worked in it."""
    name = f"part {part.shard.number}"
    return name if hand is None else f"{hand}, {name}"


def _listed(records: Sequence[msgspec.Struct]) -> str:
    """What records have that is not the default."""
    texts = dict.fromkeys(
        ", ".join(
            f"{field.name} {getattr(one, field.name)}"
            for field in msgspec.structs.fields(one)
            if getattr(one, field.name) != field.default
        )
        or "greedy"
        for one in records
    )
    return "; ".join(texts)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.encode(value)).hexdigest()[:_SHOWN_DIGITS]


def _short(sha256: str) -> str:
    return sha256[:_SHOWN_DIGITS] or "unknown"
