"""The seam for synthetic work: so many random tokens through a model, and nothing else.

What a prompt costs depends on its text, its sampling and its answer. To compare machines, builds
and settings (and to stand beside llama-bench) the same amount of work is needed everywhere:
prefill N tokens at once, or decode N tokens one by one, without sampling.
"""

from __future__ import annotations

from typing import Protocol, Self

from localprompt.engine.base import BufferSizes
from localprompt.records.run import RunWarning, Settings


class SyntheticEngine(Protocol):
    """One open model and its context. Not safe for use by two threads at once."""

    @property
    def settings(self) -> Settings: ...

    @property
    def buffers(self) -> BufferSizes: ...

    @property
    def build(self) -> str: ...

    @property
    def cpu_features(self) -> tuple[str, ...]: ...

    @property
    def remarks(self) -> tuple[RunWarning, ...]:
        """What a reader of the figures should know about how it was opened."""
        ...

    @property
    def load_seconds(self) -> float:
        """Opening the weights and making the context."""
        ...

    def clear(self) -> None:
        """Empty the KV cache; not part of what is timed."""
        ...

    def prefill(self, n_tokens: int) -> None:
        """Evaluate ``n_tokens`` random tokens, in batches of n_batch; logits for the last only."""
        ...

    def decode(self, n_tokens: int) -> list[float]:
        """Evaluate ``n_tokens`` random tokens one by one, with logits.

        Returns:
            ``time.perf_counter()`` when each was evaluated.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
