"""Trying prompts: a form made of their inputs, answers side by side as they stream.

A form becomes the same cell as the same command would: values go through the parser of ``-p``, so
a page can send nothing that the command line would refuse. A value that begins with ``@`` is text
here: the page's reader picks files, the server reads none.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from localprompt.errors import InputError, UnknownNameError
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.models.store import list_models
from localprompt.records.cell import Cell, SamplingChoices
from localprompt.records.run import RequestedSettings
from localprompt.running.assemble import RunChoices, ask_cell, prompt_with_params, run_cell
from localprompt.running.execute import render
from localprompt.sources.config import read_config
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.search import all_prompts, find_prompt
from localprompt.views.summary import summary_lines
from localprompt.web.host import Host, Job
from localprompt.web.prompts import checked_name
from localprompt.web.site import form_of, fragment, host_of, language_of, page

MOST_COLUMNS = 3
MOST_TOKENS_APART = 3_000
"""Tokens of a prompt that are shown one by one; longer ones are shown by who wrote them."""
SECONDS_TO_COME_BACK = 1.0
"""A page that is loaded again follows its job anew within this time; a closed one does not."""

_LONG = 200


def start(request: Request) -> Response:
    """``/``: the form."""
    prompts = [found.name for found in all_prompts()]
    asked = request.query_params.get("prompt", "")
    return page(
        request,
        language_of(request)("site.try.title"),
        "try.page.html",
        prompts=prompts,
        models=models_here(),
        asked=asked if asked in prompts else "",
        most=MOST_COLUMNS,
        **_fields([asked] if asked in prompts else []),
    )


def inputs(request: Request) -> Response:
    """``/try/inputs?prompt=NAME&prompt=…``: the fields of the inputs of all of them."""
    return fragment(
        request, "inputs.html", **_fields(_chosen(request.query_params.getlist("prompt")))
    )


async def begin(request: Request) -> Response:
    """``POST /try``: one job for each prompt on each model, one after the other."""
    host = host_of(request)
    form = await form_of(request)
    models, prompts = form.get("model", []), _chosen(form.get("prompt", []))
    columns = [(prompt, model) for prompt in prompts or [""] for model in models]
    if not 1 <= len(columns) <= MOST_COLUMNS:
        raise InputError(
            "models to try" if len(prompts) < 2 else "prompts and models to try",
            expected=f"1 to {MOST_COLUMNS} columns, one for each prompt on each model",
            found=str(len(columns)),
        )
    # The digest of a model that was not seen before takes a second per gigabyte.
    cells = [await run_in_threadpool(_cell, form, *column) for column in columns]
    jobs = [
        host.submit(cell, _typed(form, prompt, cell))
        for (prompt, _), cell in zip(columns, cells, strict=True)
    ]
    return fragment(request, "answers.html", jobs=jobs)


async def stop(request: Request) -> Response:
    job = _job(request)
    host_of(request).stop(job)
    return Response(status_code=204)


def done(request: Request) -> Response:
    """``/jobs/{id}``: what stands below an answer that has ended."""
    job = _job(request)
    lines = "" if job.record is None else "\n".join(summary_lines(job.record))
    return fragment(request, "done.html", job=job, summary=lines)


async def received(request: Request) -> Response:
    """``/jobs/{id}/received``: what the model received and wrote, with who wrote what."""
    job = _job(request)
    found = await asyncio.wrap_future(host_of(request).explain(job.cell))
    sources = list(dict.fromkeys(span.source for span in found.spans if span.origin == "variable"))
    apart = len(found.tokens) <= MOST_TOKENS_APART
    return fragment(
        request,
        "received.html",
        received=found,
        sources=sources,
        pieces=found.tokens if apart else found.spans,
        apart=apart,
        answer=job.answer(),
    )


def events(request: Request) -> EventStream:
    return EventStream(_job(request), host_of(request))


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


def models_here() -> list[str]:
    """Names of the models that can be run now, what is usual first.

    Raises:
        InputError: the configuration cannot be read.
    """
    usual = read_config().model or DEFAULT_MODEL
    entries, _ = list_models()
    names = [entry.card.name for entry in entries if entry.state == "present"]
    return sorted(names, key=lambda name: name != usual)


def _chosen(names: list[str]) -> list[str]:
    """The prompts of the form; the first may stand for the text that is written in the page.

    Raises:
        InputError: one is not the name of a file in a folder of prompts.
    """
    wanted = [name for at, name in enumerate(names) if name or (at == 0 and any(names))]
    return [checked_name(name) if name else "" for name in wanted]


def _fields(prompts: list[str]) -> dict[str, Any]:
    """What the form asks for: the inputs of all prompts, each once."""
    specs = [load_prompt(find_prompt(name)).inputs for name in prompts if name]
    found = {spec.name: spec for inputs in reversed(specs) for spec in inputs}
    ordered = dict.fromkeys(spec.name for inputs in specs for spec in inputs)
    return {
        "inputs": [found[name] for name in ordered],
        "with_text": not prompts or "" in prompts,
        "changeable": [name for name in prompts if name],
    }


def choices_from(form: dict[str, list[str]], model: str) -> RunChoices:
    """Model, sampling and settings of the form.

    Raises:
        InputError: a field is not a number, or out of range.
        UnknownNameError: there is no such model here.
    """

    def number(name: str, kind: type[int] | type[float]) -> Any:
        text = form.get(name, [""])[0].strip()
        try:
            value = kind(text) if text else None
        except ValueError:
            raise InputError("not a number", where=name, found=text) from None
        if value is not None and not 0 <= value < 10**9:
            raise InputError("out of range", where=name, found=text)
        return value

    return RunChoices(
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


def setting_words(form: dict[str, list[str]]) -> list[str]:
    """The settings of the form, as they are typed."""
    words = []
    for field in ("max_tokens", "temperature", "seed", "n_ctx"):
        if value := form.get(field, [""])[0].strip():
            words += [f"--{field.replace('_', '-')}", value]
    return words


def _cell(form: dict[str, list[str]], prompt: str, model: str) -> Cell:
    choices = choices_from(form, model)
    if not prompt:
        return ask_cell(form.get("text", [""])[0], choices)
    template, params = prompt_with_params(prompt, _assignments(form, prompt), lambda: None)
    cell = run_cell(template, params, choices)
    render(cell)  # what is missing is told now, and not when its turn has come
    return cell


def _assignments(form: dict[str, list[str]], prompt: str) -> list[str]:
    """``param.NAME`` fields that were filled in, as ``-p`` takes them; of several prompts, each
    gets its own."""
    others = [name for name in _chosen(form.get("prompt", [])) if name and name != prompt]
    theirs = {spec.name for name in others for spec in load_prompt(find_prompt(name)).inputs}
    if others:
        theirs -= {spec.name for spec in load_prompt(find_prompt(prompt)).inputs}
    found = []
    for field, values in form.items():
        name = field.removeprefix("param.")
        if name != field and name not in theirs and values[0]:
            text = f"@{values[0]}" if values[0].startswith("@") else values[0]
            found.append(f"{name}={text}")
    return found


def _known_model(name: str) -> str:
    """
    Raises:
        UnknownNameError: no model of the store has this name; a path is not a name.
    """
    names = models_here()
    if name not in names:
        raise UnknownNameError(f"there is no model {name!r} here", nearest=tuple(names[:3]))
    return name


def _typed(form: dict[str, list[str]], prompt: str, cell: Cell) -> str:
    """The same on the command line; long values as files."""
    words = ["localprompt", "run", prompt] if prompt else ["localprompt", "ask", form["text"][0]]
    words += ["-m", cell.model.name]
    for assignment in _assignments(form, prompt) if prompt else ():
        key, _, value = assignment.partition("=")
        words += ["-p", assignment if len(value) <= _LONG else f"{key}=@{key}.txt"]
    return shlex.join([*words, *setting_words(form)])


def _job(request: Request) -> Job:
    job = host_of(request).job(request.path_params["id"])
    if job is None:
        raise UnknownNameError("there is no such answer any more", next_step="see Runs")
    return job
