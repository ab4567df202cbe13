"""The child that runs JavaScript: Nunjucks in one realm that is kept, scripts in one realm each.

The limits are QuickJS's own (memory, time, stack); the parent waits a little longer than they take
and then ends the child. The work is done in a thread with a stack that a thousand nested calls fit
into.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from localprompt.processes import Parent, serve

NUNJUCKS = "vendor/nunjucks-3.2.4.min.js"
MOST_BYTES = 256 << 20
"""Of one realm."""
SECONDS = 3
"""Of one template or script."""
_STACK_BYTES = 64 << 20
_MOST_STACK = 48 << 20
_HERE = Path(__file__).parent


class Ask(msgspec.Struct, frozen=True, tag_field="do", tag="ask"):
    """One request: what the JavaScript side reads, as JSON."""

    operation: str
    """``prompt``, ``marked``, ``text``, ``analyse``, ``compile`` or ``call``."""
    request: str


class Reply(msgspec.Struct, frozen=True, tag_field="is", tag="reply"):
    """What became of it."""

    value: str = ""
    """JSON."""
    threw: str | None = None
    """What it threw, in words."""
    stopped: str | None = None
    """The limit at which it was stopped, in words."""


class Realms:
    """Answers requests. The realm of templates is made anew after a limit was reached."""

    def __init__(self) -> None:
        self._templates: Any = None

    def answer(self, ask: Ask) -> Reply:
        import quickjs

        try:
            if ask.operation == "call":
                return Reply(_call(ask.request))
            if ask.operation == "compile":
                return Reply(_compile(ask.request))
            return Reply(self._template_realm()(ask.request))
        except quickjs.StackOverflow:
            self._templates = None
            return Reply(stopped="more nested calls than its stack holds")
        except quickjs.JSException as error:
            return self._failed(str(error))
        except MemoryError:
            self._templates = None
            return Reply(stopped=f"more than {MOST_BYTES >> 20} MiB of memory")

    def _failed(self, words: str) -> Reply:
        message = words.split("\n    at ", 1)[0].strip()
        if "InternalError: interrupted" in message:
            self._templates = None
            return Reply(stopped=f"more than {SECONDS} s")
        if "out of memory" in message or "invalid string length" in message:
            self._templates = None
            return Reply(stopped=f"more than {MOST_BYTES >> 20} MiB of memory")
        return Reply(threw=message)

    def _template_realm(self) -> Any:
        if self._templates is None:
            realm = _realm(0)
            realm.eval("globalThis.window = globalThis;")
            realm.eval((_HERE / NUNJUCKS).read_text(encoding="utf-8"))
            realm.eval((_HERE / "templates.js").read_text(encoding="utf-8"))
            self._templates = realm
        self._templates.set_time_limit(SECONDS)
        return self._templates.get("answer")


def _realm(seconds: float) -> Any:
    import quickjs

    realm = quickjs.Context()
    realm.set_memory_limit(MOST_BYTES)
    realm.set_max_stack_size(_MOST_STACK)
    if seconds:
        realm.set_time_limit(seconds)
    return realm


def _call(request: str) -> str:
    """Run one script to its end: its result, what it threw, or that it never settled."""
    import quickjs

    deadline = time.monotonic() + SECONDS
    realm = _realm(SECONDS)
    realm.eval((_HERE / "scripts.js").read_text(encoding="utf-8"))
    realm.set("__request", request)
    try:
        realm.eval("__internals.start(JSON.parse(__request))")
        while realm.execute_pending_job() or realm.eval("__internals.tick()"):
            if time.monotonic() > deadline:
                raise quickjs.JSException("InternalError: interrupted")
        return str(realm.eval("__internals.result()"))
    except quickjs.JSException as error:
        message = str(error).split("\n    at ", 1)[0].strip()
        if isinstance(error, quickjs.StackOverflow) or message.startswith("InternalError:"):
            raise
        return json.dumps({"threw": message.partition(": ")[2] or message})


def _compile(request: str) -> str:
    """An objection to a script's syntax; ``null`` where there is none."""
    import quickjs

    realm = _realm(SECONDS)
    realm.set("__request", request)
    try:
        realm.eval("new Function(...JSON.parse(__request))")
    except quickjs.JSException as error:
        return json.dumps(str(error).split("\n    at ", 1)[0].strip())
    return "null"


def main() -> int:
    os.environ["TZ"] = "UTC"
    time.tzset()
    realms = Realms()

    def answer(parent: Parent[Ask]) -> None:
        for ask in parent.commands():
            parent.say(realms.answer(ask))

    codes: list[int] = []
    threading.stack_size(_STACK_BYTES)
    thread = threading.Thread(target=lambda: codes.append(serve(Ask, answer)))
    thread.start()
    thread.join()
    return codes[0] if codes else 1


if __name__ == "__main__":
    raise SystemExit(main())
