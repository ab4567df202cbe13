"""Names and flags → a cell: the one place where models, prompts and parameters come together.

Everything that can be wrong with what the user typed is found here, before a model is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

from localprompt import doors
from localprompt.errors import InputError, ModelMissingError, UnknownNameError
from localprompt.measure import machine
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.models.checksum import sha256_of
from localprompt.models.inspect import inspect_model
from localprompt.models.resolve import ResolvedModel, mismatch, resolve
from localprompt.models.soundness import check_vocabulary
from localprompt.records.cell import (
    AfterUse,
    Cell,
    MemoryLimit,
    PrefixUse,
    SamplingChoices,
    sampling_for,
)
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import InputSpec, PromptTemplate
from localprompt.records.run import Kind, ProfileUse, RequestedSettings
from localprompt.running.form import AnswerForm
from localprompt.running.profiles import (
    DEFAULT,
    NONE,
    Profile,
    default_profile,
    follow,
    read_profile,
)
from localprompt.sources.prompt.params import parse_params
from localprompt.sources.prompt.search import load_named_prompt

ASK_TEMPLATE = PromptTemplate(
    name="", body="user:\n{{ text }}", inputs=(InputSpec("text", required=True),)
)
"""What ``ask`` runs: the text as it is, from the user, whatever it spells."""


class RunChoices(msgspec.Struct, frozen=True):
    """What a user chose on the command line, beside prompt and parameters."""

    model: str | None = None
    """None: the prompt's own model where it is known, otherwise the usual one."""
    usual: str = DEFAULT_MODEL
    """Where neither the user nor the prompt names a model."""
    sampling: SamplingChoices = SamplingChoices()
    settings: RequestedSettings = RequestedSettings()
    given: tuple[str, ...] = ()
    """Fields of the settings that the user typed: no profile changes those."""
    profile: str = NONE
    """A profile's name; ``default``: the model's own on this machine; ``none``: none."""
    chat_template: Path | None = None
    lenient: bool = False
    force: bool = False
    max_memory_bytes: int | None = None
    """The peak that the process may reach."""
    prefix: PrefixUse = "whole"
    after: AfterUse = "forget"
    """What becomes of the state after the answer."""
    form: AnswerForm = AnswerForm()


def ask_cell(text: str, choices: RunChoices) -> Cell:
    """The cell of a prompt typed in place.

    Raises:
        InputError: the text is empty.
        LocalPromptError: the model is not available; see :func:`model_record`.
    """
    if not text.strip():
        raise InputError("nothing to ask", next_step="localprompt ask 'Name three colours.'")
    return _cell("ask", choices.form.given_to(ASK_TEMPLATE), {"text": text}, choices)


def prompt_with_params(
    prompt: str, assignments: Sequence[str], read_stdin: Callable[[], str | None]
) -> tuple[PromptTemplate, dict[str, Any]]:
    """A prompt file and the values for its inputs.

    Args:
        prompt: name or path.
        assignments: ``name=value`` or ``name=@file`` each.
        read_stdin: asked only if a required input is still missing.

    Raises:
        UnknownNameError: no such prompt; with the nearest names.
        PromptFileError, ParameterError: the file or the parameters are wrong.
    """
    template = load_named_prompt(prompt)
    params = parse_params(assignments, template)
    needed = [spec for spec in template.inputs if spec.required and spec.name not in params]
    text = read_stdin() if needed else None
    if text is not None:
        params = parse_params(assignments, template, stdin=text)
    return template, params


def run_cell(template: PromptTemplate, params: dict[str, Any], choices: RunChoices) -> Cell:
    """The cell of a prompt file with its parameters.

    Raises:
        LocalPromptError: the model is not available; see :func:`model_record`.
    """
    return _cell("run", choices.form.given_to(template), params, choices)


def model_record(name_or_path: str) -> ModelRecord:
    """A model on this machine, with its identity checked.

    The sha256 of a file that was not seen before is computed now, which takes about a second
    per gigabyte; afterwards it is remembered.

    Raises:
        UnknownNameError, ModelMissingError: it is not known, or not here.
        ModelFileError: its header cannot be read.
        ChecksumError: it is not the file that its card describes.
    """
    found = resolve(name_or_path)
    info = inspect_model(found.path)
    if found.sha256 is None:
        check_vocabulary(found.path)
    return ModelRecord(
        name=found.name,
        path=str(found.path),
        sha256=_checked_sha256(found),
        architecture=info.architecture,
        quantization=info.file_type,
        parameters=info.parameters,
        size_bytes=info.size_bytes,
    )


def with_threads(settings: RequestedSettings) -> RequestedSettings:
    """The settings with the thread counts filled in: one per usable physical core."""
    threads = settings.n_threads or machine.default_threads()
    return msgspec.structs.replace(
        settings, n_threads=threads, n_threads_batch=settings.n_threads_batch or threads
    )


def with_profile(
    model: str | None,
    fallback: str,
    settings: RequestedSettings,
    *,
    given: Collection[str],
    profile: str,
) -> tuple[ModelRecord, RequestedSettings, ProfileUse | None]:
    """The model to run and its settings, after a profile had its say.

    Args:
        model: as the user typed it; None where nobody did.
        fallback: the model where none was typed, and no profile that was named says another.
        given: fields of the settings that the user typed.
        profile: as in :class:`RunChoices`.

    Raises:
        UnknownNameError: no profile, or no model, has that name.
        LocalPromptError: the model is not available; see :func:`model_record`.
    """
    named = profile not in {NONE, DEFAULT}
    asked = model_record(model or (read_profile(profile).model if named else fallback))
    return follow_profile(asked, settings, given=given, profile=profile)


def follow_profile(
    asked: ModelRecord, settings: RequestedSettings, *, given: Collection[str], profile: str
) -> tuple[ModelRecord, RequestedSettings, ProfileUse | None]:
    """As :func:`with_profile`, for a model that was found already."""
    if profile == NONE:
        return asked, settings, None
    found = default_profile(asked) if profile == DEFAULT else read_profile(profile)
    if found is None:
        return asked, settings, None
    followed = follow(found, asked.name, settings, given)
    # A model that is typed wins, unless it is the one that the profile is for.
    if asked.sha256 != found.model_sha256:
        return asked, followed.settings, followed.use
    try:
        return _used(found), followed.settings, followed.use
    except (UnknownNameError, ModelMissingError):
        if profile != DEFAULT:
            raise
        return asked, settings, None  # its weights were removed, and with them its reason


def _used(profile: Profile) -> ModelRecord:
    """The model that a profile runs; weights that were changed since are not those it is about.

    Raises:
        ModelMissingError: they are gone, or others.
        LocalPromptError: as :func:`model_record`.
    """
    found = model_record(profile.uses)
    if found.sha256 != profile.uses_sha256:
        raise ModelMissingError(
            f"the profile {profile.name} was made with different weights of {profile.uses}",
            where=found.path,
            expected=f"sha256 {profile.uses_sha256}",
            found=f"sha256 {found.sha256}",
            next_step=f"localprompt tune {profile.model}, or --profile none",
        )
    return found


def chat_template_text(path: Path | None) -> str | None:
    """The chat template that the user wants instead of the model's own.

    Raises:
        InputError: the file cannot be read.
    """
    if path is None:
        return None
    return doors.read_text(path, where=f"--chat-template {path}", most_bytes=doors.MOST_SMALL_BYTES)


def _cell(
    kind: Kind, template: PromptTemplate, params: dict[str, Any], choices: RunChoices
) -> Cell:
    model, settings, profile = with_profile(
        choices.model,
        _usual_model(template, choices.usual) if choices.model is None else DEFAULT_MODEL,
        choices.settings,
        given=choices.given,
        profile=choices.profile,
    )
    return Cell(
        kind=kind,
        model=model,
        template=template,
        params=params,
        sampling=sampling_for(choices.sampling, template.options),
        settings=with_threads(settings),
        profile=profile,
        chat_template=chat_template_text(choices.chat_template),
        lenient=choices.lenient,
        force=choices.force,
        limit=None
        if choices.max_memory_bytes is None
        else MemoryLimit(choices.max_memory_bytes, fixed=choices.given),
        prefix=choices.prefix,
        after=choices.after,
        complete_json=choices.form.complete_json,
    )


def _usual_model(template: PromptTemplate, usual: str) -> str:
    """The prompt's own model where it is known; prompt files from elsewhere name models of
    services, and those run on the usual one."""
    if template.model_id:
        try:
            resolve(template.model_id)
        except UnknownNameError:
            return usual
        return template.model_id
    return usual


def _checked_sha256(found: ResolvedModel) -> str:
    digest = sha256_of(found.path)
    if found.card is not None and digest != found.card.sha256:
        raise mismatch(found.card, f"sha256 {found.card.sha256}", f"sha256 {digest}")
    return digest
