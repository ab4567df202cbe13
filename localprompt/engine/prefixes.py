"""Which beginnings several prompts share, and are therefore worth evaluating once.

The cases of an evaluation begin alike: a system text, examples, the same document with several
questions. Sorted, prompts with a common beginning stand next to each other, and what neighbours
have in common forms a tree: each node is a beginning, its children are longer ones. A node costs
a batch of its own, before anything that begins with it can go on, so only nodes that save more
than that are kept.

Pure functions over token ids; :mod:`localprompt.engine.batching` evaluates what is found here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

TokenIds = tuple[int, ...]

LEAST_SAVED_TOKENS = 64
"""A prefix that saves fewer is not shared. On a CPU a batch of a few dozen tokens costs about as
much per token as a full one; below that, evaluating a prefix apart costs more than it saves."""

MOST_NESTED = 4
"""Prefixes within prefixes: prompt, examples, document, and the same case several times."""


class Prefix:
    """Token ids with which several prompts begin, and what is going on with them.

    Attributes:
        token_ids: the whole beginning; shorter than every prompt that begins with it.
        parent: the next shorter prefix.
        sequence: the sequence that holds it, or None.
        ready: it is evaluated; prompts can go on from it.
        waiting: prompts that will begin with it and do not hold a sequence yet.
        active: prompts that hold a sequence and began with it.
    """

    __slots__ = ("active", "parent", "ready", "sequence", "token_ids", "waiting")

    def __init__(self, token_ids: TokenIds, parent: Prefix | None, waiting: int) -> None:
        self.token_ids = token_ids
        self.parent = parent
        self.sequence: int | None = None
        self.ready = False
        self.waiting = waiting
        self.active = 0

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def own_tokens(self) -> int:
        """Tokens beyond its parent's."""
        return len(self) - (len(self.parent) if self.parent else 0)

    def chain(self) -> Iterator[Prefix]:
        """This prefix and all shorter ones, longest first."""
        node: Prefix | None = self
        while node is not None:
            yield node
            node = node.parent


def shared_prefixes(
    prompts: Sequence[TokenIds],
    held: Prefix | None = None,
    *,
    least_saved: int = LEAST_SAVED_TOKENS,
    most_nested: int = MOST_NESTED,
) -> list[Prefix | None]:
    """The longest prefix worth sharing for each prompt; None where there is none.

    Args:
        prompts: sorted. A prefix leaves at least one token of each prompt to be evaluated,
            because its logits are needed.
        held: what earlier prompts begin with. As much of it as all of these begin with is theirs,
            too, and waits for them.
    """
    held = _begun_by_all(held, prompts)
    if held is not None:
        for node in held.chain():
            node.waiting += len(prompts)
    found: list[Prefix | None] = [held] * len(prompts)
    common = [0, *(common_tokens(a, b) for a, b in pairwise(prompts))]
    ranges: list[tuple[int, int, Prefix | None]] = [(0, len(prompts), held)]
    while ranges:
        start, end, parent = ranges.pop()
        if end - start < 2:
            continue
        shared = min(common[start + 1 : end])
        longest = parent
        saved = (shared - (len(parent) if parent else 0)) * (end - start - 1)
        if saved >= least_saved and (parent is None or _nested(parent) < most_nested):
            longest = Prefix(prompts[start][:shared], parent, end - start)
            found[start:end] = [longest] * (end - start)
        cuts = [start, *(at for at in range(start + 1, end) if common[at] == shared), end]
        ranges.extend((a, b, longest) for a, b in pairwise(cuts))
    return found


def _begun_by_all(held: Prefix | None, prompts: Sequence[TokenIds]) -> Prefix | None:
    """The longest of a prefix and its shorter ones with which each of the sorted prompts begins."""
    if held is None or not prompts:
        return None
    ends = (prompts[0], prompts[-1])  # what both begin with, all do; the shortest comes first
    return next(
        (
            node
            for node in held.chain()
            if all(len(end) > len(node) and end[: len(node)] == node.token_ids for end in ends)
        ),
        None,
    )


def common_tokens(a: TokenIds, b: TokenIds, *, left: int = 1) -> int:
    """How many tokens both begin with, leaving at least so many of each."""
    low, high = 0, max(0, min(len(a), len(b)) - left)
    while low < high:  # comparing slices is a loop in C, comparing items one in Python
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _nested(prefix: Prefix) -> int:
    return sum(1 for _ in prefix.chain())
