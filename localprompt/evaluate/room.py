"""How large a context the requests of an evaluation get, and how its cells are dealt out.

Shared cells take the least memory: requests of any length lie side by side, and what they begin
with is there once. But attention looks at all cells to find a sequence's own, which costs more the
more sequences decode at once. Cells of its own for each sequence avoid that, at the price of as
many for all as the longest request needs.

What is faster is counted from what was measured on this machine (:mod:`localprompt.evaluate.ways`).
Where nothing was, cells are dealt out where answers are generated and the cache stays small; a
model whose cells are large gains little by it, because its weights take nearly all of the time.
benchmarks/LOG.md has the figures behind those numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from localprompt.engine.prefixes import MOST_NESTED
from localprompt.records.run import CONTEXT_STEP, whole_context

MOST_SHARING = 16
"""Sequences that decode at once in shared cells; what more would gain, attention takes."""
MOST_APART = 32
"""The same with cells of their own; beyond it memory grows faster than speed."""
MOST_APART_BYTES = 256 * 1024**2
"""What their cells may take together."""
LEAST_APART = 8
"""Fewer find each other's cells quickly."""
_MOST_SEQUENCES = 256
"""Of a context, those for shared prefixes included: a limit of llama.cpp."""


class Room(msgspec.Struct, frozen=True):
    """The shape of a context."""

    parallel: int
    cells: int
    """All of them, or those of each sequence."""
    kv_unified: bool
    flash_attn: bool | None = None
    """None: as llama.cpp chooses."""
    n_ubatch: int | None = None
    """None: as many tokens as usual."""

    @property
    def sequences(self) -> int:
        """Those for requests and those for shared prefixes."""
        return self.parallel + MOST_NESTED if self.parallel > 1 else 1

    def computes_like(self, other: Room) -> bool:
        return (self.flash_attn, self.n_ubatch) == (other.flash_attn, other.n_ubatch)

    def sized(self, parallel: int, cells: int, *, kv_unified: bool) -> Room:
        """Of other size, and computing alike."""
        return Room(parallel, cells, kv_unified, self.flash_attn, self.n_ubatch)

    def holds(self, needs: Sequence[int], shared: int, parallel: int) -> bool:
        """Whether it serves requests of so many cells, largest first, so many of them at once."""
        if parallel > self.parallel:
            return False
        most = _together(needs[:parallel], shared) if self.kv_unified else needs[0]
        return most <= self.cells


USUAL = Room(parallel=1, cells=CONTEXT_STEP, kv_unified=True)
"""The smallest there is, with attention as llama.cpp chooses."""


def shared_room(
    needs: Sequence[int],
    shared: int,
    wanted: int | None,
    fits: Callable[[Room], bool],
    before: Room | None,
    like: Room = USUAL,
) -> Room:
    """Shared cells for as many requests at once as fit into free memory.

    Args:
        needs: cells of each request, the largest first; at least one.
        shared: of those, the ones of what all requests begin with; they are there once.
        wanted: requests at once, where the user said so.
        fits: whether a context of that shape is predicted to fit.
        before: the open context, whose size is kept at least where it computes alike.
        like: how attention is computed.
    """
    parallel = _at_once(wanted or MOST_SHARING, needs)
    cells = 0
    if before is not None and before.kv_unified and before.computes_like(like):
        parallel, cells = max(parallel, before.parallel), before.cells

    def room(parallel: int) -> Room:
        most = max(_together(needs[:parallel], shared), cells)
        return like.sized(parallel, whole_context(most), kv_unified=True)

    while parallel > 1 and not fits(room(parallel)):
        parallel -= 1
    return room(parallel)


def room_apart(
    needs: Sequence[int],
    wanted: int | None,
    fits: Callable[[Room], bool],
    before: Room | None,
    kv_cache_bytes: Callable[[int], int | None],
    like: Room = USUAL,
    most_bytes: int = MOST_APART_BYTES,
    least: int = LEAST_APART,
) -> Room | None:
    """Cells of its own for each sequence; None where that does not pay off.

    Args:
        needs, wanted, fits, before, like: as for :func:`shared_room`.
        kv_cache_bytes: what one sequence of so many cells takes; None: unknown.
        most_bytes: what the cells of all may take together.
        least: fewer sequences find each other's cells quickly.
    """
    parallel, cells = _at_once(wanted or MOST_APART, needs), whole_context(needs[0])
    if before is not None and not before.kv_unified and before.computes_like(like):
        parallel, cells = max(parallel, before.parallel), max(cells, before.cells)
    of_each = kv_cache_bytes(cells)
    if parallel < least or not of_each:
        return None
    fitting = min(parallel, most_bytes // of_each - MOST_NESTED)
    room = like.sized(fitting, cells, kv_unified=False)
    enough = parallel if wanted else min(parallel, MOST_SHARING)
    return room if room.parallel >= enough and fits(room) else None


def _together(needs: Sequence[int], shared: int) -> int:
    return shared + sum(need - shared for need in needs)


def _at_once(most: int, needs: Sequence[int]) -> int:
    return min(most, len(needs), _MOST_SEQUENCES - MOST_NESTED)
