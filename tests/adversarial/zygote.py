"""Runs the program again and again, each time in a fork: an input costs milliseconds, not a start.

Reads one JSON object a line (arguments, stdin, folder, environment, limits) and answers with one:
how the run ended, what it wrote, what it took. The run has a session of its own, so that what it
has started ends with it; nothing of ours outlives the line.
"""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

_TAIL_BYTES = 20_000
_MOST_ADDRESS_SPACE = 12 << 30
_MOST_FILE_BYTES = 1 << 30


def main() -> None:
    _import_everything()
    replies = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        replies.write(json.dumps(_attempt(request)) + "\n")
        replies.flush()


def _import_everything() -> None:
    """All but llama.cpp, whose threads do not survive a fork."""
    import localprompt

    for module in pkgutil.walk_packages(localprompt.__path__, "localprompt."):
        name = module.name
        if not name.startswith(("localprompt.engine.llama", "localprompt.bundling.on_target")):
            with suppress(ImportError):
                import_module(name)


def _attempt(request: dict[str, Any]) -> dict[str, Any]:
    out = os.open(f"{request['scratch']}/out", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    err = os.open(f"{request['scratch']}/err", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    fed = os.open(f"{request['scratch']}/in", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.write(fed, os.fsencode(request.get("stdin", "")))
    os.lseek(fed, 0, os.SEEK_SET)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _run(request, fed, out, err)
    code, usage, interrupted = _wait(child, request)
    reply = {
        "code": code,
        "interrupted": interrupted,
        "seconds": time.monotonic() - began,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
        "out": _tail(out),
        "err": _tail(err),
    }
    for descriptor in (out, err, fed):
        os.close(descriptor)
    return reply


def _run(request: dict[str, Any], fed: int, out: int, err: int) -> None:
    """In the child: become the program. Never returns."""
    code = 70
    try:
        os.setsid()
        os.dup2(fed, 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_ADDRESS_SPACE, _MOST_ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_FILE_BYTES, _MOST_FILE_BYTES))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, errors="backslashreplace")  # noqa: SIM115
        os.chdir(request["folder"])
        os.environ.update(request["environment"])
        given = [os.fsdecode(os.fsencode(argument)) for argument in request["arguments"]]
        code = _answer(given) if request["page"] else _run_program(given)
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 1
    except BaseException:  # noqa: BLE001 — what Python itself would do with it
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, UnicodeError):
                code = code or 120
        os._exit(code)


def _run_program(arguments: list[str]) -> int:
    from localprompt.__main__ import run

    return run(arguments)


def _answer(request: list[str]) -> int:
    from tests.adversarial.pages import ask

    return ask(*request)


def _wait(child: int, request: dict[str, Any]) -> tuple[int, resource.struct_rusage, bool]:
    """Its exit code (negative for a signal), what it took, and whether it was asked to end."""
    patience = request["seconds"]
    deadline, interrupted = time.monotonic() + patience, False
    kill_at = request.get("kill_after")
    killing = None if kill_at is None else time.monotonic() + kill_at
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            _end(child)
            return os.waitstatus_to_exitcode(status), usage, interrupted
        now = time.monotonic()
        if killing is not None and now > killing:
            _end(child)
            killing = None
        if now > deadline and not interrupted:
            os.kill(child, signal.SIGINT)
            deadline, interrupted = now + patience, True
        elif now > deadline:
            _end(child)
        time.sleep(0.002)


def _end(child: int) -> None:
    """The run's whole session, what it has started included."""
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _tail(descriptor: int) -> str:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    os.lseek(descriptor, max(0, size - _TAIL_BYTES), os.SEEK_SET)
    return os.read(descriptor, _TAIL_BYTES).decode("utf-8", "backslashreplace")


if __name__ == "__main__":
    main()
