"""The least time that an evaluation could have taken: its tokens over this machine's rates.

The tokens are counted while it runs: what a prompt has in common with one of the prompts answered
before it need not be evaluated again. The rates are measured right afterwards, in the same process
and context, on prompts of the evaluation itself: prefill over a batch as full as one request's
cells allow, decode over as many sequences at once as were used. What a floor leaves out (rendering,
sampling, constraints, scoring, attention over long contexts) is what the evaluation can lose time
with.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from localprompt.engine.base import Finished, GenerationRequest, Prefilled, Token
from localprompt.engine.prefixes import common_tokens
from localprompt.evaluate.models import OpenModel
from localprompt.records.model_use import Floor
from localprompt.records.run import Sampling

LEAST_ANSWERS = 16
"""Fewer take so little time that the measurement would not pay."""
_LOOKED_BACK = 64
"""Prompts. The engine sorts them, so that those with a common beginning follow each other, but for
the order in which those answered at once end."""
_DECODED = 24
_SEED_TOKENS = 8


class Work:
    """Counts the tokens that one target's answers needed."""

    def __init__(self) -> None:
        self.answers = 0
        self.generated = 0
        self.last: tuple[int, ...] = ()
        """The token ids of any of the prompts."""
        self._evaluated = 0
        self._shared: tuple[int, ...] | None = None
        self._before: deque[tuple[int, ...]] = deque(maxlen=_LOOKED_BACK)

    def add(self, token_ids: tuple[int, ...], generated: int) -> None:
        self.answers += 1
        self.generated += generated
        self.last = token_ids
        known = 0
        for one in reversed(self._before):
            longer = len(one) > known < len(token_ids) and one[known] == token_ids[known]
            if longer and one[:known] == token_ids[:known]:
                known = common_tokens(one, token_ids, left=0)
        self._evaluated += max(1, len(token_ids) - known)
        self._before.append(token_ids)
        shared = token_ids if self._shared is None else self._shared
        self._shared = shared[: common_tokens(shared, token_ids, left=0)]

    @property
    def shared(self) -> int:
        """Tokens with which all prompts begin."""
        return len(self._shared or ()) if self.answers > 1 else 0

    @property
    def own(self) -> int:
        """All other prompt tokens that nothing before had in common."""
        return self._evaluated - self.shared


def measure_floor(work: Sequence[Work], opened: OpenModel) -> Floor | None:
    """The floor of this work; None where there is too little of it to measure a rate by."""
    if sum(one.answers for one in work) < LEAST_ANSWERS:
        return None
    token_ids = next(one.last for one in work if one.last)
    generated = sum(one.generated for one in work)
    prefill = _prefill_rate(token_ids, opened)
    decode = _decode_rate(token_ids, opened) if generated else None
    if prefill is None or (generated and decode is None):
        return None
    return Floor(
        shared_tokens=sum(one.shared for one in work),
        own_tokens=sum(one.own for one in work),
        generated_tokens=generated,
        prefill_tokens_per_second=prefill,
        decode_tokens_per_second=decode,
    )


def _prefill_rate(token_ids: tuple[int, ...], opened: OpenModel) -> float | None:
    settings = opened.engine.settings
    size = min(settings.n_batch, opened.cells - 1, opened.most_tokens - 1)
    batch = (token_ids * (size // len(token_ids) + 1))[:size]
    started = time.perf_counter()
    for event in opened.engine.generate([GenerationRequest(batch, Sampling(max_tokens=1))]):
        if isinstance(event, Prefilled):
            elapsed = event.seconds - started
            return size / elapsed if elapsed > 0 else None
    return None


def _decode_rate(token_ids: tuple[int, ...], opened: OpenModel) -> float | None:
    """All sequences at once, from the last one's first token to the first one's end."""
    requests = [
        GenerationRequest(token_ids[:_SEED_TOKENS], Sampling(max_tokens=_DECODED, temperature=1.0))
        for _ in range(opened.parallel)
    ]
    times: list[float] = []
    begun = 0
    for event in opened.engine.generate(requests):
        if isinstance(event, Prefilled):
            begun += 1
        elif isinstance(event, Finished):
            break
        elif isinstance(event, Token) and begun == len(requests):
            times.append(event.seconds)
    steps = times[:: len(requests)]
    if len(steps) < 3:
        return None
    return (len(steps) - 1) * len(requests) / (steps[-1] - steps[0])
