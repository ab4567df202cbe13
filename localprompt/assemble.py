"""Names and flags → a cell: the one place where models, prompts and parameters come together.

Everything that can be wrong with what the user typed is found here, before a model is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from localprompt.catalog.cards import DEFAULT_MODEL
from localprompt.catalog.checksum import sha256_of
from localprompt.catalog.inspect import inspect_model
from localprompt.catalog.resolve import ResolvedModel, mismatch, resolve
from localprompt.errors import InputError, UnknownNameError
from localprompt.measure import machine
from localprompt.plan import Cell, SamplingChoices, sampling_for
from localprompt.records import (
    InputSpec,
    Kind,
    ModelRecord,
    PromptTemplate,
    RequestedSettings,
)
from localprompt.sources.params import parse_params
from localprompt.sources.prompt_search import load_named_prompt

ASK_TEMPLATE = PromptTemplate(
    name="", body="user:\n{{ text }}", inputs=(InputSpec("text", required=True),)
)
"""What ``ask`` runs: the text as it is, from the user, whatever it spells."""


class RunChoices(msgspec.Struct, frozen=True):
    """What a user chose on the command line, beside prompt and parameters."""

    model: str | None = None
    """None: the prompt's own model where it is known, otherwise the default."""
    sampling: SamplingChoices = SamplingChoices()
    settings: RequestedSettings = RequestedSettings()
    chat_template: Path | None = None
    lenient: bool = False
    force: bool = False


def ask_cell(text: str, choices: RunChoices) -> Cell:
    """The cell of a prompt typed in place.

    Raises:
        InputError: the text is empty.
        LocalPromptError: the model cannot be had; see :func:`model_record`.
    """
    if not text.strip():
        raise InputError(
            "there is nothing to ask", next_step="localprompt ask 'Name three colours.'"
        )
    return _cell("ask", ASK_TEMPLATE, {"text": text}, choices)


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
        LocalPromptError: the model cannot be had; see :func:`model_record`.
    """
    return _cell("run", template, params, choices)


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


def chat_template_text(path: Path | None) -> str | None:
    """The chat template that the user wants instead of the model's own.

    Raises:
        InputError: the file cannot be read.
    """
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "the chat template cannot be read",
            where=str(path),
            expected="a UTF-8 text file",
            found=str(error),
        ) from error


def _cell(
    kind: Kind, template: PromptTemplate, params: dict[str, Any], choices: RunChoices
) -> Cell:
    return Cell(
        kind=kind,
        model=_model(choices.model, template),
        template=template,
        params=params,
        sampling=sampling_for(choices.sampling, template.options),
        settings=with_threads(choices.settings),
        chat_template=chat_template_text(choices.chat_template),
        lenient=choices.lenient,
        force=choices.force,
    )


def _model(chosen: str | None, template: PromptTemplate) -> ModelRecord:
    if chosen is not None:
        return model_record(chosen)
    if template.model_id:
        # Prompt files from elsewhere name models of services; those run on the default.
        try:
            return model_record(template.model_id)
        except UnknownNameError:
            pass
    return model_record(DEFAULT_MODEL)


def _checked_sha256(found: ResolvedModel) -> str:
    digest = sha256_of(found.path)
    if found.card is not None and digest != found.card.sha256:
        raise mismatch(found.card, f"sha256 {found.card.sha256}", f"sha256 {digest}")
    return digest
