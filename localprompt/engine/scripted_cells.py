"""A KV cache that remembers which tokens its cells stand for.

It refuses what llama.cpp refuses: more tokens than there are cells, a gap in a sequence's
positions, sequences that share a token but not all tokens before it, more rows of logits than
were asked for. Where each sequence has cells of its own, no token can be in two of them. And it can
say what a token attended to, which no real cache can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from localprompt.engine.device import Slot


class ScriptedCells:
    """Cells by sequence; a cell is its number and its token, and may be in several sequences."""

    def __init__(self, cells: int, outputs: int, *, unified: bool = True) -> None:
        self._size = cells
        self._outputs = outputs
        self._unified = unified
        self._sequences: dict[int, list[tuple[int, int]]] = {}
        self._users: Counter[int] = Counter()
        self._last = 0
        self._seen: dict[int, tuple[int, ...]] = {}

    @property
    def used(self) -> int:
        """Cells that belong to any sequence."""
        return len(self._users)

    def decode(self, slots: Sequence[Slot]) -> None:
        if not slots:
            raise RuntimeError("an empty batch")
        if sum(slot.wants_logits for slot in slots) > self._outputs:
            raise RuntimeError("more rows of logits than there is room for")
        if not self._unified and any(len(slot.sequences) > 1 for slot in slots):
            raise RuntimeError("a token in several sequences, whose cells are their own")
        self._seen = {}
        for at, slot in enumerate(slots):
            held = [self._sequences.setdefault(s, []) for s in slot.sequences]
            if any(one != held[0] for one in held):
                raise RuntimeError("sequences that share a token have diverged")
            if len(held[0]) != slot.position:
                raise RuntimeError(f"position {slot.position} after {len(held[0])} tokens")
            self._last += 1
            for one in held:
                one.append((self._last, slot.token_id))
                if not self._unified and len(one) > self._size:
                    raise RuntimeError(f"{len(one)} of {self._size} cells of a sequence")
            self._users[self._last] = len(held)
            if slot.wants_logits:
                self._seen[at] = tuple(token_id for _, token_id in held[0])
        if self._unified and self.used > self._size:
            raise RuntimeError(f"{self.used} of {self._size} cells")

    def copy(self, source: int, target: int) -> None:
        if self._sequences.get(target):
            raise RuntimeError("a copy into a sequence that is not empty")
        if not self._unified:
            self.fill(target, self.tokens_of(source))
            return
        self._sequences[target] = list(self._sequences[source])
        self._users.update(cell for cell, _ in self._sequences[source])

    def fill(self, sequence: int, token_ids: Sequence[int]) -> None:
        """As a state that is brought back does: cells for tokens that were not decoded here."""
        if self._sequences.get(sequence):
            raise RuntimeError("a state into a sequence that is not empty")
        cells = range(self._last + 1, self._last + 1 + len(token_ids))
        self._last += len(token_ids)
        self._sequences[sequence] = list(zip(cells, token_ids, strict=True))
        self._users.update(cells)

    def tokens_of(self, sequence: int) -> tuple[int, ...]:
        return tuple(token_id for _, token_id in self._sequences.get(sequence, ()))

    def forget(self, sequence: int) -> None:
        for cell, _ in self._sequences.pop(sequence, ()):
            self._users[cell] -= 1
            if not self._users[cell]:
                del self._users[cell]

    def rewind(self, sequence: int, position: int) -> None:
        """Take back the sequence's last tokens, from that position on."""
        held = self._sequences[sequence]
        for cell, _ in held[position:]:
            self._users[cell] -= 1
            if not self._users[cell]:
                del self._users[cell]
        del held[position:]

    def seen_at(self, batch_index: int) -> tuple[int, ...]:
        """What the slot attended to, itself included; it must have asked for logits."""
        return self._seen[batch_index]
