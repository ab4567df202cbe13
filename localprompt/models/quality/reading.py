"""A text, chunk by chunk, through one model or through a model and its parent.

As llama-perplexity does it: the text's tokens, with the model's begin-of-text token in front, are
cut into chunks of n_ctx; what is left over is not read. Each chunk is read from an empty KV cache
with its first token replaced by the begin-of-text token, where the model has one, and tokens are
scored in its second half only, where each has at least n_ctx / 2 tokens before it.

Beside its parent a model reads the same chunk while the parent's logits are there: both are open at
the same time, and nothing is written to disk (docs/decisions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from localprompt.engine.reading import Reader
from localprompt.errors import InputError
from localprompt.models.predict import with_mapping_decided
from localprompt.models.quality.likelihood import (
    Tally,
    divergence_of,
    divergences,
    losses,
    perplexity_of,
)
from localprompt.records.quality import Divergence, Perplexity
from localprompt.records.run import RequestedSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Logits = npt.NDArray[np.float32]

DEFAULT_N_CTX = 512
_LEAST_CHUNKS = 2
_DEFAULTS = RequestedSettings()

OnChunk = Callable[[int, int], None]
"""Told how many chunks are done, and of how many."""


class Comparison(msgspec.Struct, frozen=True):
    """A model and its parent over the same text."""

    model: Perplexity
    parent: Perplexity
    divergence: Divergence


def perplexity(
    model_path: Path,
    text: str,
    n_ctx: int = DEFAULT_N_CTX,
    *,
    settings: RequestedSettings = _DEFAULTS,
) -> Perplexity:
    """The perplexity of a model on a text, as llama-perplexity computes it; in this process.

    Args:
        model_path: a GGUF file.
        text: at least two chunks of ``n_ctx`` tokens.
        settings: of weights and context; its own n_ctx is not looked at.

    Raises:
        InputError: the text is too short.
        ModelFileError, EngineError, NotEnoughMemoryError: llama.cpp cannot open it, or fails.
    """
    from localprompt.engine.llama.perplexity import LlamaReader

    settings = with_mapping_decided(settings, model_path)
    with LlamaReader(model_path, settings, n_ctx=n_ctx) as reader:
        return read_text(reader, text, n_ctx)


def read_text(
    reader: Reader, text: str, n_ctx: int = DEFAULT_N_CTX, on_chunk: OnChunk | None = None
) -> Perplexity:
    """The perplexity of an open model on a text.

    Raises:
        InputError: the text is too short.
        EngineError: llama.cpp fails.
    """
    tally = Tally()
    chunks = chunks_of(reader, text, n_ctx)
    for done, chunk in enumerate(chunks, start=1):
        for logits, targets in _scored(reader, chunk):
            tally.add(losses(logits, targets))
        if on_chunk is not None:
            on_chunk(done, len(chunks))
    return perplexity_of(tally)


def read_beside(
    reader: Reader,
    parent: Reader,
    text: str,
    n_ctx: int = DEFAULT_N_CTX,
    on_chunk: OnChunk | None = None,
    *,
    hopeless: float | None = None,
) -> Comparison:
    """A model beside its parent, over the same text.

    Args:
        hopeless: a ratio of perplexities; reading ends early, but not before the second chunk,
            where the whole interval of the ratio lies above it.

    Raises:
        InputError: the text is too short, or the two have different vocabularies.
        EngineError: llama.cpp fails.
    """
    chunks = chunks_of(reader, text, n_ctx)
    if reader.n_vocab != parent.n_vocab or chunks != chunks_of(parent, text, n_ctx):
        raise InputError(
            "the two models have different vocabularies: their distributions cannot be compared",
            expected=f"{parent.n_vocab} tokens, as the parent",
            found=f"{reader.n_vocab} tokens",
            next_step="--against the model that it was made from",
        )
    own, others, differences, kl = Tally(), Tally(), Tally(), Tally()
    agreed = 0
    for done, chunk in enumerate(chunks, start=1):
        both = zip(_scored(reader, chunk), _scored(parent, chunk), strict=True)
        for (logits, targets), (parents, _) in both:
            loss, loss_of_parent = losses(logits, targets), losses(parents, targets)
            own.add(loss)
            others.add(loss_of_parent)
            differences.add(loss - loss_of_parent)
            found, same = divergences(parents, logits)
            kl.add(found)
            agreed += same
        if on_chunk is not None:
            on_chunk(done, len(chunks))
        interval = divergence_of(kl, differences, agreed).ratio_interval
        if hopeless and interval and done >= _LEAST_CHUNKS and interval.low > hopeless:
            break
    return Comparison(
        perplexity_of(own), perplexity_of(others), divergence_of(kl, differences, agreed)
    )


def chunks_of(reader: Reader, text: str, n_ctx: int) -> list[list[int]]:
    """The text's tokens in whole chunks, each beginning as the model wants texts to begin.

    Raises:
        InputError: there are fewer than two.
    """
    start = [] if reader.bos is None else [reader.bos]
    tokens = start + reader.tokenize(text)
    check_length(len(tokens), n_ctx)
    chunks = [tokens[at * n_ctx : (at + 1) * n_ctx] for at in range(len(tokens) // n_ctx)]
    return [start + chunk[len(start) :] for chunk in chunks]


def check_length(tokens: int, n_ctx: int) -> None:
    """
    Raises:
        InputError: a text of so many tokens is too short to be read in chunks of n_ctx.
    """
    if tokens < _LEAST_CHUNKS * n_ctx:
        raise InputError(
            "the text is too short to measure perplexity on",
            expected=f"at least {_LEAST_CHUNKS * n_ctx} tokens",
            found=f"{tokens} tokens",
        )


def _scored(reader: Reader, chunk: Sequence[int]) -> Iterator[tuple[Logits, Sequence[int]]]:
    """Blocks of logits of the second half, and the tokens that do follow them."""
    at = len(chunk) // 2
    for logits in reader.read(chunk, at):
        targets = chunk[at + 1 : at + 1 + len(logits)]
        if targets:
            yield logits[: len(targets)], targets
        at += len(logits)
