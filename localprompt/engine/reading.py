"""The seam for reading: how probable does a model find a text that is there already?

Nothing is generated. A reader gives the logits after each token of a stretch of text; what they
say about the text, or about another model, is arithmetic
(:mod:`localprompt.models.quality.likelihood`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, Self

from localprompt.engine.base import BufferSizes
from localprompt.records.run import Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Logits = npt.NDArray[np.float32]


class Reader(Protocol):
    """One open model and its context. Not safe for use by two threads at once."""

    @property
    def n_vocab(self) -> int: ...

    @property
    def bos(self) -> int | None:
        """The token that every text begins with; None where the model wants none."""
        ...

    @property
    def settings(self) -> Settings: ...

    @property
    def buffers(self) -> BufferSizes: ...

    def tokenize(self, text: str) -> list[int]:
        """A text's tokens, without :attr:`bos`; what spells a control token stays text."""
        ...

    def read(self, token_ids: Sequence[int], first: int) -> Iterator[Logits]:
        """Evaluate the tokens from an empty KV cache.

        Yields:
            the logits after the tokens ``first``, ``first + 1``, …, in blocks of one row per token
            and one column per token of the vocabulary. A block is valid until the next is asked
            for.

        Raises:
            EngineError: llama.cpp fails.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
