"""A suite and what the user chose → an evaluation: models × prompts, and how many cases each has.

Everything that can be wrong is found here, before a model is opened: unknown models, services
that nothing stands in for, judges that are not here.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import localprompt
from localprompt import doors
from localprompt.errors import InputError, UnknownNameError
from localprompt.evaluate.selection import Selection, select
from localprompt.measure import machine
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.records import json
from localprompt.records.cell import sampling_for
from localprompt.records.evaluation import EvalRequest, EvalTarget, Evaluation, Shard
from localprompt.records.ids import new_run_id
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import Machine
from localprompt.records.score import AnyExpectation, Expectation, ExpectationSet
from localprompt.running.assemble import follow_profile, model_record, with_threads
from localprompt.scoring.code_checks import split_code_file
from localprompt.sources.suite.records import EvalCase, EvalSuite, SuitePrompt, SuiteProvider
from localprompt.sources.suite.values import FILE

FindModel = Callable[[str], ModelRecord]


class Planned(msgspec.Struct, frozen=True):
    """An evaluation with what is needed to carry it out."""

    evaluation: Evaluation
    suite: EvalSuite
    selection: Selection

    def cases(self, target: EvalTarget) -> Iterator[EvalCase]:
        """The chosen cases that are for the target."""
        return (case for case in self.selection.of(self.suite.cases()) if is_for(case, target))


def plan_evaluation(
    suite: EvalSuite,
    request: EvalRequest,
    *,
    failing: frozenset[str] | None = None,
    find_model: FindModel = model_record,
    describe: Callable[[], Machine] = machine.describe,
) -> Planned:
    """Decide what is run; a pass over the chosen cases is part of it.

    Args:
        failing: ids of the cases that failed before, where only those are to be run.

    Raises:
        InputError: a provider is no model of ours and nothing stands in for it, two judges are
            named, or no cases to run.
        UnknownNameError, ModelMissingError: a model is not available.
    """
    selection = select(
        suite.counts.cases,
        limit=request.limit,
        shuffle=request.shuffle,
        seed=request.seed,
        ids=failing,
        shard=request.shard,
    )
    _check_shard(suite, request)
    if request.judge is not None:
        find_model(request.judge)  # a wrong name is said now, whether anything is judged or not
    repeat = request.repeat or suite.repeat
    targets = tuple(_followed(t, request) for t in _targets(suite, request, find_model))
    judge = judge_name(suite, request)
    chosen = whole = _count(selection.of(suite.cases()), targets)
    shard = None
    if request.shard is not None:
        whole = _count(selection.whole.of(suite.cases()), targets)
        judged_by = None if judge is None else find_model(judge).sha256
        shard = _part(request.shard, whole, repeat, judged_by)
    if not whole.cases:
        raise InputError("no cases to run", where=suite.path)
    evaluation = Evaluation(
        id=new_run_id(),
        kind="eval",
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        localprompt_version=localprompt.__version__,
        title=suite.name,
        path=str(Path(suite.path).absolute()),
        description=suite.description,
        request=msgspec.structs.replace(
            request, settings=with_threads(request.settings), judge=judge
        ),
        targets=tuple(
            msgspec.structs.replace(target, results=count * repeat)
            for target, count, of_whole in zip(
                targets, chosen.per_target, whole.per_target, strict=True
            )
            if of_whole
        ),
        cases=chosen.cases,
        repeat=repeat,
        cases_sha256=chosen.sha256,
        skipped_rows=suite.counts.skipped_rows,
        first_skipped=suite.counts.first_skipped,
        notes=(*suite.notes, *_stand_ins(targets, request)),
        machine=describe(),
        shard=shard,
    )
    return Planned(evaluation, suite, selection)


def _check_shard(suite: EvalSuite, request: EvalRequest) -> None:
    """
    Raises:
        InputError: a part of the cases cannot be answered without the others.
    """
    if request.shard is None:
        return
    if suite.in_turn:
        reason, found = "the cases of this suite see answers of earlier ones", suite.path
    elif request.scoring == "batch":
        reason, found = "the scoring looks at all cases together", "--scoring batch"
    else:
        return
    raise InputError(f"{reason}, so they cannot be split", where="--shard", found=found)


def plan_again(evaluation: Evaluation, suite: EvalSuite, failing: frozenset[str] | None) -> Planned:
    """The same plan for an evaluation that was cut off.

    Raises:
        InputError: the suite is no longer what it was, or this is another machine.
    """
    request = evaluation.request
    selection = select(
        suite.counts.cases,
        limit=request.limit,
        shuffle=request.shuffle,
        seed=request.seed,
        ids=failing,
        shard=request.shard,
    )
    _, digest, _ = _count(selection.of(suite.cases()), evaluation.targets)
    prompts = {prompt.label: prompt.template.sha256 for prompt in suite.prompts}
    same_prompts = all(prompts.get(t.prompt) == t.template.sha256 for t in evaluation.targets)
    if digest != evaluation.cases_sha256 or not same_prompts:
        what = "cases" if digest != evaluation.cases_sha256 else "prompts"
        raise InputError(
            f"the {what} have changed since this evaluation began",
            where=evaluation.path,
            next_step=f"localprompt eval {shlex.quote(request.suite)} (equal answers are kept)",
        )
    if evaluation.machine.id != machine.describe().id:
        raise InputError(
            "this evaluation was begun on another machine",
            expected=f"machine {evaluation.machine.id}",
            next_step=f"localprompt eval {shlex.quote(request.suite)}",
        )
    return Planned(evaluation, suite, selection)


def is_for(case: EvalCase, target: EvalTarget) -> bool:
    """Whether the case names neither other prompts nor other providers."""
    by_prompt = SuitePrompt(target.prompt, target.template, "").matches(case.prompts)
    names = case.providers
    by_provider = names is None or not target.provider or _selects(names, target)
    return by_prompt and by_provider


def judge_name(suite: EvalSuite, request: EvalRequest) -> str | None:
    """The model that grades: the user's choice, the suite's, or None: whoever answered.

    Raises:
        InputError: the suite names several judges, or one that is no model of ours.
        UnknownNameError: there is no such model.
    """
    if request.judge is not None or not suite.judges:
        return request.judge
    ours = [name.removeprefix("localprompt:") for name in suite.judges]
    if len(ours) > 1 or ":" in ours[0]:
        raise InputError(
            "the suite's judge is not available here",
            where=suite.path,
            expected="one local model",
            found=", ".join(suite.judges),
            next_step="--judge NAME makes a local model the judge of all",
        )
    return ours[0]


def _targets(
    suite: EvalSuite, request: EvalRequest, find_model: FindModel
) -> tuple[EvalTarget, ...]:
    records: dict[str, ModelRecord] = {}

    def record(name: str) -> ModelRecord:
        if name not in records:
            records[name] = find_model(name)
        return records[name]

    targets = []
    for provider, model in _answering(suite, request):
        for prompt in suite.prompts:
            if not prompt.matches(provider.prompts):
                continue
            found = record(model) if model else _own_model(prompt, record)
            options: dict[str, Any] = {**provider.options, **prompt.template.options}
            targets.append(
                EvalTarget(
                    model=found,
                    provider=provider.label,
                    provider_id=provider.id,
                    prompt=prompt.label,
                    template=_held(prompt.template, provider),
                    sampling=sampling_for(request.sampling, options),
                    results=0,
                    transform=provider.transform,
                    as_json=provider.as_json or prompt.as_json,
                )
            )
    return tuple(targets)


def _held(template: PromptTemplate, provider: SuiteProvider) -> PromptTemplate:
    """The template with the provider's tools, and held to its schema where it has none itself."""
    if provider.tools and not template.tools:
        template = msgspec.structs.replace(template, tools=provider.tools)
    if provider.output_schema is None or template.output_schema or template.choices:
        return template
    return msgspec.structs.replace(template, output_schema=provider.output_schema)


def _followed(target: EvalTarget, request: EvalRequest) -> EvalTarget:
    """The target, after a profile had its say."""
    if request.profile == "none":
        return target
    model, settings, use = follow_profile(
        target.model, request.settings, given=request.given, profile=request.profile
    )
    if use is None:
        return target
    return msgspec.structs.replace(
        target, model=model, settings=with_threads(settings), profile=use
    )


def _stand_ins(targets: tuple[EvalTarget, ...], request: EvalRequest) -> Iterator[str]:
    """Which prompts name a model that is not one of ours, so that another answers."""
    for target in targets:
        asked = target.template.model_id
        if request.models or target.provider_id or asked in (None, target.model.name):
            continue
        if asked != target.model.path:
            answers = f"{target.model.name} answers"
            yield f"no model here is called {asked!r}, which {target.prompt} names: {answers}"


def _answering(
    suite: EvalSuite, request: EvalRequest
) -> Iterator[tuple[SuiteProvider, str | None]]:
    """What the suite wants to be answered by, each with the model that does it.

    ``-m MODEL`` stands in for every provider; ``-m PROVIDER=MODEL`` for that one.

    Raises:
        InputError: a provider of another service is left.
    """
    plain, mapped = _mappings(suite, request)
    left = [provider for provider in suite.providers if provider.label not in mapped]
    for provider in suite.providers:
        if provider.label in mapped:
            yield provider, mapped[provider.label]
    if plain:
        yield from ((provider, name) for name in plain for provider in _stood_in_for(left))
        return
    if foreign := [provider for provider in left if provider.foreign]:
        raise InputError(
            "the suite is answered by services that are not on this machine",
            where=suite.path,
            expected="models of this machine",
            found=", ".join(provider.id for provider in foreign),
            next_step=f"-m MODEL for all of them, or -m {foreign[0].id}=MODEL",
        )
    for provider in left:
        yield provider, provider.id
    if not suite.providers:
        yield SuiteProvider(id="", label="", foreign=False), None


def _stood_in_for(providers: list[SuiteProvider]) -> list[SuiteProvider]:
    """What one model does in the place of providers: once for all that ask for the same of it, and
    once for each that holds answers to another form, has other tools or another transform."""
    kinds: list[list[SuiteProvider]] = []
    for provider in providers or [SuiteProvider(id="", label="", foreign=False)]:
        kind = next((kind for kind in kinds if _asked(kind[0]) == _asked(provider)), None)
        if kind is None:
            kinds.append([provider])
        else:
            kind.append(provider)
    if len(kinds) == 1:
        options = providers[0].options if len(providers) == 1 else {}
        own = {"id": "", "label": "", "foreign": False, "options": options, "prompts": None}
        return [msgspec.structs.replace(kinds[0][0], **own)]
    return [msgspec.structs.replace(kind[0], prompts=_prompts_of(kind)) for kind in kinds]


def _asked(provider: SuiteProvider) -> tuple[Any, ...]:
    """What a provider makes of an answer."""
    return provider.transform, provider.output_schema, provider.as_json, provider.tools


def _prompts_of(providers: list[SuiteProvider]) -> tuple[str, ...] | None:
    """The prompts that any of them is given."""
    lists = [provider.prompts for provider in providers]
    return None if None in lists else tuple(name for names in lists for name in names or ())


def _mappings(suite: EvalSuite, request: EvalRequest) -> tuple[list[str], dict[str, str]]:
    """``-m`` as models for all, and as models by provider's label."""
    plain: list[str] = []
    mapped: dict[str, str] = {}
    names = {p.id: p.label for p in suite.providers} | {p.label: p.label for p in suite.providers}
    for text in dict.fromkeys(request.models):
        provider, equals, model = text.partition("=")
        if not equals:
            plain.append(text)
        elif provider in names:
            mapped[names[provider]] = model
        elif doors.exists(text):
            plain.append(text)
        else:
            raise UnknownNameError(
                f"the suite has no provider {provider!r}",
                where="-m",
                nearest=tuple(p.id for p in suite.providers),
            )
    return plain, mapped


def _own_model(prompt: SuitePrompt, record: FindModel) -> ModelRecord:
    """The prompt's own model where it is known here, otherwise the default."""
    if prompt.template.model_id:
        try:
            return record(prompt.template.model_id)
        except UnknownNameError:
            pass  # prompt files from elsewhere name models of services
    return record(DEFAULT_MODEL)


class _Counted(NamedTuple):
    """Cases of an evaluation, all or a part of them."""

    cases: int
    sha256: str
    per_target: tuple[int, ...]
    """How many each target has."""


def _count(cases: Iterator[EvalCase], targets: tuple[EvalTarget, ...]) -> _Counted:
    digest, total, per_target = _CasesDigest(), 0, [0] * len(targets)
    for case in cases:
        total += 1
        digest.add(case)
        for index, target in enumerate(targets):
            per_target[index] += is_for(case, target)
    return _Counted(total, digest.hexdigest(), tuple(per_target))


def _part(
    numbers: tuple[int, int], whole: _Counted, repeat: int, judge_sha256: str | None
) -> Shard:
    """What a part says of the whole.

    Args:
        numbers: which part of how many.
        judge_sha256: of the weights of a judge that was named.
    """
    return Shard(
        *numbers,
        cases=whole.cases,
        cases_sha256=whole.sha256,
        results=tuple(count * repeat for count in whole.per_target if count),
        judge_sha256=judge_sha256,
    )


class _CasesDigest:
    """Of what cases ask and what is expected of the answers. Where they and the code beside them
    lie is left out: the same suite has the same digest in another folder and on another machine."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._code: dict[str, str] = {}
        """Digests of code files, by path."""

    def add(self, case: EvalCase) -> None:
        same_anywhere = msgspec.structs.replace(
            case,
            expectations=tuple(map(self._anywhere, case.expectations)),
            late=tuple(map(self._anywhere, case.late)),
            transforms=tuple(script.anywhere for script in case.transforms),
            where="",
        )
        self._digest.update(json.encode(same_anywhere))

    def hexdigest(self) -> str:
        return self._digest.hexdigest()

    def _anywhere(self, expected: AnyExpectation) -> AnyExpectation:
        if isinstance(expected, ExpectationSet):
            members = tuple(self._without_places(member) for member in expected.members)
            return msgspec.structs.replace(expected, members=members, where=None)
        return self._without_places(expected)

    def _without_places(self, expected: Expectation) -> Expectation:
        value = expected.value
        if expected.type == "python" and isinstance(value, str) and value.startswith(FILE):
            value = self._code_of(value)
        transform = expected.transform and expected.transform.anywhere
        return msgspec.structs.replace(expected, value=value, transform=transform, where=None)

    def _code_of(self, reference: str) -> str:
        """``file:///a/check.py:f`` → what stands in the file, and the function's name."""
        path, function = split_code_file(reference)
        if path not in self._code:
            found = doors.read_bytes(path) if doors.is_file(path) else path.encode()
            self._code[path] = hashlib.sha256(found).hexdigest()
        return f"{self._code[path]}:{function}"


def _selects(names: tuple[str, ...], target: EvalTarget) -> bool:
    return any(
        name in {target.provider, target.provider_id}
        or (name.endswith("*") and target.provider_id.startswith(name[:-1]))
        for name in names
    )
