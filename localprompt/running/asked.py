"""A request as it will be evaluated: tokens, context, beginning and attention, chosen together.

They depend on each other. How long the prompt is says how large the context has to be; which
beginning of it is there already says in which layout the context has to be opened; and what is
left of it says whether another would be faster.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from localprompt.engine.base import ChoiceRequest, EncodedPrompt, Engine
from localprompt.records.cell import Cell
from localprompt.records.prompt import Message
from localprompt.running.admission import context_size, with_room, within_limit
from localprompt.running.attention import OnNote, attention_for
from localprompt.running.attention_choice import Attention
from localprompt.running.closed import cells_of, choice_request, is_weighed
from localprompt.running.prefix.beginning import beginning_of
from localprompt.running.prefix.turns import Found, attention_in_turn, longest


class Asked(NamedTuple):
    """What was chosen for a request."""

    cell: Cell
    """With the settings that were chosen for it."""
    prompt: EncodedPrompt
    weighed: ChoiceRequest | None
    """Closed answers that are scored instead of generated."""
    constant: tuple[int, ...]
    """The beginning that is evaluated apart."""
    found: Found | None
    """The beginning whose state is there, in the place of the constant one."""
    n_ctx: int
    """For the prompt and its answer."""
    attention: Attention
    tokenize_seconds: float

    @property
    def n_ctx_opened(self) -> int:
        """Cells of the context: closed answers that are scored lie side by side behind the
        prompt."""
        return self.n_ctx + (cells_of(self.weighed) if self.weighed else 0)


def as_evaluated(
    cell: Cell,
    engine: Engine,
    messages: Sequence[Message],
    *,
    resident: int | None,
    held_flash: bool | None,
    on_note: OnNote = lambda _: None,
) -> Asked:
    """Tokenize, and choose what the request leaves open.

    Args:
        resident: before the model was opened, in bytes; None: unknown.
        held_flash: how the open context was asked to compute attention.
        on_note: told what a user has to wait for, beside the model and its answer.

    Raises:
        ContextOverflowError: the prompt does not fit into n_ctx.
        NotEnoughMemoryError: nothing fits into the cell's limit of memory.
    """
    started = time.perf_counter()
    prompt = engine.encode(messages)
    weighed = choice_request(engine, prompt, cell.template) if is_weighed(cell.template) else None
    constant = () if weighed else beginning_of(cell, engine, messages, prompt)
    tokenize_seconds = time.perf_counter() - started
    count = len(prompt.token_ids)
    n_ctx = context_size(cell, count, engine.facts.n_ctx_train)
    cell, n_ctx = within_limit(cell, n_ctx, count, resident)
    n_ctx = with_room(cell, n_ctx, engine.facts.n_ctx_train)
    if weighed:
        attention = attention_for(
            cell,
            engine,
            prompt_tokens=count + cells_of(weighed),
            beginning_tokens=0,
            n_ctx=n_ctx,
            baseline_bytes=resident,
            weighed=True,
            on_note=on_note,
        )
        cell = msgspec.structs.replace(cell, settings=attention.settings(cell.settings))
        return Asked(cell, prompt, weighed, (), None, n_ctx, attention, tokenize_seconds)
    found = longest(
        cell,
        engine,
        prompt.token_ids,
        n_ctx=n_ctx,
        held_flash=held_flash,
        constant_tokens=len(constant),
    )
    if found is None:
        attention = attention_for(
            cell,
            engine,
            prompt_tokens=count,
            beginning_tokens=len(constant),
            n_ctx=n_ctx,
            baseline_bytes=resident,
            on_note=on_note,
        )
    else:
        constant = ()
        n_ctx = max(n_ctx, len(found.token_ids)) if found.key else n_ctx
        attention = attention_in_turn(
            found, cell, engine, prompt_tokens=count, n_ctx=n_ctx, baseline_bytes=resident
        )
    cell = msgspec.structs.replace(cell, settings=attention.settings(cell.settings))
    return Asked(cell, prompt, None, constant, found, n_ctx, attention, tokenize_seconds)
