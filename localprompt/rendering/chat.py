"""Messages → the one text that the model receives, each stretch with its origin.

A chat model was trained on conversations written in one particular way; the GGUF carries that way
as a Jinja2 *chat template*. It comes from whoever made the file, so it runs in the same sandbox as
a prompt. Its environment is the one that these templates are written for: ``trim_blocks`` and
``lstrip_blocks``, loop controls, ``tojson`` without HTML escapes, ``raise_exception``,
``strftime_now``, ``tools`` and ``documents`` set to None.

Origins matter most here. Only what the *chat template* wrote may become a control token; what a
prompt file or a value wrote is plain text, whatever it spells. Where a template takes text from a
message and changes it, the result counts as a value's, and ``rewritten`` says that some origins
are not known exactly.

Some models have no system role and their templates raise on one (Gemma does). The system text is
then put before the first user's text, separated by a blank line, and ``system_folded`` says so.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from localprompt.errors import PromptFileError
from localprompt.records.json import well_formed
from localprompt.records.prompt import Message, Origin, Segment, Span
from localprompt.rendering.budget import BudgetExceededError, Limits
from localprompt.rendering.traced import TracedText, from_segments, spans_of, traced

if TYPE_CHECKING:
    import jinja2

__all__ = ["ChatPrompt", "Origin", "Span", "apply_chat_template", "plain_completion"]

_SEPARATOR = "\n\n"
_LONGEST_LAYOUT = 200
"""Of strftime, whose output can be 256 times as long."""


class ChatPrompt(msgspec.Struct, frozen=True):
    """A rendered conversation."""

    spans: tuple[Span, ...]
    """Their texts, joined, are the prompt."""
    rewritten: bool = False
    """The template changed the text of a message; origins are then approximate, and careful:
    such text counts as a variable's."""
    system_folded: bool = False
    """The template refused the system role; the text was put before the first user's."""

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


def apply_chat_template(
    template: str,
    messages: Sequence[Message],
    *,
    bos_token: str,
    eos_token: str,
    tools: Sequence[Mapping[str, Any]] = (),
    add_generation_prompt: bool = True,
    limits: Limits | None = None,
) -> ChatPrompt:
    """Render messages as the model was trained to see them.

    An empty assistant turn at the end (a prompt file that ends in ``assistant:``) is left out,
    because the generation prompt stands for it.

    Args:
        template: Jinja2 text, from the GGUF or in its place.
        messages: the conversation.
        bos_token: text of the begin-of-text token, "" for none; likewise ``eos_token``.
        tools: definitions of functions that the model may call.
        add_generation_prompt: end with the beginning of the assistant's turn.
        limits: what the rendering may cost.

    Raises:
        PromptFileError: the template has an error, or refuses the conversation.
        TemplateLimitError: it runs or grows without end.
    """
    from localprompt.rendering.environment import run
    from localprompt.rendering.failures import Place, TemplateRefusalError

    if add_generation_prompt:
        messages = _without_open_turn(messages)
    limits = limits or Limits()
    place = Place("chat template")
    values = {
        "bos_token": traced(bos_token, "chat_template"),
        "eos_token": traced(eos_token, "chat_template"),
        "add_generation_prompt": add_generation_prompt,
        "tools": list(tools) or None,
        "documents": None,
    }

    def render(turns: Sequence[Message]) -> TracedText:
        given = [_turn(message, knows_developer="developer" in template) for message in turns]
        return run(_compiled(template, limits), {"messages": given, **values}, place, limits)

    folded = False
    try:
        text = render(messages)
    except TemplateRefusalError as refusal:
        if not any(message.role in ("system", "developer") for message in messages):
            raise _refused(refusal) from None
        try:
            text, folded = render(_fold_system(messages)), True
        except TemplateRefusalError as again:
            raise _refused(again) from None
    spans = tuple(
        msgspec.structs.replace(span, text=well_formed(span.text)) for span in spans_of(text)
    )
    unknown = any(span.origin == "variable" and span.source is None for span in spans)
    return ChatPrompt(spans, rewritten=unknown, system_folded=folded)


def plain_completion(messages: Sequence[Message]) -> tuple[Span, ...]:
    """The contents joined by a blank line, for base models; role names are not shown."""
    texts = [text for text in (_text(message) for message in messages) if text]
    return spans_of(traced(_SEPARATOR, "template").join(texts))


def _text(message: Message) -> TracedText:
    return from_segments(message.segments)


def _turn(message: Message, *, knows_developer: bool) -> dict[str, Any]:
    role = "system" if message.role == "developer" and not knows_developer else message.role
    return {"role": traced(role, "chat_template"), "content": _text(message)}


def _without_open_turn(messages: Sequence[Message]) -> Sequence[Message]:
    if messages and messages[-1].role == "assistant" and not messages[-1].text.strip():
        return messages[:-1]
    return messages


def _fold_system(messages: Sequence[Message]) -> list[Message]:
    """Put the system's text before the first user's."""
    system = [m for m in messages if m.role in ("system", "developer")]
    others = [m for m in messages if m.role not in ("system", "developer")]
    first = next((at for at, m in enumerate(others) if m.role == "user"), None)
    folded = [*system, others.pop(first)] if first is not None else system
    segments = _joined_segments(m.segments for m in folded if m.segments)
    attributes = folded[-1].attributes if first is not None else {}
    others.insert(first or 0, Message("user", segments, attributes))
    return others


def _joined_segments(parts: Iterable[tuple[Segment, ...]]) -> tuple[Segment, ...]:
    joined: list[Segment] = []
    for part in parts:
        if joined:
            joined.append(Segment(_SEPARATOR))
        joined.extend(part)
    return tuple(joined)


def _refused(refusal: Exception) -> PromptFileError:
    return PromptFileError(
        f"the model's chat template refuses the conversation: {refusal}",
        where="chat template",
        next_step="change the roles in the prompt, or override the template",
    )


@functools.lru_cache(maxsize=8)
def _compiled(template: str, limits: Limits) -> jinja2.Template:
    from localprompt.rendering.environment import compile_template
    from localprompt.rendering.failures import Place

    return compile_template(_environment(), template, Place("chat template"), limits)


@functools.cache
def _environment() -> Any:
    from localprompt.rendering.environment import GenerationBlock, TracingEnvironment
    from localprompt.rendering.failures import TemplateRefusalError
    from localprompt.rendering.guards import guard_filter

    def raise_exception(message: str) -> None:
        raise TemplateRefusalError(message)

    def strftime_now(layout: str) -> TracedText:
        from datetime import datetime

        if len(layout) > _LONGEST_LAYOUT:
            raise BudgetExceededError(f"a layout of {len(layout):,} characters for the time")
        return traced(datetime.now().astimezone().strftime(layout), "chat_template")

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    environment = TracingEnvironment(
        "chat_template",
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", GenerationBlock],
    )
    environment.filters["tojson"] = guard_filter("tojson", tojson)
    environment.globals.update(raise_exception=raise_exception, strftime_now=strftime_now)
    return environment
