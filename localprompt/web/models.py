"""The models' page: what is here, what it takes, what fits now; and what doctor says."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from localprompt.doctor import diagnose, predicted_peaks
from localprompt.measure import memory
from localprompt.models.store import ModelEntry, list_models
from localprompt.units import UNKNOWN, format_bytes
from localprompt.views.sections import (
    Block,
    Column,
    Fact,
    Facts,
    Lines,
    Notice,
    Notices,
    Row,
    Section,
    Table,
    Value,
)
from localprompt.web.site import page

_COLUMNS = (
    Column("model"),
    Column("state"),
    Column("size", numeric=True),
    Column("predicted peak", numeric=True),
    Column("fits now"),
    Column("licence"),
    Column("description", prose=True),
)


def models(request: Request) -> Response:
    """``/models``."""
    entries, problems = list_models()
    here = [entry for entry in entries if entry.state == "present"]
    peaks, free = predicted_peaks(here), memory.available().available_bytes
    caption = (
        "Predicted (estimated): the peak of the process with a context of 4,096 tokens. "
        f"{format_bytes(free)} of memory are free now."
    )
    table = Table(caption, _COLUMNS, tuple(_row(entry, peaks, free) for entry in entries))
    blocks: list[Block] = [table]
    if problems:
        blocks.append(Notices(tuple(Notice("broken", error.message) for error in problems)))
    if missing := [entry.card.name for entry in entries if entry.state == "missing"]:
        blocks.append(Lines((f"Fetch one with:  localprompt models pull {missing[0]}",)))
    return page(
        request,
        "Models",
        "models.page.html",
        sections=[Section("models", "What is here", tuple(blocks))],
    )


def doctor(request: Request) -> Response:
    """``/doctor``: what this machine and this build can do."""
    found = diagnose()
    facts = Facts(tuple(Fact(one.name, one.text) for one in found))
    wrong = tuple(
        Notice(one.level, f"{one.name}: {one.text}", advice=" ".join((one.advice, one.command)))
        for one in found
        if one.level != "ok"
    )
    blocks: tuple[Block, ...] = (*([Notices(wrong)] if wrong else []), facts)
    return page(
        request, "Doctor", sections=[Section("doctor", "This machine and this build", blocks)]
    )


def _row(entry: ModelEntry, peaks: dict[str, int], free: int | None) -> Row:
    card, peak = entry.card, peaks.get(entry.card.name)
    fits = UNKNOWN if peak is None or free is None else "yes" if peak <= free else "no"
    return Row(
        card.name,
        (
            Value(card.name, card.name),
            Value(entry.state, entry.state),
            Value(format_bytes(card.size_bytes), card.size_bytes),
            Value(format_bytes(peak), peak),
            Value(fits, fits),
            Value(card.licence.name, card.licence.name),
            Value(card.description),
        ),
    )
