"""Templates and scripts of suites, handed to the child that runs them.

One child serves the process. It is started when it is first needed; one that does not answer in
time or dies is ended and replaced, and the request that it had says so.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import json
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from localprompt.errors import MachineError, ScriptError, ScriptLimitError, WorkerError
from localprompt.javascript.worker import SECONDS, Ask, Reply
from localprompt.processes import Child, worker_command

_GRACE_SECONDS = 5.0
"""Beyond QuickJS's own limit: the child's start and a busy machine."""
_PLAIN = re.compile(r"\{\{ *([A-Za-z_]\w*) *\}\}")
_WORDS = frozenset(
    {"true", "false", "none", "null", "undefined", "not", "and", "or", "in", "is", "if"}
)
_GLOBALS = frozenset({"env", "range", "cycler", "joiner", "else", "loop"})
_JSON = re.compile(r"\s*(?:[\[\"\d-]|\{(?!\{)|(?:true|false|null)\s*\Z)")


ASSERTION = ("output", "context")
"""What the code of an assertion calls its arguments."""
TRANSFORM = ("output", "context")
"""What the code of a transform calls its arguments; one of variables says ``vars`` first."""


class Template(msgspec.Struct, frozen=True):
    """A suite's template and what it may use beside its variables."""

    text: str
    env: dict[str, str] = {}
    """``env.NAME``."""
    filters: dict[str, str] = {}
    """The suite's own filters: name → JavaScript that returns a function."""


class Analysis(msgspec.Struct, frozen=True):
    """What a template takes from outside."""

    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    """Variables with a default, or that an ``if`` asks for."""
    unknown_filters: tuple[str, ...] = ()


class Result(msgspec.Struct, frozen=True):
    """What a script returned."""

    kind: str
    """JavaScript's ``typeof``, or ``null``."""
    value: Any = None


def render_prompt(template: Template, variables: Mapping[str, Any]) -> str:
    """A prompt as promptfoo renders it: values that are templates first, JSON text by text.

    Raises:
        ScriptError: it is not a template, or what it calls fails.
        ScriptLimitError: it was stopped.
    """
    plain = _plainly(template.text, variables, prompt=True)
    return str(_template("prompt", template, variables)) if plain is None else plain


def render_prompts(
    template: Template, many: Sequence[Mapping[str, Any]]
) -> list[str | ScriptError]:
    """:func:`render_prompt` for many cases, which are handed over together."""
    done = [_plainly(template.text, variables, prompt=True) for variables in many]
    left = [variables for variables, text in zip(many, done, strict=True) if text is None]
    if not left:
        return [text or "" for text in done]
    try:
        found = iter(_ask("prompts", {**_asked("prompts", template, {}), "many": left}))
    except ScriptError:  # one of them reached a limit; the others are not to suffer from it
        return [_one_prompt(template, variables) for variables in many]
    return [_text_or_error(next(found)) if text is None else text for text in done]


def _one_prompt(template: Template, variables: Mapping[str, Any]) -> str | ScriptError:
    try:
        return render_prompt(template, variables)
    except ScriptError as error:
        return error


def _text_or_error(found: Mapping[str, str]) -> str | ScriptError:
    return found["text"] if "text" in found else ScriptError(_cleaned(found["threw"]))


def _cleaned(words: str) -> str:
    """Nunjucks' message without what it puts around it."""
    lines = [line.strip() for line in words.split("\n") if line.strip()]
    kept = [re.sub(r"^(?:Template render error: )?\(unknown path\)\s*", "", line) for line in lines]
    text = " ".join(line.removeprefix("Error: ") for line in kept if line)
    return text.removeprefix("Template render error: ").removeprefix("Error: ") or words


def render_marked(template: Template, variables: Mapping[str, Any]) -> str:
    """The same with ``\\ue0f0`` before and ``\\ue0f1`` behind each text that a value wrote."""
    return str(_template("marked", template, variables))


def render_text(template: Template, variables: Mapping[str, Any]) -> str:
    """One template over its variables; raises as :func:`render_prompt`."""
    plain = _plainly(template.text, variables, prompt=False)
    return str(_template("text", template, variables)) if plain is None else plain


@functools.lru_cache(maxsize=1024)
def _analysed(text: str, filters: str) -> Analysis:
    found = _ask("analyse", {"operation": "analyse", "text": text, "filters": json.loads(filters)})
    return msgspec.convert(found, Analysis)


def analyse(template: Template) -> Analysis:
    """The variables and filters of a template; raises as :func:`render_prompt`."""
    if "{" not in template.text:
        return Analysis()
    return _analysed(template.text, json.dumps(template.filters))


def compile_error(source: str, names: Sequence[str] = ()) -> str | None:
    """What is wrong with the syntax of a function's body; None: nothing."""
    objection = _ask("compile", [*names, source])
    return None if objection is None else str(objection)


def call(
    source: str,
    given: Sequence[Any],
    *,
    names: Sequence[str] = (),
    file: bool = False,
    name: str | None = None,
    otherwise: str | None = None,
) -> Result:
    """What a script makes of its arguments.

    Args:
        source: a function's body, or a file that exports a function.
        given: its arguments.
        names: what the body calls them.
        file: whether it is a file.
        name: of the export; None: the file's only one.
        otherwise: the body where ``source`` is not one.

    Raises:
        ScriptError: it threw.
        ScriptLimitError: it was stopped, or its promise is never settled.
    """
    asked = {
        "source": source,
        "given": given,
        "names": names,
        "file": file,
        "name": name,
        "otherwise": otherwise,
    }
    found = _ask("call", asked)
    if found.get("unsettled"):
        raise ScriptLimitError("its promise is never settled")
    if "threw" in found:
        words = str(found["threw"])
        kind = ScriptLimitError if _BEYOND.search(words) else ScriptError
        raise kind(words)
    return Result(found["kind"], found.get("value"))


_BEYOND = re.compile(
    r"needs Node, which is not here|the clock cannot be read"
    r"|Maximum call stack size exceeded|^out of memory|invalid string length"
)
"""What a script ran into that is not what its author meant to find out."""


@functools.lru_cache(maxsize=1024)
def function_body(code: str) -> str:
    """An assertion's code as a function's body.

    Several lines are a body as they stand. One line is an expression; where it begins with a
    declaration, what stands behind its last statement is.
    """
    code = code.rstrip()
    if "\n" in code:
        return code
    line = code.strip().rstrip(";").rstrip()
    if not re.match(r"(?:const|let|var)\s", line):
        return f"return {line}"
    end = _last_end(line)
    last = line[end:].strip()
    return f"{line[:end]} return {last}" if end and last else line


def _last_end(line: str) -> int:
    """Where the last statement but one of a line ends, 0 where there is but one.

    A semicolon inside a text, a pattern, a function or the head of a loop leaves something open
    before it, which is no body of a function.
    """
    ends = [found.end() for found in re.finditer(";", line)][-_MOST_ENDS:]
    return next((end for end in reversed(ends) if compile_error(line[:end]) is None), 0)


_MOST_ENDS = 200
"""Semicolons of a line that are tried."""


def is_available() -> bool:
    """Whether there is a QuickJS for this machine."""
    return importlib.util.find_spec("quickjs") is not None


def _plainly(text: str, variables: Mapping[str, Any], *, prompt: bool) -> str | None:
    """The rendering where it is nothing but putting texts in for names; None: it is more."""
    if "{{" not in text and "{%" not in text and "{#" not in text:
        return None if prompt and _JSON.match(text) else text
    if "{%" in text or "{#" in text or "{{{" in text or (prompt and _JSON.match(text)):
        return None
    names = _PLAIN.findall(text)
    if text.count("{{") != len(names) or not _WORDS.isdisjoint(names):
        return None
    if not _GLOBALS.isdisjoint(names):
        return None
    values = {name: variables.get(name, "") for name in names}
    if not all(isinstance(value, str) for value in values.values()):
        return None
    if prompt and any(_is_template(value) for value in values.values()):
        return None
    return _PLAIN.sub(lambda match: values[match[1]], text)


def _is_template(value: str) -> bool:
    return "{{" in value or "{%" in value or "{#" in value


def _template(operation: str, template: Template, variables: Mapping[str, Any]) -> Any:
    return _ask(operation, _asked(operation, template, variables))


def _asked(operation: str, template: Template, variables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "operation": operation,
        "text": template.text,
        "vars": variables,
        "env": template.env,
        "filters": template.filters,
    }


class _Engine:
    """The child of this process. Safe to share between threads."""

    def __init__(self) -> None:
        self._child: Child[Reply] | None = None
        self._lock = threading.Lock()

    def ask(self, operation: str, request: Any) -> Any:
        if not is_available():
            raise MachineError(
                "this suite's templates or scripts need QuickJS, which is not installed",
                next_step="pip install quickjs-ng",
            )
        text = json.dumps(request, ensure_ascii=True, default=str)
        with self._lock:
            try:
                reply = self._started().ask(Ask(operation, text), SECONDS + _GRACE_SECONDS)
            except TimeoutError:
                self._stop()
                raise ScriptLimitError(f"it was stopped: more than {SECONDS} s") from None
            except WorkerError as error:
                self._stop()
                raise ScriptLimitError(f"it ended the process that it ran in: {error}") from None
            except BaseException:  # as Ctrl-C: its reply would be taken for that of the next one
                self._stop()
                raise
        if reply.stopped is not None:
            raise ScriptLimitError(f"it was stopped: {reply.stopped}")
        if reply.threw is not None:
            raise ScriptError(_cleaned(reply.threw))
        return json.loads(reply.value)

    def close(self) -> None:
        with self._lock:
            self._stop()

    def _started(self) -> Child[Reply]:
        if self._child is None or not self._child.running:
            self._stop()
            self._child = Child(
                worker_command("localprompt.javascript.worker"), Reply, who="the JavaScript child"
            )
        return self._child

    def _stop(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


_engine = _Engine()


def close() -> None:
    """Ends the child; whoever needs it next starts another."""
    _engine.close()


atexit.register(close)


def _ask(operation: str, request: Any) -> Any:
    return _engine.ask(operation, request)
