"""A suite's prompt and a case's variables → messages.

A ``.prompty`` file stays Jinja2. The text of a suite's own prompt is rendered by Nunjucks, or made
by the suite's JavaScript, and then read as promptfoo's providers read it: text that begins with
``- role:`` or is a JSON list of messages is a chat, anything else is what the user says.

All of it counts as coming from the suite: it is tokenized as plain text, so nothing in it can be a
control token. Nor can a value begin a turn that its author did not write: where the text of a value
closed what the template had opened, the case is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from localprompt.errors import LocalPromptError, PromptFileError, ScriptError
from localprompt.javascript.engine import Template, call, render_marked, render_prompts
from localprompt.records.prompt import Message, PromptTemplate, Role, Segment
from localprompt.rendering.prompt import render_messages
from localprompt.scoring.bounded import CODE_SECONDS, run_bounded
from localprompt.scoring.expectations import CannotScoreError
from localprompt.sources.yaml import as_words, read_yaml

SOURCE = "suite"
"""What every segment of a suite's prompt is attributed to."""
_BEGIN, _END = "\ue0f0", "\ue0f1"

Rendered = tuple[Message, ...] | LocalPromptError
"""What a case's prompt became, or why it could not be made."""


def render_cases(
    template: PromptTemplate, many: Sequence[Mapping[str, Any]], *, lenient: bool = False
) -> Iterator[Rendered]:
    """The messages of many cases, rendered together; what is wrong with one is its own error."""
    if template.language == "jinja2":
        for variables in many:
            try:
                yield render_messages(template, variables, lenient=lenient)
            except LocalPromptError as error:
                yield error
        return
    if template.language == "text":
        yield from [(Message("user", (Segment(template.body),)),)] * len(many)
        return
    script = Template(template.body, template.env, template.filters)
    if template.language in ("javascript", "python"):
        make = _made if template.language == "javascript" else _made_by_python
        texts = [make(template, variables) for variables in many]
    else:
        texts = render_prompts(script, many)
    for text, variables in zip(texts, many, strict=True):
        try:
            if isinstance(text, ScriptError):
                raise _failed(template, text)
            yield _messages(template, script, text, variables)
        except PromptFileError as error:
            yield error


def render_case(
    template: PromptTemplate, variables: Mapping[str, Any], *, lenient: bool = False
) -> tuple[Message, ...]:
    """The messages of one case.

    Raises:
        LocalPromptError: the template fails, or what it makes is a broken chat.
    """
    (rendered,) = render_cases(template, [variables], lenient=lenient)
    if isinstance(rendered, LocalPromptError):
        raise rendered
    return rendered


def _made(template: PromptTemplate, variables: Mapping[str, Any]) -> str | ScriptError:
    """What the suite's function makes of the variables."""
    name = template.metadata.get("function")
    try:
        result = call(template.body, [_context(template, variables)], file=True, name=name)
    except ScriptError as error:
        return error
    return _as_prompt(result.value)


def _context(template: PromptTemplate, variables: Mapping[str, Any]) -> dict[str, Any]:
    """What a function is given. Who answers is the same for all: a model of this machine."""
    provider = {"id": "localprompt", "label": ""}
    return {"vars": variables, "provider": provider, "config": template.metadata.get("config", {})}


def _as_prompt(value: Any) -> str | ScriptError:
    """What a function returned: a text or messages, or a mapping with such as ``prompt``."""
    if isinstance(value, dict) and "prompt" in value:
        value = value["prompt"]
    if value is None:
        return ScriptError("the function returned nothing, expected a text or messages")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _made_by_python(template: PromptTemplate, variables: Mapping[str, Any]) -> str | ScriptError:
    """What the suite's Python makes of the variables, in a child with its limits: what a function
    returns, or what the file prints when it is run with the context as its argument."""
    context = _context(template, variables)
    path, function = str(Path(template.path or "").absolute()), template.metadata.get("function")
    try:
        if function is None:
            printed: str = run_bounded("script", CODE_SECONDS, path=path, given=context)
            return printed.strip()
        made = run_bounded("make", CODE_SECONDS, path=path, function=function, given=[context])
    except CannotScoreError as error:
        return ScriptError(str(error))
    return _as_prompt(made)


def _failed(template: PromptTemplate, error: ScriptError) -> PromptFileError:
    return PromptFileError(
        f"the prompt cannot be rendered: {error.message}", where=template.path or template.name
    )


def _messages(
    template: PromptTemplate, script: Template, text: str, variables: Mapping[str, Any]
) -> tuple[Message, ...]:
    chat = read_chat(text, template.path or template.name)
    if chat is None:
        return (Message("user", _segments(text)),)
    written = template.language != "nunjucks" or _is_json(template.body)
    if not written:
        _refuse_broken_out(template, script, text, variables)
    return tuple(_message(item, template) for item in chat)


def read_chat(text: str, where: str) -> list[Any] | None:
    """The messages that a rendered text is; None: it is no chat.

    Raises:
        PromptFileError: it begins as a YAML chat and is none.
    """
    stripped = text.strip()
    if stripped.startswith("- role:"):
        found = read_yaml(text, where, words=as_words, error=PromptFileError).data
        return found if isinstance(found, list) else None
    if not stripped.startswith("["):
        return None
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    is_chat = isinstance(value, list) and value and all(isinstance(m, dict) for m in value)
    return value if is_chat and "role" in value[0] else None


def _refuse_broken_out(
    template: PromptTemplate, script: Template, text: str, variables: Mapping[str, Any]
) -> None:
    """See the module: no value may end inside of another text than it began in.

    Raises:
        PromptFileError: one does.
    """
    try:
        marked = render_marked(script, variables)
    except ScriptError as error:
        raise _failed(template, error) from error
    if marked.replace(_BEGIN, "").replace(_END, "") == text and _stays_inside(marked, template):
        return
    raise PromptFileError(
        "the text of a variable changes the turns of this chat",
        where=template.path or template.name,
        expected="values that stay inside of a message, as {{ value | dump }} keeps them",
    )


def _stays_inside(marked: str, template: PromptTemplate) -> bool:
    for whole in _whole_values(marked):
        marked = marked.replace(f"{_BEGIN}{whole}{_END}", whole)
    try:
        chat = read_chat(marked, template.path or template.name)
    except PromptFileError:
        return False
    return chat is not None and all(_balanced(part) for part in _texts(chat))


def _whole_values(marked: str) -> Iterator[str]:
    """Values that are a JSON document of their own: they begin and end what they say."""
    for part in marked.split(_BEGIN)[1:]:
        value = part.partition(_END)[0]
        if value.lstrip()[:1] in ("[", "{") and _is_json(value):
            yield value


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == _BEGIN) - (character == _END)
        if depth < 0:
            return False
    return depth == 0


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _message(item: Any, template: PromptTemplate) -> Message:
    where = template.path or template.name
    role = item.get("role") if isinstance(item, dict) else None
    if role not in get_args(Role):
        raise PromptFileError(
            "not a chat message",
            where=where,
            expected=f"role: {', '.join(get_args(Role))}, and content",
            found=_short(json.dumps(item, ensure_ascii=False)),
        )
    return Message(cast("Role", role), _segments(_content(item.get("content"), where)))


def _content(content: Any, where: str) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        if all(isinstance(part, str) for part in parts):
            return "".join(str(part) for part in parts)
    elif isinstance(content, str):
        return content
    elif isinstance(content, int | float):
        return json.dumps(content)
    raise PromptFileError(
        "a message has no text",
        where=where,
        expected="content: a text, or parts of type text",
        found=_short(json.dumps(content, ensure_ascii=False)),
    )


def _segments(text: str) -> tuple[Segment, ...]:
    return (Segment(text, SOURCE),) if text else ()


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
