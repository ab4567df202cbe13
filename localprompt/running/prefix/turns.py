"""The state after an answer: kept, and gone on from by whoever asks the next question.

A conversation repeats itself: each turn's prompt is the whole of it so far and a few new words. So
the state that a turn ends with is left in the context, for the next turn of the same process, and
kept on disk, for those of others. A prompt goes on from the longest beginning that is there,
whoever wrote it: the turn before, the same document with another question, the turn that was
taken back. Of a state that goes on otherwise, the part that agrees is used.

What an answer was written with was evaluated a token at a time, and behind what happened to be
there; evaluated at once it would round a little differently. So these states are apart from those
of constant beginnings (:mod:`localprompt.running.prefix.beginning`), which are evaluated in the
same batches by everybody, and a run that went on from one says so: ``tokens.reused``. They hold
what was asked and answered. That is why a run that is not recorded keeps none, and why forgetting
runs forgets all of them.

A file is called by its *family*, a digest of everything but the tokens that changes a logit, and
by its tokens. llama.cpp writes these first, so that finding the longest reads a few kilobytes of
each.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from localprompt.engine.base import Engine
from localprompt.engine.prefixes import common_tokens
from localprompt.errors import EngineError, LocalPromptError
from localprompt.records.cell import Cell
from localprompt.records.prompt import Message, Segment
from localprompt.records.received import LEAST_KEPT_TOKENS
from localprompt.records.run import RunWarning
from localprompt.running.attention import attention_for
from localprompt.running.attention_choice import (
    COPIED_BYTES_PER_SECOND,
    RELAY_SECONDS,
    Attention,
)
from localprompt.running.prefix.seal import key_of
from localprompt.running.prefix.store import TURN, PrefixStore

NOT_KEPT = "turn_not_kept"
"""Code of the warning that the state after an answer could not be kept for later runs."""
LEAST_SHARE = 4
"""A state is read as a whole; if less than this part of it agrees, evaluating is as fast."""


class Found(msgspec.Struct, frozen=True):
    """The longest beginning of a prompt whose state is there."""

    token_ids: tuple[int, ...]
    """Of the whole state."""
    common: int
    """So many of them the prompt begins with; at least one token of it is left."""
    flash_attn: bool | None
    """As the state is laid out; None: as llama.cpp chose."""
    key: str | None = None
    """Of the file; None: it is in the open context."""


def longest(
    cell: Cell,
    engine: Engine,
    token_ids: tuple[int, ...],
    *,
    n_ctx: int,
    held_flash: bool | None,
    constant_tokens: int,
) -> Found | None:
    """The beginning that a prompt is to go on from; None: no other than its constant one.

    Args:
        n_ctx: cells that will be opened.
        held_flash: how the open context was asked to compute attention.
        constant_tokens: of the constant beginning, which needs no luck to be found again.
    """
    found = None
    if cell.after != "forget":
        common = _common(engine, engine.held, token_ids, engine.can_cut_held)
        much = common >= LEAST_KEPT_TOKENS or 2 * common >= len(token_ids)
        if much and common >= constant_tokens:
            found = Found(engine.held, common, held_flash)
    if cell.prefix != "kept" or not cell.model.sha256:
        return found
    have = max(found.common if found else 0, constant_tokens)
    least = have + LEAST_KEPT_TOKENS
    if len(token_ids) <= least:
        return found
    store = PrefixStore()
    for flash, family in _families(cell, engine, n_ctx):
        for key, path in store.turns(family):
            kept = _saved_tokens(engine, path)
            common = _common(engine, kept, token_ids)
            fits = len(kept) <= n_ctx or (cell.settings.n_ctx is None and cell.limit is None)
            worth = common >= least and common > have and common * LEAST_SHARE >= len(kept)
            if worth and fits:
                found, have = Found(kept, common, flash, key), common
    return found


def attention_in_turn(
    found: Found,
    cell: Cell,
    engine: Engine,
    *,
    prompt_tokens: int,
    n_ctx: int,
    baseline_bytes: int | None,
) -> Attention:
    """With flash attention or without, for a prompt that goes on from a state: as that is laid
    out, unless re-laying it is paid back by this answer. Where the choice was llama.cpp's own, it
    was flash attention: that is what it takes wherever there is something to choose. Arguments as
    of :func:`localprompt.running.attention.attention_for`."""
    if cell.settings.flash_attn is not None:
        return Attention(cell.settings.flash_attn)
    as_it_is = Attention(found.flash_attn, "as what the prompt goes on from")
    if found.flash_attn is False:
        return as_it_is
    chosen = attention_for(
        cell,
        engine,
        prompt_tokens=prompt_tokens,
        beginning_tokens=found.common,
        n_ctx=n_ctx,
        baseline_bytes=baseline_bytes,
    )
    relay_seconds = RELAY_SECONDS + chosen.copied_bytes / COPIED_BYTES_PER_SECOND
    if chosen.flash_beginning and chosen.saved_seconds > relay_seconds:
        return chosen
    return as_it_is


class Continued:
    """A prompt's beginning that is there already; in the place of a
    :class:`localprompt.running.prefix.beginning.Beginning`.

    Args:
        cell: with the settings of the context that is open.
    """

    def __init__(self, cell: Cell, engine: Engine, found: Found) -> None:
        self._engine = engine
        self._found = found
        self._from_flash = found.flash_attn is not False and cell.settings.flash_attn is False
        self.held_tokens = 0
        self.reused_tokens = 0
        self.store_seconds: float | None = None

    def hold(self) -> None:
        """Bring the beginning into the context, if it is not there.

        Raises:
            EngineError: it cannot be.
        """
        if self._found.key is None:
            self._take()
            return
        started = time.perf_counter()
        path = PrefixStore().find(self._found.key, TURN)
        ids = self._found.token_ids
        if path and self._engine.restore_prefix(ids, path, from_flash=self._from_flash):
            self._take()
        self.store_seconds = time.perf_counter() - started

    def finish(self) -> tuple[RunWarning, ...]:
        return ()

    def abandon(self) -> None:
        pass

    def _take(self) -> None:
        if self._engine.cut_held(self._found.common):
            self.held_tokens = self.reused_tokens = self._found.common


def keep_turn(
    cell: Cell, engine: Engine, asked: Sequence[Message], answer: str
) -> tuple[RunWarning, ...]:
    """Keep what the context holds now that the answer is complete, where the cell asks for it.

    Args:
        asked, answer: the turn, which the next one will begin with.

    Returns:
        why it was not kept, if it should have been.
    """
    if cell.after != "keep" or not cell.model.sha256:
        return ()
    if not engine.can_cut:
        _leave_what_the_next_begins_with(engine, asked, answer)
    ids = engine.held
    if len(ids) < LEAST_KEPT_TOKENS:
        return ()
    conditions = engine.turn_conditions(cell.settings, engine.settings.n_ctx)
    if conditions is None:
        return ()
    family = _family(cell, conditions)
    key = family + _digest(ids)
    expected = (engine.buffers.kv_cache_bytes or 0) * len(ids) // engine.settings.n_ctx
    try:
        store = PrefixStore()
        draft = store.draft(key, expected, TURN)
        try:
            engine.save_prefix(ids, draft.path)
        except BaseException:
            draft.discard()
            raise
        draft.keep()
    except LocalPromptError as error:
        message = f"the next turn will have to read this one again: {error}"
        return (RunWarning(NOT_KEPT, message, error.next_step or ""),)
    if engine.can_cut:
        _drop_beginnings(engine, store, family, ids)
    return ()


def _leave_what_the_next_begins_with(engine: Engine, asked: Sequence[Message], answer: str) -> None:
    """Take the rest out of the context. The chat template may write an answer otherwise than the
    model did, by a line's end for instance; behind a sliding window, going back to where they
    agree is possible in this context, and from a file only the last window comes back."""
    answered = Message("assistant", (Segment(answer, "answer"),))
    question = Message("user", (Segment("?", "question"),))
    upcoming = engine.encode((*asked, answered, question)).token_ids
    common = common_tokens(engine.held, upcoming, left=0)
    if common < len(engine.held) and engine.can_cut_held(common):
        engine.cut_held(common)


def _drop_beginnings(engine: Engine, store: PrefixStore, family: str, ids: tuple[int, ...]) -> None:
    """A state that a longer one begins with serves nobody whom the longer one does not."""
    for _, path in store.turns(family):
        kept = _saved_tokens(engine, path)
        if kept and len(kept) < len(ids) and ids[: len(kept)] == kept:
            with suppress(OSError):
                path.unlink()


def _families(cell: Cell, engine: Engine, n_ctx: int) -> Iterator[tuple[bool | None, str]]:
    """The layouts that a context for this cell can take over, and what their files begin with."""
    typed = cell.settings.flash_attn
    layouts = {None: (None, True, False), True: (True,), False: (False, True)}[typed]
    for flash in layouts:
        settings = msgspec.structs.replace(cell.settings, flash_attn=flash)
        conditions = engine.turn_conditions(settings, n_ctx)
        if conditions is not None:
            yield flash, _family(cell, conditions)


def _family(cell: Cell, conditions: dict[str, object]) -> str:
    return key_of(cell.model.sha256 or "", (), conditions)[:32]


def _digest(token_ids: Sequence[int]) -> str:
    packed = struct.pack(f"<{len(token_ids)}i", *token_ids)
    return hashlib.sha256(packed).hexdigest()[:32]


def _saved_tokens(engine: Engine, path: Path) -> tuple[int, ...]:
    try:
        return engine.saved_tokens(path)
    except OSError:  # another process removed it
        return ()


def _common(
    engine: Engine,
    held: tuple[int, ...],
    token_ids: tuple[int, ...],
    can_cut: Callable[[int], bool] = lambda _: False,
) -> int:
    """How many tokens of a state a prompt can go on from, leaving one to evaluate.

    Args:
        can_cut: whether this very state can go back to so many, where not every one can.
    """
    most = min(len(held), len(token_ids) - 1)
    same = held[:most] == token_ids[:most]
    common = most if same else common_tokens(held, token_ids, left=0)
    usable = engine.can_cut or common == len(held) or can_cut(common)
    return common if usable else 0


def carry_over(engine: Engine, found: Found, cell: Cell, n_ctx: int) -> bool:
    """Open another context for what is held in the open one; False: that one holds nothing.

    Raises:
        EngineError, NotEnoughMemoryError: no context can be opened.
    """
    if engine.cut_held(found.common):
        try:
            engine.reopen(cell.settings, n_ctx=n_ctx)
        except EngineError:
            pass  # it may have failed before another was open
        else:
            return True
    engine.prepare(cell.settings, n_ctx=n_ctx)
    return False
