"""A stored run → the same cell again, and what is different where its answer is.

The prompt is read from where it was, the parameters and the sampling come from the record. Whether
the model receives the same tokens is told from their digest; whether it answers the same from the
text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from localprompt.errors import ChecksumError, InputError, UnknownNameError
from localprompt.models.adapters import as_recorded
from localprompt.models.resolve import resolve
from localprompt.records.cell import Cell, SamplingChoices
from localprompt.records.prompt import Message, PromptTemplate
from localprompt.records.run import RequestedSettings, RunRecord, Sampling
from localprompt.rendering.prompt import render_messages
from localprompt.running.assemble import ASK_TEMPLATE, RunChoices, model_record, run_cell
from localprompt.sources.prompt.search import load_named_prompt

_SETTINGS = tuple(field for field in RequestedSettings.__struct_fields__)


def prompt_of(run: RunRecord, params: Mapping[str, Any]) -> tuple[PromptTemplate, dict[str, Any]]:
    """The run's prompt as it is now, and its parameters with these in their place.

    Raises:
        InputError: the run keeps no prompt.
        UnknownNameError, PromptFileError: its file is gone, or no longer a prompt.
    """
    if run.kind == "ask" or (run.kind == "chat" and run.prompt.path is None):
        return ASK_TEMPLATE, {**run.prompt.params, **params}
    where = run.prompt.path or run.prompt.name
    if where is None:
        raise InputError("this run has no prompt to run again", where=run.id)
    return load_named_prompt(where), {**run.prompt.params, **params}


def again_cell(run: RunRecord, params: Mapping[str, Any], choices: RunChoices) -> Cell:
    """The run's prompt, parameters, model and sampling, with what was chosen in their place.

    Raises:
        as :func:`prompt_of`, and where the model is not available.
    """
    template, values = prompt_of(run, params)
    model = choices.model or called(run)
    cell = run_cell(template, values, with_adapters(run, choices, model))
    return msgspec.structs.replace(
        cell,
        kind=run.kind,
        sampling=chosen_sampling(run.sampling, choices.sampling),
        before=_before(run, cell),
        conversation=run.conversation,
    )


def repeat_cell(run: RunRecord) -> Cell:
    """The run exactly: the same weights, settings, prompt and sampling.

    Raises:
        ChecksumError: the model's file has another content now.
        as :func:`prompt_of`, and where the model is not available.
    """
    template, values = prompt_of(run, {})
    model = model_record(called(run))
    if run.model.sha256 is not None and model.sha256 != run.model.sha256:
        raise ChecksumError(
            "the model's file has changed since",
            where=run.model.path,
            expected=f"sha256 {run.model.sha256}",
            found=f"sha256 {model.sha256}",
            next_step="localprompt run --again takes the model as it is",
        )
    as_recorded(run.settings.adapters)
    settings = RequestedSettings(**{name: getattr(run.settings, name) for name in _SETTINGS})
    cell = Cell(
        kind=run.kind,
        model=msgspec.structs.replace(model, name=run.model.name),
        template=template,
        params=values,
        sampling=msgspec.structs.replace(run.sampling, grammar_sha256=None),
        settings=settings,
        prefix="apart",
    )
    return msgspec.structs.replace(cell, before=_before(run, cell), conversation=run.conversation)


def with_adapters(run: RunRecord, choices: RunChoices, model: str) -> RunChoices:
    """The choices with a model, and with the run's adapters where neither was chosen.

    Raises:
        ModelMissingError, ChecksumError: one is gone, or is not what it was.
    """
    settings = choices.settings
    if choices.model is None and not settings.adapters:
        settings = msgspec.structs.replace(settings, adapters=as_recorded(run.settings.adapters))
    return msgspec.structs.replace(choices, model=model, settings=settings)


def _before(run: RunRecord, cell: Cell) -> tuple[Message, ...]:
    """The conversation that the run's own messages went on from."""
    if run.conversation is None:
        return ()
    own = render_messages(cell.template, cell.params)
    return run.prompt.messages[: max(0, len(run.prompt.messages) - len(own))]


def called(run: RunRecord) -> str:
    """What the run's model is called now: its name, or its file where that name is gone."""
    try:
        resolve(run.model.name)
    except UnknownNameError:
        return run.model.path
    return run.model.name


def differences(before: RunRecord, now: RunRecord) -> Iterator[str]:
    """What could be the reason where answers differ: ``build 1234 → 1240``."""
    pairs = {
        "model": (before.model.sha256, now.model.sha256),
        "prompt file": (before.prompt.sha256, now.prompt.sha256),
        "tokens of the prompt": (before.prompt.token_ids_sha256, now.prompt.token_ids_sha256),
        "constraint": (before.sampling.grammar_sha256, now.sampling.grammar_sha256),
        "llama.cpp build": (before.machine.llama_cpp_build, now.machine.llama_cpp_build),
        "CPU": (before.machine.cpu, now.machine.cpu),
        "CPU features": (before.machine.cpu_features, now.machine.cpu_features),
        "localprompt": (before.localprompt_version, now.localprompt_version),
        "tokens reused": (before.tokens.reused, now.tokens.reused),
    }
    for name in _SETTINGS:
        pairs[name] = (getattr(before.settings, name), getattr(now.settings, name))
    for name, (old, new) in pairs.items():
        if old != new:
            yield name if _is_long(old) or _is_long(new) else f"{name} {old} → {new}"


def _is_long(value: object) -> bool:
    return len(str(value)) > 40


def chosen_sampling(was: Sampling, choices: SamplingChoices) -> Sampling:
    """A run's sampling, with what was chosen in its place."""
    chosen = {
        name: value
        for name, value in msgspec.structs.asdict(choices).items()
        if value is not None and value != ()
    }
    return msgspec.structs.replace(was, grammar_sha256=None, **chosen)
