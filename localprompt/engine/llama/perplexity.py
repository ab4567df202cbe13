"""Reading a text with a real model, in bounded memory.

Logits are large: 512 positions of a vocabulary of 262,144 tokens take half a gigabyte. A chunk is
therefore evaluated in batches that want few enough logits; the tokens before the first scored one
want none. What is computed is the same as in one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from localprompt.engine.base import BufferSizes
from localprompt.engine.device import Slot
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.engine.llama.library import library
from localprompt.errors import EngineError
from localprompt.records.run import RequestedSettings, Settings
from localprompt.units import MIB

if TYPE_CHECKING:
    from localprompt.engine.reading import Logits

_MOST_LOGIT_BYTES = 64 * MIB
_DEFAULTS = RequestedSettings()


class LlamaReader:
    """Opens a GGUF file; implements :class:`localprompt.engine.reading.Reader`.

    Args:
        path: the GGUF file.
        requested: settings of the weights and of the context; its n_ctx is not looked at.
        n_ctx: the most tokens that will be read at once.

    Raises:
        ModelFileError, EngineError, NotEnoughMemoryError: llama.cpp cannot open it.
    """

    def __init__(
        self, path: Path, requested: RequestedSettings = _DEFAULTS, *, n_ctx: int = 512
    ) -> None:
        self._engine = LlamaEngine(path, requested)
        self.n_vocab = len(self._engine.vocabulary)
        self._rows = max(1, min(n_ctx, _MOST_LOGIT_BYTES // (4 * self.n_vocab)))
        self._engine.prepare(requested, n_ctx=n_ctx, outputs=self._rows)
        vocabulary = self._engine.vocabulary
        self.bos: int | None = vocabulary.bos if vocabulary.adds_bos else None

    @property
    def settings(self) -> Settings:
        return self._engine.settings

    @property
    def buffers(self) -> BufferSizes:
        return self._engine.buffers

    def tokenize(self, text: str) -> list[int]:
        return self._engine.vocabulary.tokenize(text)

    def read(self, token_ids: Sequence[int], first: int) -> Iterator[Logits]:
        context = self._engine.context
        context.forget(0)
        start = 0
        while start < len(token_ids):
            most = start + context.batch_tokens
            end = min(len(token_ids), most, max(first, start) + self._rows)
            context.decode(
                [
                    Slot(token_ids[at], at, (0,), wants_logits=at >= first)
                    for at in range(start, end)
                ]
            )
            if (scored := end - max(first, start)) > 0:
                yield self._block(end - start - scored, scored)
            start = end

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _block(self, batch_index: int, rows: int) -> Logits:
        """The logits of one batch lie one behind the other."""
        import numpy as np

        pointer = library().llama_get_logits_ith(self._engine.context.pointer, batch_index)
        if not pointer:
            raise EngineError("llama.cpp has no logits there", found=f"batch index {batch_index}")
        return np.ctypeslib.as_array(pointer, shape=(rows, self.n_vocab))
