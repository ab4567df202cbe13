"""How the requests of an evaluation go through a model fastest, by what was measured here; pure.

Four things belong together: flash attention or not, cells of its own for each sequence or the same
for all, how many are answered at once, and how many tokens make a physical batch. Each combination
is counted for one request, with what attention takes
(:mod:`localprompt.running.attention_costs`) and the rest of the model::

    prompt   rest(t) ÷ k  +  attention of its tokens, k prompts of together t tokens in a batch
    answer   tokens × (rest(n) + step(n)) ÷ n, for n sequences at once
    shared   attention of what all begin with ÷ requests

The fewest cells win among those that are almost as fast as the fastest. What is counted comes from
the plan alone (its first prompts, its number of requests), and never from what is left to do: an
evaluation that was cut off goes on the way it went.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from statistics import mean

import msgspec

from localprompt.engine.prefixes import common_tokens
from localprompt.running.attention_costs import TILE, Costs

LOOKED_AT = 32
"""Requests of the plan by which a way is chosen."""
AS_FAST = 1.03
"""So much longer than the fastest may take what needs less memory."""
_N_BATCH = 512
_PHYSICAL = (512, 128)
"""Tokens of a physical batch without flash attention: its scores grow with them."""
_AT_ONCE = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
"""In the same cells. With cells of their own no more than the usual number: with 64 instead of 32
the starter model took 1.07 times as long for texts, which batches of 8 do not foretell."""


class Shape(msgspec.Struct, frozen=True):
    """What the requests of one target look like."""

    shared_tokens: int
    """With which all begin."""
    own_tokens: int
    """Of each prompt beyond those, on average."""
    answer_tokens: int
    """Expected of each; 0 where choices are scored."""
    requests: int
    """Of the whole plan."""
    in_turn: bool = False
    """Whether each waits for the one before it."""

    @classmethod
    def of(
        cls,
        prompts: Sequence[tuple[int, ...]],
        answer_tokens: int,
        requests: int,
        *,
        in_turn: bool = False,
    ) -> Shape:
        """By some of the prompts; at least one."""
        shared = common_tokens(min(prompts), max(prompts)) if len(prompts) > 1 else 0
        own = max(1, round(mean(len(prompt) for prompt in prompts)) - shared)
        return cls(shared, own, answer_tokens, requests, in_turn)


class Way(msgspec.Struct, frozen=True):
    """One combination."""

    flash_attn: bool
    apart: bool
    parallel: int
    n_ubatch: int
    seconds: float
    """Of one request, estimated."""
    cells: int
    """Of all sequences together, estimated."""


def ways(
    shape: Shape, costs: Costs, *, generating: bool, usual: tuple[int, int]
) -> tuple[Way, ...]:
    """The best combination for each kind of attention and of cells, best first.

    Args:
        generating: choices are scored in shared cells only.
        usual: requests at once apart and together, where there is nothing to choose those by.
    """
    kinds = product((True, False), (True, False) if generating else (False,))
    counted = [list(_of_kind(shape, costs, *kind, usual=usual)) for kind in kinds]
    ranked = sorted((_best(kind) for kind in counted if kind), key=lambda way: way.seconds)
    first = _best(ranked)
    return (first, *(way for way in ranked if way is not first))


def reason(chosen: Way, among: Sequence[Way]) -> str:
    """Why it was taken, as the record says it."""
    cells = "with cells of their own" if chosen.apart else "in the same cells"
    count = f"{chosen.parallel} at once {cells}" if chosen.parallel > 1 else "one after the other"
    others = [way.seconds for way in among if way.flash_attn != chosen.flash_attn]
    word = "on" if chosen.flash_attn else "off"
    if not others or not chosen.seconds:
        return f"{word} ({count})"
    other = "off" if chosen.flash_attn else "on"
    return f"{word} ({count}; {other} would take {min(others) / chosen.seconds:.2f} times as long)"


def _best(among: Sequence[Way]) -> Way:
    least = min(way.seconds for way in among)
    enough = [way for way in among if way.seconds <= AS_FAST * least]
    return min(enough, key=lambda way: (way.cells, not way.flash_attn, way.n_ubatch))


def _of_kind(
    shape: Shape, costs: Costs, flash_attn: bool, apart: bool, *, usual: tuple[int, int]
) -> Iterator[Way]:
    counts: Sequence[int] = (usual[0] if apart else usual[1],)
    if costs.knows_steps:
        counts = [count for count in _AT_ONCE if not apart or count <= usual[0]]
    each = shape.own_tokens + shape.answer_tokens
    for count, n_ubatch in product(counts, (_N_BATCH,) if flash_attn else _PHYSICAL):
        parallel = min(1 if shape.in_turn else count, max(1, shape.requests))
        if apart and parallel == 1:
            continue
        prompt = _Prompt(shape, costs, flash_attn, apart, parallel, n_ubatch)
        shared = costs.prompt(flash_attn, 0, shape.shared_tokens, n_ubatch)
        seconds = shared / max(1, shape.requests) + prompt.seconds()
        if shape.answer_tokens:
            seconds += _answer(shape, costs, flash_attn, apart, parallel)
        cells = parallel * each + shape.shared_tokens * (parallel if apart else 1)
        yield Way(flash_attn, apart, parallel, n_ubatch, seconds, cells)


def _answer(shape: Shape, costs: Costs, flash_attn: bool, apart: bool, parallel: int) -> float:
    """A request's share of the steps in which its answer is decoded, half of it being there."""
    own = shape.own_tokens + shape.answer_tokens // 2
    step = costs.step(
        flash_attn,
        parallel,
        shape.shared_tokens + own,
        0 if apart else (parallel - 1) * own,
        apart=apart,
    )
    return shape.answer_tokens * (costs.rest(parallel) + step) / parallel


class _Prompt:
    """A prompt's own tokens, evaluated with those of others where they lie in the same cells."""

    def __init__(
        self,
        shape: Shape,
        costs: Costs,
        flash_attn: bool,
        apart: bool,
        parallel: int,
        n_ubatch: int,
    ) -> None:
        self._shape = shape
        self._costs = costs
        self._flash_attn = flash_attn
        alone = apart or shape.own_tokens > _N_BATCH
        self._together = 1 if alone else max(1, min(parallel, _N_BATCH // shape.own_tokens))
        each = shape.own_tokens + shape.answer_tokens // 2
        self._others = 0 if apart else (parallel - 1) * each
        self._n_ubatch = n_ubatch

    def seconds(self) -> float:
        tokens = self._together * self._shape.own_tokens
        return (self._costs.rest(tokens) + self._attention(tokens)) / self._together

    def _attention(self, tokens: int) -> float:
        shape, costs = self._shape, self._costs
        if self._together == 1 and not self._others:
            end = shape.shared_tokens + tokens
            return costs.prompt(self._flash_attn, shape.shared_tokens, end, self._n_ubatch)
        if not self._flash_attn:
            # Every token meets all cells, and those that it does not see are masked.
            cells = shape.shared_tokens + shape.own_tokens + self._others
            sizes = [self._n_ubatch] * (tokens // self._n_ubatch) + [tokens % self._n_ubatch]
            return sum(costs.attention(False, n, max(0, cells - n)) for n in sizes if n)
        middle = shape.shared_tokens + shape.own_tokens // 2
        if tokens < TILE:
            return costs.step(True, tokens, middle, self._others, apart=False)
        # Tiles of the others' cells are skipped.
        start = max(0, middle - tokens // 2)
        return costs.prompt(True, start, start + tokens, self._n_ubatch)
