"""The child process behind :mod:`localprompt.scoring.bounded`.

Runs as a script, without this package: one request per line on standard input, one reply per
line on what was standard output. Requests are JSON objects; a reply is ``{"is": "reply", "text":
…}``, its text JSON as Python writes it: with ``value``, or with ``error``, the exception in words.
What the executed code prints goes to standard error, so that it cannot be taken for a reply. The
process ends when its standard input does, and an alarm ends it if whoever should have stopped it
was killed first.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import math
import os
import re
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

GRACE_SECONDS = 5


def search(request: dict[str, Any]) -> bool:
    """Whether ``pattern`` is found anywhere in ``text``."""
    # ASCII: \\d, \\w and \\b mean in promptfoo's JavaScript what they mean here under this flag.
    return re.search(request["pattern"], request["text"], re.ASCII) is not None


def find_all(request: dict[str, Any]) -> list[Any]:
    """What Python's ``findall`` gives: texts, or lists of the groups' texts."""
    return re.findall(request["pattern"], request["text"])


def replace(request: dict[str, Any]) -> str:
    """The text with every match replaced, or the first ``count`` of them."""
    count = request.get("count", 0)
    text: str = re.sub(request["pattern"], request["by"], request["text"], count=count)
    return text


def conforms(request: dict[str, Any]) -> str | None:
    """None where ``instance`` follows ``schema``; otherwise the most relevant objection."""
    import jsonschema
    from referencing import Registry

    validator = jsonschema.validators.validator_for(
        request["schema"], default=jsonschema.Draft202012Validator
    )
    validator.check_schema(request["schema"])
    # An empty registry: a reference to a schema elsewhere must not be fetched.
    formats = jsonschema.FormatChecker(request["formats"]) if "formats" in request else None
    checker = validator(request["schema"], registry=Registry(), format_checker=formats)
    error = jsonschema.exceptions.best_match(checker.iter_errors(request["instance"]))
    return None if error is None else f"{error.json_path}: {error.message}"


def call(request: dict[str, Any]) -> Any:
    """What the user's Python makes of ``output`` and ``context``."""
    if "path" in request:
        path = Path(request["path"])
        find_modules_beside(path)
        names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)  # noqa: S102
        function = named(names, request["function"])
    else:
        code = request["code"]
        body = code if "\n" in code else f"return {code}"
        names = {"__name__": "assertion"}
        source = "import json\ndef check(output, context):\n" + textwrap.indent(
            textwrap.dedent(body), "    "
        )
        exec(compile(source, "<assertion>", "exec"), names)  # noqa: S102
        function = names["check"]
    return plain(finished(function(request["output"], request["context"])))


def find_modules_beside(path: Path) -> None:
    """Imports look beside the file first. Named once, however many cases it is asked about: each
    import looks through the whole list."""
    folder = str(path.parent)
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


def named(names: dict[str, Any], function: str) -> Any:
    """A function of a file by its name, or a method as ``Class.method``."""
    first, *rest = function.split(".")
    found = names[first]
    for part in rest:
        found = getattr(found, part)
    return found


def finished(value: Any) -> Any:
    """What an ``async`` function comes to."""
    if not inspect.iscoroutine(value):
        return value
    import asyncio

    return asyncio.run(value)


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: dataclasses and numpy numbers become plain."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if hasattr(value, "item") and not isinstance(value, (str, bytes, dict, list)):
        return value.item()
    return value


def make(request: dict[str, Any]) -> Any:
    """What a function of the user's Python returns: tests, a prompt or a variable."""
    path = Path(request["path"])
    find_modules_beside(path)
    names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)  # noqa: S102
    return plain(finished(named(names, request["function"])(*request["given"])))


def script(request: dict[str, Any]) -> str:
    """What the user's Python prints when it is run as a program with the JSON of a context."""
    path = Path(request["path"])
    find_modules_beside(path)
    sys.argv = [str(path), json.dumps(request["given"])]
    printed = io.StringIO()
    names: dict[str, Any] = {"__name__": "__main__", "__file__": str(path)}
    with contextlib.redirect_stdout(printed):
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)  # noqa: S102
    return printed.getvalue()


OPERATIONS = {
    "search": search,
    "find_all": find_all,
    "replace": replace,
    "conforms": conforms,
    "call": call,
    "make": make,
    "script": script,
}


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        signal.alarm(math.ceil(request["seconds"]) + GRACE_SECONDS)
        try:
            reply = json.dumps({"value": OPERATIONS[request["operation"]](request)})
        except (Exception, SystemExit) as error:  # noqa: BLE001 — it is the user's code
            reply = json.dumps({"error": f"{type(error).__name__}: {error}"})
        signal.alarm(0)
        with contextlib.suppress(BrokenPipeError):
            replies.write(json.dumps({"is": "reply", "text": reply}) + "\n")
            replies.flush()


if __name__ == "__main__":
    main()
