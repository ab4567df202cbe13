"""A ``.prompty`` file → :class:`~localprompt.records.prompt.PromptTemplate`.

Files of v1 are read through :mod:`localprompt.sources.prompt.v1`. What only a hosted service needs
(``model.connection``, ``tools``) is not resolved: a prompt written for one runs here without the
service's keys in the environment. What localprompt cannot do is noted in the record; reading
succeeds, rendering says why it does not.

Our own keys live under ``metadata.localprompt``: ``cases``, a dataset beside the file;
``choices``, the closed set of answers; ``label_words``, what the model says for them; ``scoring``
and ``bias``, how they are weighed; ``grammar``, a grammar's file beside the prompt or its text; and
``examples``, a pool of solved cases of which the nearest are shown.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from localprompt import doors
from localprompt.errors import PromptFileError
from localprompt.records.prompt import NearestExamples, PromptTemplate
from localprompt.sources.prompt.document import (
    RawDocument,
    load_document,
    read_raw,
    resolve_document,
)
from localprompt.sources.prompt.examples import examples_keys, read_examples
from localprompt.sources.prompt.front_matter import KeyLines
from localprompt.sources.prompt.properties import RICH_KINDS, input_specs, output_schema
from localprompt.sources.prompt.references import MOST_BYTES, inside_folder
from localprompt.sources.prompt.v1 import modernize
from localprompt.sources.yaml import word

__all__ = ["load_document", "load_prompt"]


def load_prompt(path: Path | str, *, env: Mapping[str, str] | None = None) -> PromptTemplate:
    """Read a prompt file of either version.

    Args:
        path: of the file.
        env: what ``${env:…}`` sees; the process's environment if it is left out.

    Raises:
        PromptFileError: with the file, line and key of what is wrong.
    """
    raw = read_raw(Path(path))
    return template_from(raw, env=env)


def template_from(raw: RawDocument, *, env: Mapping[str, str] | None = None) -> PromptTemplate:
    """The record of a file that was read; see :func:`load_prompt`."""
    modern, _ = modernize(raw.data)
    document = resolve_document(raw, _without_service(modern), env=env)
    model: dict[str, Any] = document.get("model") or {}
    metadata: dict[str, Any] = document.get("metadata") or {}
    ours: dict[str, Any] = metadata.get("localprompt") or {}
    template = document["template"]
    grammar = _grammar(raw.path, ours.get("grammar"), raw.lines)
    return PromptTemplate(
        name=document.get("name") or raw.path.stem,
        body=raw.matter.body,
        path=str(raw.path),
        sha256=hashlib.sha256(raw.bytes).hexdigest(),
        description=document.get("description"),
        model_id=model.get("id"),
        options=_options(model.get("options") or {}),
        inputs=input_specs(
            document.get("inputs") or [], strict=bool(template["format"].get("strict"))
        ),
        output_schema=output_schema(document.get("outputs"), ("outputs",), raw.lines),
        choices=tuple(word(choice) for choice in ours.get("choices") or ()),
        per_byte=ours.get("scoring") == "normalized",
        bias=_bias(ours, raw.lines),
        label_words=_label_words(ours, raw.lines),
        examples=_examples(raw.path, ours.get("examples"), raw.lines),
        grammar=None if grammar is None else grammar[0],
        grammar_path=None if grammar is None else grammar[1],
        cases=_cases(raw.path, ours.get("cases"), raw.lines),
        metadata=metadata,
        body_line=raw.matter.body_line,
        unsupported=tuple(_unsupported({**document, "tools": modern.get("tools")})),
    )


def _without_service(data: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in data.items() if key != "tools"}
    if isinstance(kept.get("model"), Mapping):
        kept["model"] = {key: value for key, value in kept["model"].items() if key != "connection"}
    return kept


def _options(options: Mapping[str, Any]) -> dict[str, Any]:
    """v2's names, with what stands under ``additionalProperties`` beside them."""
    named = {key: value for key, value in options.items() if value is not None}
    return {**(named.pop("additionalProperties", None) or {}), **named}


def _bias(ours: Mapping[str, Any], lines: KeyLines) -> dict[str, float]:
    """
    Raises:
        PromptFileError: it is of an answer that is not one of the choices.
    """
    bias = {word(choice): float(value) for choice, value in (ours.get("bias") or {}).items()}
    choices = [word(choice) for choice in ours.get("choices") or ()]
    for choice, value in bias.items():
        if choice not in choices or not math.isfinite(value):
            raise PromptFileError(
                f"the bias of {choice!r} cannot be used",
                where=lines.where(("metadata", "localprompt", "bias", choice)),
                expected=f"a number for one of: {', '.join(choices) or 'choices, of which none'}",
                found=str(value),
            )
    return bias


def _label_words(ours: Mapping[str, Any], lines: KeyLines) -> dict[str, str]:
    """
    Raises:
        PromptFileError: one is of an answer that is not one of the choices, is empty, or stands
            for two of them.
    """
    said = {word(c): word(w) for c, w in (ours.get("label_words") or {}).items()}
    choices = [word(choice) for choice in ours.get("choices") or ()]
    all_said = [said.get(choice, choice) for choice in choices]
    for choice, text in said.items():
        if choice not in choices or not text.strip() or all_said.count(text) > 1:
            raise PromptFileError(
                f"the word for {choice!r} cannot be used",
                where=lines.where(("metadata", "localprompt", "label_words", choice)),
                expected="a word of its own for one of: "
                f"{', '.join(choices) or 'choices, of which none'}",
                found=repr(text),
            )
    return said


def _examples(path: Path, keys: Any, lines: KeyLines) -> NearestExamples | None:
    return None if keys is None else read_examples(path, examples_keys(keys), lines)


def _cases(path: Path, name: str | None, lines: KeyLines) -> str | None:
    if name is None:
        return None
    where = lines.where(("metadata", "localprompt", "cases"))
    file = inside_folder(path.resolve().parent, name, where)
    if not doors.is_file(file):
        raise PromptFileError("no such file of cases", where=where, expected=str(file.name))
    return str(file)


def _grammar(path: Path, given: str | None, lines: KeyLines) -> tuple[str, str | None] | None:
    """A grammar's text, and the file that it stands in; a text of several words is no name."""
    if given is None:
        return None
    where = lines.where(("metadata", "localprompt", "grammar"))
    if re.search(r"\n|::=|^\s*start\s*:", given):
        return given, where
    file = inside_folder(path.resolve().parent, given.removeprefix("file://"), where)
    return read_grammar(file, where), str(file)


def read_grammar(file: Path, where: str) -> str:
    """
    Raises:
        PromptFileError: the file cannot be read, or is too large.
    """
    try:
        if not file.is_file():
            raise PromptFileError("no such grammar file", where=where, found=str(file))
        with file.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise PromptFileError(
            "the grammar cannot be read", where=where, found=str(error)
        ) from error
    if len(data) > MOST_BYTES:
        raise PromptFileError(
            "the grammar is too large", where=where, expected=f"at most {MOST_BYTES:,} bytes"
        )
    return text


def _unsupported(document: Mapping[str, Any]) -> Iterator[str]:
    template = document["template"]
    language, parser = template["format"]["kind"], template["parser"]["kind"]
    api = (document.get("model") or {}).get("apiType")
    if language not in ("jinja2", "*", ""):
        yield f"templates in {language}"
    if parser not in ("prompty", "*", ""):
        yield f"the parser {parser}"
    if api in ("embedding", "image"):
        yield f"the API {api}"
    if document.get("tools"):
        yield "tools"
    for entry in document.get("inputs") or ():
        if entry["kind"] in RICH_KINDS:
            yield f"the {entry['kind']} input {entry['name']!r}"
