"""From the moments of one request to the figures of its :class:`~localprompt.records.run.Timing`.

Whoever runs a request notes when each phase began and when each token was there, all with
``time.perf_counter()``; everything else is arithmetic, kept here so that ``ask``, benches and
evaluations cannot disagree about what a word means::

    submitted   tokenized  prefill_start    prefill_end   token 1   token 2        token N  finished
        |───────────|───────────|────────────────|───────────|─────────|── … ──────────|────────|
        |◀────────────────────── TTFT ──────────────────────▶|◀── ITL ─▶|              |
        |           |           |◀─── prefill ──▶|           |◀──────── decode ───────▶|

The model is already open when a request is submitted: loading is reported beside these figures,
never within them. What did not happen has no figure: no token, no TTFT; one token, no decode.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from localprompt.records.run import Samples, Timing, TokenCounts
from localprompt.stats.samples import quantile


class Marks(msgspec.Struct, frozen=True):
    """When the phases of one request were reached; ``time.perf_counter()`` seconds.

    None: the phase was not reached, as after an interruption.
    """

    submitted: float
    """The messages were handed over, with the model open and its context prepared."""
    tokenized: float | None = None
    """The chat template was applied and the token ids are there."""
    prefill_start: float | None = None
    prefill_end: float | None = None
    """The logits of the prompt's last token are there."""
    released: float | None = None
    """Text came without a token of its own: what was held back, at the end, because it might
    have become a stop string. Counts for TTFT where no token brought text before."""
    finished: float | None = None
    """The answer is complete; later than the last token by the step that ended it."""
    prefix_store_seconds: float | None = None
    """A duration between prefill_start and prefill_end in which nothing was evaluated: the state
    of a prefix was read or written. None: no store was asked."""


class TokenEvent(msgspec.Struct, frozen=True):
    """A generated token; the end-of-generation token is none."""

    seconds: float
    """When it was there, ``time.perf_counter()``."""
    has_text: bool
    """False where it brought nothing to show: a part of a character, or text held back."""


def timing(
    marks: Marks,
    tokens: Sequence[TokenEvent],
    counts: TokenCounts,
    *,
    load_seconds: float | None = None,
    render_seconds: float | None = None,
) -> Timing:
    """The figures of one request.

    ``render_seconds`` is a duration because templates are rendered before the request is
    submitted; it is part of ``total_seconds`` and not of ``ttft_seconds``.

    Raises:
        ValueError: the moments run backwards, or ``counts.completion`` is not the number of
            token events. Both are mistakes of the caller, not of the user.
    """
    _check(marks, tokens, counts)
    prefill_seconds = _elapsed(marks.prefill_start, marks.prefill_end)
    if prefill_seconds is not None:
        prefill_seconds -= marks.prefix_store_seconds or 0
    decode_seconds = tokens[-1].seconds - tokens[0].seconds if len(tokens) > 1 else None
    request_seconds = _elapsed(marks.submitted, marks.finished)
    gaps = sorted(token_gaps([token.seconds for token in tokens]))
    return Timing(
        load_seconds=load_seconds,
        render_seconds=render_seconds,
        tokenize_seconds=_elapsed(marks.submitted, marks.tokenized),
        prefill_seconds=prefill_seconds,
        ttft_seconds=_elapsed(marks.submitted, _first_text(marks, tokens)),
        decode_seconds=decode_seconds,
        total_seconds=None if request_seconds is None else request_seconds + (render_seconds or 0),
        prefill_tokens_per_second=_rate(counts.prompt - counts.reused, prefill_seconds),
        decode_tokens_per_second=_rate(len(tokens) - 1, decode_seconds),
        itl_p50_seconds=quantile(gaps, 0.5) if gaps else None,
        itl_p95_seconds=quantile(gaps, 0.95) if gaps else None,
        prefix_store_seconds=marks.prefix_store_seconds,
    )


def samples(marks: Marks, tokens: Sequence[TokenEvent]) -> Samples:
    """The raw times to keep: seconds from submission to each token."""
    return Samples(token_seconds=tuple(token.seconds - marks.submitted for token in tokens))


def token_gaps(token_seconds: Sequence[float]) -> tuple[float, ...]:
    """Inter-token latencies: one less than there are tokens. Takes any origin of time."""
    return tuple(later - earlier for earlier, later in pairwise(token_seconds))


def _first_text(marks: Marks, tokens: Sequence[TokenEvent]) -> float | None:
    return next((token.seconds for token in tokens if token.has_text), marks.released)


def _elapsed(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


def _rate(count: int, seconds: float | None) -> float | None:
    """None rather than 0 or infinity: nothing was done, or the clock did not see it."""
    return count / seconds if seconds and count > 0 else None


def _check(marks: Marks, tokens: Sequence[TokenEvent], counts: TokenCounts) -> None:
    if counts.completion != len(tokens):
        raise ValueError(f"{counts.completion} tokens counted, {len(tokens)} events given")
    moments = [marks.submitted, marks.tokenized, marks.prefill_start, marks.prefill_end]
    moments += [token.seconds for token in tokens]
    moments += [marks.released, marks.finished]
    reached = [moment for moment in moments if moment is not None]
    if reached != sorted(reached):
        raise ValueError(f"the moments of a request run backwards: {reached}")
