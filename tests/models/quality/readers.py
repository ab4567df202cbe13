"""A reader without a model: logits that follow from the tokens by a rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self

from localprompt.engine.base import BufferSizes
from localprompt.records.run import Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Logits = npt.NDArray[np.float32]

SETTINGS = Settings(
    n_ctx=512,
    n_batch=512,
    n_ubatch=512,
    n_threads=1,
    n_threads_batch=1,
    type_k="f16",
    type_v="f16",
    flash_attn=None,
    use_mmap=True,
    repack=True,
)


class RuleReader:
    """One token per letter; after each token, ``confidence`` nats more for the next letter.

    Args:
        rows: the most rows of a block.
    """

    def __init__(
        self, confidence: float, *, n_vocab: int = 30, bos: int | None = None, rows: int = 3
    ) -> None:
        self._confidence = confidence
        self.n_vocab = n_vocab
        self.bos = bos
        self._rows = rows
        self.settings = SETTINGS
        self.buffers = BufferSizes(0, 0, 0)
        self.chunks: list[list[int]] = []

    def tokenize(self, text: str) -> list[int]:
        return [ord(letter) - ord("a") for letter in text]

    def read(self, token_ids: Sequence[int], first: int) -> Iterator[Logits]:
        import numpy as np

        self.chunks.append(list(token_ids))
        for start in range(first, len(token_ids), self._rows):
            block = np.zeros((len(token_ids[start : start + self._rows]), self.n_vocab), np.float32)
            for row, token in enumerate(token_ids[start : start + self._rows]):
                block[row, (token + 1) % 26] = self._confidence
            yield block

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass
