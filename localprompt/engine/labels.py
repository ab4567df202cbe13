"""The choices of a closed answer as a tree of tokens.

The log-probability of a choice after a prompt is the sum over its tokens, each given those before
it. Choices that begin alike share those terms, and a term needs logits only *before* its token:
the last token of a choice is looked up and never evaluated. Two labels of one token each take
nothing beyond the prompt. What remains to be evaluated are the tokens that something follows,
each once, together with the prompt in one batch.

Siblings must not see each other. A sequence sees only its own cells, and a cell may belong to
several sequences: every way through the tree (a *branch*) gets a sequence, the prompt and shared
tokens belong to all the branches that pass through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from localprompt.engine.device import LookedUp

TokenIds = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stem:
    """A beginning of one or more choices, after which logits are needed."""

    token_ids: TokenIds
    """From the prompt's end on; empty for the prompt's end itself."""
    next_ids: TokenIds
    """The tokens to be looked up there."""
    branches: tuple[int, ...]
    """The ways through the tree that pass here."""


@dataclass(frozen=True, slots=True)
class LabelTree:
    stems: tuple[Stem, ...]
    """Shorter ones first; the first is the prompt's end."""
    branches: int
    terms: tuple[tuple[tuple[int, int], ...], ...]
    """For each choice the terms of its sum: (stem, position in its ``next_ids``)."""

    @property
    def evaluated_tokens(self) -> int:
        """Tokens beyond the prompt's."""
        return len(self.stems) - 1

    def sums(self, looked_up: Sequence[Sequence[float]]) -> tuple[float, ...]:
        """Log-probabilities of the choices from those looked up after each stem."""
        return tuple(sum(looked_up[stem][at] for stem, at in terms) for terms in self.terms)

    def greedy(self, looked_up: Sequence[LookedUp]) -> tuple[bool, ...]:
        """Whether each choice is what the model would have written: every token the best."""
        return tuple(
            all(looked_up[stem].values[at] >= looked_up[stem].best for stem, at in terms)
            for terms in self.terms
        )


@lru_cache(maxsize=64)
def label_tree(choices: tuple[TokenIds, ...]) -> LabelTree:
    """The tree of these choices.

    Args:
        choices: token ids, none empty; one may be the beginning of another.
    """
    starts = sorted(
        {ids[:n] for ids in choices for n in range(len(ids))}, key=lambda s: (len(s), s)
    )
    ends = [s for s in starts if not any(len(t) > len(s) and t[: len(s)] == s for t in starts)]
    stems = tuple(
        Stem(
            token_ids=start,
            next_ids=tuple(
                dict.fromkeys(
                    ids[len(start)]
                    for ids in choices
                    if len(ids) > len(start) and ids[: len(start)] == start
                )
            ),
            branches=tuple(b for b, end in enumerate(ends) if end[: len(start)] == start),
        )
        for start in starts
    )
    index = {stem.token_ids: at for at, stem in enumerate(stems)}
    terms = tuple(
        tuple(
            (index[ids[:n]], stems[index[ids[:n]]].next_ids.index(ids[n])) for n in range(len(ids))
        )
        for ids in choices
    )
    return LabelTree(stems, len(ends), terms)
