"""The constant beginning of a prompt: evaluated apart, kept, and brought back by later runs.

What stands before the first value is the same in every run of a prompt. Where it is long enough,
it is evaluated in batches of its own, so that a state can be taken after it; the rest of the
prompt follows in another batch. That is done whether the state is kept, brought back or neither:
a prompt evaluated in other batches rounds differently, and whether there is a store must not
change an answer.

    kept before:   find, check and read the file │ evaluate the rest │ decode
    first time:    evaluate the beginning, write │ evaluate the rest │ decode │ seal the file

Everything left of "decode" is part of TTFT. The file is written while the context holds nothing
but the beginning, and sealed when the answer is complete.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from localprompt.engine.base import EncodedPrompt, Engine
from localprompt.errors import LocalPromptError
from localprompt.records.cell import Cell
from localprompt.records.prompt import Message
from localprompt.records.received import LEAST_KEPT_TOKENS, constant_prefix, with_other_values
from localprompt.records.run import RunWarning
from localprompt.running.prefix.seal import key_of
from localprompt.running.prefix.store import Draft, PrefixStore

NOT_KEPT = "prefix_not_kept"
"""Code of the warning that a beginning could not be kept for later runs."""


def beginning_of(
    cell: Cell, engine: Engine, messages: Sequence[Message], prompt: EncodedPrompt
) -> tuple[int, ...]:
    """The tokens to evaluate apart; empty where that is not asked for or not worth it.

    At least one token of the prompt is left, because its logits are needed.
    """
    if cell.prefix == "whole" or len(prompt.token_ids) <= LEAST_KEPT_TOKENS:
        return ()
    others = engine.encode(with_other_values(messages)).token_ids
    constant = constant_prefix(engine.explain(prompt), others)
    count = min(constant, len(prompt.token_ids) - 1)
    return prompt.token_ids[:count] if count >= LEAST_KEPT_TOKENS else ()


class Beginning:
    """One beginning in one context.

    Args:
        with_flash: evaluate it with flash attention, though what follows is without.
        may_keep: whether it is the constant one, and not just what comes first.

    Attributes:
        held_tokens: so many are in the context after :meth:`hold`; 0 where the prompt has to be
            evaluated whole.
        reused_tokens: so many of those were brought back instead of evaluated.
        store_seconds: what finding, reading and writing took; None where no store was asked.
    """

    def __init__(
        self,
        cell: Cell,
        engine: Engine,
        token_ids: tuple[int, ...],
        *,
        with_flash: bool = False,
        may_keep: bool = True,
    ) -> None:
        self._engine = engine
        self._with_flash = with_flash
        self._token_ids = token_ids
        self._draft: Draft | None = None
        self._not_kept: LocalPromptError | None = None
        self._conditions = engine.state_conditions if token_ids else None
        if with_flash and self._conditions is not None:
            self._conditions = {**self._conditions, "flash_attn": "evaluated with, re-laid without"}
        self._store: PrefixStore | None = None
        self._model_sha256 = cell.model.sha256
        if (
            may_keep
            and cell.prefix == "kept"
            and cell.model.sha256
            and self._conditions is not None
        ):
            self._store = PrefixStore()
        self.held_tokens = 0
        self.reused_tokens = 0
        self.store_seconds: float | None = None

    def hold(self) -> None:
        """Bring the beginning into the context, one way or the other.

        Raises:
            EngineError: it cannot be evaluated.
            KeyboardInterrupt: the context holds nothing that counts.
        """
        if self._conditions is None:
            return
        self.held_tokens = len(self._token_ids)
        if self._store is None:
            self._engine.evaluate_prefix(self._token_ids, with_flash=self._with_flash)
            return
        started = time.perf_counter()
        key = key_of(self._model_sha256 or "", self._token_ids, self._conditions)
        path = self._store.find(key)
        if path is not None and self._engine.restore_prefix(self._token_ids, path):
            self.reused_tokens = self.held_tokens
            self.store_seconds = time.perf_counter() - started
            return
        found_nothing = time.perf_counter()
        self._engine.evaluate_prefix(self._token_ids, with_flash=self._with_flash)
        evaluated = time.perf_counter()
        self._write(self._store, key)
        self.store_seconds = time.perf_counter() - evaluated + found_nothing - started

    def finish(self) -> tuple[RunWarning, ...]:
        """The answer is complete, or has ended: let later runs find what was written.

        Returns:
            why it was not kept, if it should have been.
        """
        draft, self._draft = self._draft, None
        if draft is not None:
            try:
                draft.keep()
            except LocalPromptError as error:
                self._not_kept = error
        if self._not_kept is None:
            return ()
        message = f"the beginning of this prompt is not kept for later runs: {self._not_kept}"
        return (RunWarning(NOT_KEPT, message, self._not_kept.next_step or ""),)

    def abandon(self) -> None:
        """Throw away what was written, where the run ended before its record; else do nothing."""
        draft, self._draft = self._draft, None
        if draft is not None:
            draft.discard()

    def _write(self, store: PrefixStore, key: str) -> None:
        # The KV cache has room for the whole context; the beginning takes its part of it.
        cells = self._engine.settings.n_ctx
        kv_cache_bytes = self._engine.buffers.kv_cache_bytes or 0
        try:
            self._draft = store.draft(key, kv_cache_bytes * len(self._token_ids) // cells)
            self._engine.save_prefix(self._token_ids, self._draft.path)
        except LocalPromptError as error:
            self._not_kept = error
            self.abandon()
        except BaseException:
            self.abandon()
            raise
