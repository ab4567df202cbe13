"""A conversation in the page. Each turn is a run, and the address says from which one it goes on.

``/chat/RUN`` is the conversation as it was after that run; the next turn's answer leads to the
address of its own run. Nothing of it is kept in the server, so that a page that is loaded again, a
second tab and the back button show what was said, and asking from an earlier turn makes a branch.
The state after a turn is kept where the engine keeps beginnings: each evaluates only what is new.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from localprompt.errors import HistoryError, UnknownNameError
from localprompt.records.cell import Cell
from localprompt.records.prompt import Message
from localprompt.records.run import RunRecord
from localprompt.running.assemble import RunChoices
from localprompt.running.conversation import (
    Conversation,
    Turn,
    changes,
    choices_of,
    conversation_of,
    turn_cell,
)
from localprompt.store.history import RUNS, History
from localprompt.units import format_rate, format_seconds
from localprompt.views.figures import moment_text
from localprompt.web.site import form_of, fragment, host_of, language_of, page, site_of
from localprompt.web.trying import choices_from, models_here, setting_words

MOST_LISTED = 20
"""Conversations on the page that begins one."""
_MOST_LOOKED_AT = 500
"""Turns among which branches are looked for."""
_TITLE = 80


def start(request: Request) -> Response:
    """``/chat``: a first question, and the conversations that there are."""
    with History(read_only=True) as history:
        links = history.turns(_MOST_LOOKED_AT)
        parents = {parent for _, parent in links}
        leaves = [run for run, _ in links if run not in parents][:MOST_LISTED]
        listed = [_listed(history.run(run)) for run in leaves]
    title = language_of(request)("site.chat.title")
    return page(request, title, "chat.page.html", **_values(request, None), turns=[], listed=listed)


def conversation(request: Request) -> Response:
    """``/chat/{id}``: what was said until that run, with what each turn took."""
    with History(read_only=True) as history:
        run = history.run(history.find(request.path_params["id"], RUNS).id)
        talk = conversation_of(run)
        branches = _branches(history.turns(_MOST_LOOKED_AT))
        turns = [_turn(talk, at, history, branches) for at in range(len(talk.turns))]
    title = _title(talk)
    return page(request, title, "chat.page.html", **_values(request, run), turns=turns, listed=[])


async def say(request: Request) -> Response:
    """``POST /chat``: the next turn behind ``parent``, another in the place of ``instead``, or a
    first one."""
    host = host_of(request)
    form = await form_of(request)
    cell, typed = await run_in_threadpool(_cell, form)
    job = host.submit(cell, typed)
    asked = form.get("text", [""])[0]
    return fragment(request, "chat.answer.html", jobs=[job], asked=asked)


def _cell(form: dict[str, list[str]]) -> tuple[Cell, str]:
    """The next turn's cell, and the same on the command line."""

    def given(name: str) -> str:
        return form.get(name, [""])[0]

    text, system = given("text"), given("system").strip()
    choices = msgspec.structs.replace(choices_from(form, given("model")), after="keep")
    words = ["localprompt", "ask", text]
    if gone_on_from := given("parent") or given("instead"):
        with History(read_only=True) as history:
            run = history.run(history.find(gone_on_from, RUNS).id)
        cell = _behind(run, text, choices, instead=not given("parent"))
        words += ["--continue", gone_on_from] if given("parent") else []
    else:
        cell = turn_cell(Conversation(system=system or None), text, choices, chat=True)
        words += ["--system", system] if system else []
    return cell, shlex.join([*words, "-m", cell.model.name, *setting_words(form)])


def _behind(run: RunRecord, text: str, choices: RunChoices, *, instead: bool) -> Cell:
    """The turn that goes on from a run, or that asks otherwise what the run was asked."""
    talk, choices = conversation_of(run), choices_of(run, choices)
    lead: tuple[Message, ...] = ()
    if instead:
        lead, talk = talk.turns[-1].asked[:-1], talk.undone()
    cell = turn_cell(talk, text, choices, chat=True)
    return msgspec.structs.replace(
        cell, before=(*cell.before, *lead), notices=tuple(changes(run, cell))
    )


def _values(request: Request, run: RunRecord | None) -> dict[str, Any]:
    """What the form needs."""
    return {"models": [] if site_of(request).read_only else models_here(), "run": run}


def _turn(
    talk: Conversation, at: int, history: History, branches: dict[str, list[str]]
) -> dict[str, Any]:
    turn = talk.turns[at]
    before = talk.turns[at - 1].run if at else ""
    return {
        "asked": turn.text,
        "lead": [message for message in turn.asked[:-1] if message.text],
        "answer": turn.answer,
        "run": turn.run,
        "before": before,
        "branches": [one for one in branches.get(before, []) if one != turn.run] if before else [],
        "record": _record(turn, history),
    }


def _record(turn: Turn, history: History) -> dict[str, str] | None:
    """What the turn took; None: its run was pruned."""
    try:
        run = history.get(turn.run)
    except (HistoryError, UnknownNameError):
        return None
    tokens, timing = run.tokens, run.timing
    return {
        "model": run.model.name,
        "prompt": f"{tokens.prompt:,}",
        "reused": f"{tokens.reused:,}",
        "completion": f"{tokens.completion:,}",
        "ttft": format_seconds(timing.ttft_seconds),
        "decode": format_rate(timing.decode_tokens_per_second),
        "total": format_seconds(timing.total_seconds),
        "end": run.output.finish_reason,
    }


def _branches(links: Sequence[tuple[str, str | None]]) -> dict[str, list[str]]:
    """The runs that go on from a run."""
    found: dict[str, list[str]] = {}
    for run, parent in reversed(links):
        if parent is not None:
            found.setdefault(parent, []).append(run)
    return found


def _listed(run: RunRecord) -> dict[str, Any]:
    place = run.conversation
    return {
        "id": run.id,
        "title": _title_of(next((m.text for m in run.prompt.messages if m.role == "user"), run.id)),
        "turns": 1 + (len(place.turns) if place else 0),
        "model": run.model.name,
        "when": moment_text(run.created_at),
    }


def _title(talk: Conversation) -> str:
    return _title_of(talk.turns[0].text)


def _title_of(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TITLE else f"{line[:_TITLE]}…"
