"""The place of one answer in its constraint: what may come next, what must, is it finished.

llguidance works on the vocabulary of the model: it has to know the bytes of every token, and how
the model's own tokenizer would cut a text, because what is forced is put in as the tokens that the
model has seen such text in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from localprompt.engine.base import Constraint
from localprompt.engine.constraints.grammars import limits
from localprompt.errors import EngineError

MOST_COMPILED = 64
"""Constraints that are kept compiled; an evaluation has a handful."""


class Pieces(msgspec.Struct, frozen=True):
    """A vocabulary as a constraint needs it."""

    tokens: tuple[bytes, ...]
    """By id; of control tokens their name."""
    controls: tuple[int, ...]
    """Tokens that steer the model: no text of a constraint is ever written with them."""
    ends: tuple[int, ...]
    """Those that end an answer; at least one."""


class Matcher:
    """One answer, from its beginning on."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def accept(self, token_id: int) -> bool:
        """Go on with a token, if it is allowed."""
        return bool(self._raw.try_consume_tokens([token_id]) == 1)

    def take_forced(self) -> Sequence[int]:
        """Go on with the tokens that have to follow, and say which they are."""
        forced: list[int] = self._raw.compute_ff_tokens()
        if forced and self._raw.try_consume_tokens(forced) != len(forced):
            raise self._failure()
        return forced

    def fitting(self, token_ids: Sequence[int]) -> int:
        return int(self._raw.validate_tokens(list(token_ids)))

    def mask(self) -> bytes:
        """Which tokens are allowed: a bit for each, the lowest first.

        Raises:
            EngineError: the place is more than llguidance's limits let it work out.
        """
        mask: bytes = self._raw.compute_bitmask()
        if self._raw.is_error():
            raise self._failure()
        return mask

    @property
    def finished(self) -> bool:
        """Nothing but an end may follow."""
        return bool(self._raw.is_stopped())

    def _failure(self) -> EngineError:
        why = str(self._raw.get_error()).splitlines()
        return EngineError(
            "the constraint could not be followed any further",
            found=why[0][:300] if why else str(self._raw.stop_reason()),
            next_step="write the schema or grammar in a simpler way, or leave it out",
        )


class Matching:
    """Constraints compiled for one vocabulary.

    Args:
        pieces: the vocabulary.
        tokenize: plain text → ids, as the model's tokenizer does it in the middle of a text.
    """

    def __init__(self, pieces: Pieces, tokenize: Callable[[str], list[int]]) -> None:
        from llguidance import LLTokenizer

        # Masks over strings take 2 ms without llguidance's slices and 0.4 with them, and slices
        # take longer to make than all masks of an answer: few are asked for.
        self._tokenizer = LLTokenizer(
            _Wrapper(pieces, tokenize),  # type: ignore[arg-type]
            eos_token=list(pieces.ends),
            slices=[],
        )
        self._compiled: dict[Constraint, Any] = {}

    def matcher(self, constraint: Constraint) -> Matcher:
        """A new answer's.

        Raises:
            EngineError: llguidance refuses the grammar.
        """
        compiled = self._compiled.get(constraint)
        if compiled is None:
            from llguidance import LLMatcher

            compiled = LLMatcher(self._tokenizer, constraint.grammar, log_level=0, limits=limits())
            if compiled.is_error():
                raise EngineError(
                    "the constraint was not understood", found=compiled.get_error()[:300]
                )
            if len(self._compiled) >= MOST_COMPILED:
                self._compiled.clear()
            self._compiled[constraint] = compiled
        return Matcher(compiled.deep_copy())


class _Wrapper:
    """What llguidance asks a tokenizer for."""

    is_tokenizer_wrapper = True

    def __init__(self, pieces: Pieces, tokenize: Callable[[str], list[int]]) -> None:
        self.tokens = pieces.tokens
        self.special_token_ids = pieces.controls
        self.eos_token_id = pieces.ends[0]
        self.bos_token_id = None
        self._tokenize = tokenize

    def __call__(self, text: str) -> list[int]:
        return self._tokenize(text)
