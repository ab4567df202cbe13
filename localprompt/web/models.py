"""The models' page: what is here, what it takes, what fits now; fetching and quantizing; doctor."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from localprompt.doctor import predicted_peaks
from localprompt.errors import HistoryError, InputError
from localprompt.measure import memory
from localprompt.models.quantize.job import FILE_TYPE_IDS
from localprompt.models.store import ModelEntry, list_models
from localprompt.records.run import RunRecord
from localprompt.store.history import History
from localprompt.store.search import Filter
from localprompt.units import UNKNOWN, format_bytes
from localprompt.views.figures import moment_text
from localprompt.views.language import Language
from localprompt.views.sections import (
    Block,
    Column,
    Fact,
    Facts,
    Notice,
    Notices,
    Row,
    Section,
    Table,
    Value,
)
from localprompt.web.chore_worker import Pull, Quantize
from localprompt.web.chores import Chores
from localprompt.web.site import form_of, fragment, language_of, page, site_of

_PEAKS: dict[tuple[Path, int, int], int | None] = {}
"""By file, time of its last change, and size."""
_COMMON = ("Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0")


def models(request: Request) -> Response:
    """``/models``."""
    say, site = language_of(request), site_of(request)
    entries, problems = list_models()
    here = [entry for entry in entries if entry.state == "present"]
    peaks, free = _predicted(here), memory.available().available_bytes
    last = _last_runs([entry.card.name for entry in here])
    rows = tuple(
        _row(entry, peaks.get(entry.card.name), last.get(entry.card.name), free, say)
        for entry in entries
    )
    caption = say("site.models.caption", free=say.number(format_bytes(free)))
    blocks: list[Block] = [Table(caption, _columns(say), rows)]
    if problems:
        blocks.append(Notices(tuple(Notice("broken", error.message) for error in problems)))
    return page(
        request,
        say("site.models.title"),
        "models.page.html",
        sections=[Section("models", say("site.models.here"), tuple(blocks))],
        present=[entry.card for entry in here],
        missing=[entry.card for entry in entries if entry.state != "present"],
        types=sorted(FILE_TYPE_IDS, key=lambda name: (name not in _COMMON, name)),
        size_of=lambda card: say.number(format_bytes(card.size_bytes)),
        **_standing(site.chores),
    )


async def pull(request: Request) -> Response:
    """``POST /models/pull``."""
    form = await form_of(request)
    accept = form.get("accept", [""])[0] == "yes"
    chores_of(request).begin(Pull(_given(form, "model"), accept))
    return under_way(request)


async def quantize(request: Request) -> Response:
    """``POST /models/quantize``."""
    form = await form_of(request)
    entries, _ = list_models()
    model = _given(form, "model")
    if model not in {entry.card.name for entry in entries}:
        raise InputError(f"there is no model {model!r} here", where="model")
    chores_of(request).begin(Quantize(model, _given(form, "to")))
    return under_way(request)


async def stop(request: Request) -> Response:
    chores_of(request).stop()
    return Response(status_code=204)


def under_way(request: Request) -> Response:
    """``/models/under-way``: how far the pull or the quantization is."""
    return fragment(request, "chores.html", **_standing(site_of(request).chores))


def doctor(request: Request) -> Response:
    """``/doctor``: what this machine and this build can do."""
    say = language_of(request)
    found = (site_of(request).chores or Chores()).diagnose()
    facts = Facts(tuple(Fact(one.name, one.text) for one in found))
    wrong = tuple(
        Notice(one.level, f"{one.name}: {one.text}", advice=" ".join((one.advice, one.command)))
        for one in found
        if one.level != "ok"
    )
    blocks: tuple[Block, ...] = (*([Notices(wrong)] if wrong else []), facts)
    sections = [Section("doctor", say("site.doctor.machine"), blocks)]
    return page(request, say("site.doctor.title"), sections=sections)


def chores_of(request: Request) -> Chores:
    """
    Raises:
        InputError: the page is read-only.
    """
    chores = site_of(request).chores
    if chores is None:
        raise InputError("this page is read-only", next_step="localprompt serve")
    return chores


def _given(form: dict[str, list[str]], name: str) -> str:
    value = form.get(name, [""])[0]
    if not value:
        raise InputError("nothing is chosen", where=name)
    return value


def _standing(chores: Chores | None) -> dict[str, Any]:
    chore = None if chores is None else chores.last
    return {
        "chore": chore,
        "done": format_bytes(chore.done) if chore else "",
        "total": format_bytes(chore.total) if chore else "",
    }


def _predicted(entries: list[ModelEntry]) -> dict[str, int]:
    """Peaks, read from each file's header once for as long as it stays the same."""
    keys = {}
    for entry in entries:
        with suppress(OSError):
            status = entry.card.weights.stat()
            keys[entry.card.name] = (entry.card.weights, status.st_mtime_ns, status.st_size)
    new = [entry for entry in entries if keys.get(entry.card.name) not in _PEAKS]
    found = predicted_peaks(new)
    for entry in new:
        if entry.card.name in keys:
            _PEAKS[keys[entry.card.name]] = found.get(entry.card.name)
    known = {name: _PEAKS.get(key) for name, key in keys.items()}
    return {name: peak for name, peak in known.items() if peak is not None}


def _last_runs(names: list[str]) -> dict[str, RunRecord]:
    """The latest run of each model that says what it took; none where there is no history."""
    found = {}
    try:
        with History(read_only=True) as history:
            for name in names:
                for run in history.runs(Filter(model=name), limit=1):
                    found[name] = run
    except HistoryError:
        return {}
    return found


def _columns(say: Language) -> tuple[Column, ...]:
    return (
        Column(say("site.column.model")),
        Column(say("site.models.state")),
        Column(say("site.models.size"), numeric=True),
        Column(say("site.models.predicted"), numeric=True),
        Column(say("site.models.fits")),
        Column(say("site.models.measured"), numeric=True),
        Column(say("site.models.expected"), numeric=True),
        Column(say("site.models.licence")),
        Column(say("site.models.description"), prose=True),
    )


def _row(
    entry: ModelEntry, peak: int | None, last: RunRecord | None, free: int | None, say: Language
) -> Row:
    card = entry.card
    fits = None if peak is None or free is None else say(f"site.models.{_FITS[peak <= free]}")
    measured = None if last is None else last.memory.peak_rss_bytes
    expected = None if last is None else last.memory.predicted_peak_bytes
    return Row(
        card.name,
        (
            Value(card.name, card.name),
            Value(say(f"site.models.{entry.state}"), entry.state),
            Value(say.number(format_bytes(card.size_bytes)), card.size_bytes),
            Value(say.number(format_bytes(peak)), peak),
            Value(fits or UNKNOWN, fits),
            Value(say.number(format_bytes(measured)), measured),
            Value(say.number(format_bytes(expected)), expected),
            Value(card.licence.name, card.licence.name),
            Value(card.description),
        ),
        facts=() if last is None else (Fact(say("site.models.last_run"), _of_run(last)),),
    )


_FITS = {True: "yes", False: "no"}


def _of_run(run: RunRecord) -> str:
    return f"{run.id}, {moment_text(run.created_at)}, n_ctx {run.settings.n_ctx}"
