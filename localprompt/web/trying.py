"""Trying prompts: a form made of a prompt's inputs, answers as they stream, saving a prompt.

A form becomes the same cell as the same command would: values go through the parser of ``-p``, so
a page can send nothing that the command line would refuse. A value that begins with ``@`` is text
here: the page's reader picks files, the server reads none.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shlex
from pathlib import Path
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from localprompt.errors import InputError, LocalPromptError, UnknownNameError
from localprompt.files import replace_file
from localprompt.models.store import list_models
from localprompt.records.cell import Cell, SamplingChoices
from localprompt.records.prompt import InputSpec
from localprompt.records.run import RequestedSettings
from localprompt.running.assemble import RunChoices, ask_cell, prompt_with_params, run_cell
from localprompt.running.execute import render
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.search import FOLDER, all_prompts, find_prompt
from localprompt.views.summary import summary_lines
from localprompt.web.host import Host, Job
from localprompt.web.site import form_of, fragment, page, site_of

MOST_COLUMNS = 3
SECONDS_TO_COME_BACK = 1.0
"""A page that is loaded again follows its job anew within this time; a closed one does not."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LONG = 200
_BEGIN = """---
name: {name}
inputs:
  - name: text
    kind: string
    required: true
---
user:
{{{{ text }}}}
"""


def start(request: Request) -> Response:
    """``/``: the form."""
    entries, _ = list_models()
    prompts = [found.name for found in all_prompts()]
    asked = request.query_params.get("prompt", "")
    here = [entry.card for entry in entries if entry.state == "present"]
    return page(
        request,
        "Try a prompt",
        "try.page.html",
        prompts=prompts,
        models=here,
        asked=asked,
        inputs=_inputs(asked) if asked in prompts else None,
        most=MOST_COLUMNS,
    )


def inputs(request: Request) -> Response:
    """``/try/inputs?prompt=NAME``: the fields of a prompt's inputs."""
    name = request.query_params.get("prompt", "")
    return fragment("inputs.html", inputs=_inputs(name) if name else None, asked=name)


async def begin(request: Request) -> Response:
    """``POST /try``: one job for each model that was ticked, in the order of the ticks."""
    host = _host(request)
    form = await form_of(request)
    models = form.get("model", [])
    if not 1 <= len(models) <= MOST_COLUMNS:
        raise InputError(
            "models to try", expected=f"1 to {MOST_COLUMNS} ticked", found=str(len(models))
        )
    # The digest of a model that was not seen before takes a second per gigabyte.
    cells = [await run_in_threadpool(_cell, form, model) for model in models]
    jobs = [host.submit(cell, _typed(form, cell)) for cell in cells]
    return fragment("answers.html", jobs=jobs)


async def stop(request: Request) -> Response:
    job = _job(request)
    _host(request).stop(job)
    return Response(status_code=204)


def done(request: Request) -> Response:
    """``/jobs/{id}``: what stands below an answer that has ended."""
    job = _job(request)
    lines = "" if job.record is None else "\n".join(summary_lines(job.record))
    return fragment("done.html", job=job, summary=lines)


async def received(request: Request) -> Response:
    """``/jobs/{id}/received``: what the model received, with who wrote what."""
    job = _job(request)
    found = await asyncio.wrap_future(_host(request).explain(job.cell))
    sources = list(dict.fromkeys(span.source for span in found.spans if span.origin == "variable"))
    return fragment("received.html", received=found, sources=sources)


def events(request: Request) -> EventStream:
    return EventStream(_job(request), _host(request))


class EventStream:
    """A job's events as server-sent ones. A reader that goes away ends a job nobody else reads."""

    def __init__(self, job: Job, host: Host) -> None:
        self._job = job
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_left(receive))
        await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (writing, leaving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task
        if not self._job.ended:
            asyncio.get_running_loop().call_later(SECONDS_TO_COME_BACK, self._end_unread)

    async def _write(self, send: Send) -> None:
        async for event in self._job.follow():
            data = msgspec.json.encode(event.text).decode("utf-8", "replace")
            block = f"event: {event.kind}\ndata: {data}\n\n".encode()
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _end_unread(self) -> None:
        if not self._job.readers and not self._job.ended:
            self._host.stop(self._job)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def prompt_page(request: Request) -> Response:
    """``/prompts/{name}``: its text, to be read and changed."""
    name = request.path_params["name"]
    try:
        path = find_prompt(_checked_name(name))
        source = path.read_text("utf-8")
        place = str(path)
    except UnknownNameError:
        source, place = _BEGIN.format(name=name), None
    return page(
        request, f"Prompt {name}", "prompt.page.html",
        name=name, source=source, place=place, digest=_digest(_target(name)), problem=None,
    )  # fmt: skip


async def save(request: Request) -> Response:
    """``POST /prompts/{name}``: into ./prompts, but never over a file that has changed."""
    name = _checked_name(request.path_params["name"])
    form = await form_of(request)
    source, digest = form.get("source", [""])[0], form.get("digest", [""])[0]
    problem = _saved(name, source, digest)
    if problem is None:
        return RedirectResponse(f"/?prompt={name}", 303)
    return page(
        request, f"Prompt {name}", "prompt.page.html", status=409,
        name=name, source=source, place=None, digest=digest, problem=problem,
    )  # fmt: skip


def _saved(name: str, source: str, digest: str) -> str | None:
    """Why it was not saved; None: it was."""
    path = _target(name)
    if _digest(path) != digest:
        return f"{path} has changed since this page was loaded. Copy your text, then load it again."
    path.parent.mkdir(exist_ok=True)
    # Read it as the command line would before it takes the place of one that works.
    trial = path.with_name(f".{name}.{os.getpid()}.prompty")
    try:
        trial.write_text(source, "utf-8")
        load_prompt(trial)
    except LocalPromptError as error:
        said = ". ".join(filter(None, (error.message, error.where, error.expected)))
        return said.replace(str(trial), path.name)
    finally:
        trial.unlink(missing_ok=True)
    replace_file(path, source.encode())
    return None


def _target(name: str) -> Path:
    return FOLDER / f"{name}.prompty"


def _digest(path: Path) -> str:
    """Of the file as it is now; "" where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _checked_name(name: str) -> str:
    """
    Raises:
        InputError: it is not the name of a file in a folder of prompts.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            "not a name for a prompt", expected="letters, digits, dots and hyphens", found=name
        )
    return name


def _inputs(name: str) -> tuple[InputSpec, ...]:
    return load_prompt(find_prompt(_checked_name(name))).inputs


def _cell(form: dict[str, list[str]], model: str) -> Cell:
    def number(name: str, kind: type[int] | type[float]) -> Any:
        text = form.get(name, [""])[0].strip()
        try:
            value = kind(text) if text else None
        except ValueError:
            raise InputError("not a number", where=name, found=text) from None
        if value is not None and not 0 <= value < 10**9:
            raise InputError("out of range", where=name, found=text)
        return value

    choices = RunChoices(
        model=_known_model(model),
        sampling=SamplingChoices(
            temperature=number("temperature", float),
            max_tokens=number("max_tokens", int),
            seed=number("seed", int),
        ),
        settings=RequestedSettings(n_ctx=number("n_ctx", int)),
        given=("n_ctx",) if form.get("n_ctx", [""])[0].strip() else (),
        profile="default",
        prefix="kept",
    )
    name = form.get("prompt", [""])[0]
    if not name:
        return ask_cell(form.get("text", [""])[0], choices)
    template, params = prompt_with_params(_checked_name(name), _assignments(form), lambda: None)
    cell = run_cell(template, params, choices)
    render(cell)  # what is missing is told now, and not when its turn has come
    return cell


def _assignments(form: dict[str, list[str]]) -> list[str]:
    """``param.NAME`` fields that were filled in, as ``-p`` takes them."""
    found = []
    for field, values in form.items():
        if field.startswith("param.") and values[0]:
            text = f"@{values[0]}" if values[0].startswith("@") else values[0]
            found.append(f"{field.removeprefix('param.')}={text}")
    return found


def _known_model(name: str) -> str:
    """
    Raises:
        UnknownNameError: no model of the store is called so; a path is none.
    """
    entries, _ = list_models()
    names = [entry.card.name for entry in entries if entry.state == "present"]
    if name not in names:
        raise UnknownNameError(f"there is no model {name!r} here", nearest=tuple(names[:3]))
    return name


def _typed(form: dict[str, list[str]], cell: Cell) -> str:
    """The same on the command line; long values as files."""
    name = form.get("prompt", [""])[0]
    words = ["localprompt", "run", name] if name else ["localprompt", "ask", form["text"][0]]
    words += ["-m", cell.model.name]
    for assignment in _assignments(form):
        key, _, value = assignment.partition("=")
        words += ["-p", assignment if len(value) <= _LONG else f"{key}=@{key}.txt"]
    for field in ("max_tokens", "temperature", "seed", "n_ctx"):
        if value := form.get(field, [""])[0].strip():
            words += [f"--{field.replace('_', '-')}", value]
    return shlex.join(words)


def _host(request: Request) -> Host:
    """
    Raises:
        InputError: the page is read-only.
    """
    host = site_of(request).host
    if host is None:
        raise InputError("this page is read-only", next_step="localprompt serve")
    return host


def _job(request: Request) -> Job:
    job = _host(request).job(request.path_params["id"])
    if job is None:
        raise UnknownNameError("there is no such answer any more", next_step="see Runs")
    return job
