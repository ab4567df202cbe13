"""Examples → windows: as many whole examples as fit, one after another, none of them cut.

Each example is attended to alone, so it does not matter which ones share a window; sharing saves
the time that filling would cost.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence

from localprompt.engine.windows import Window
from localprompt.errors import DatasetError, InputError
from localprompt.finetune.training.examples import Example
from localprompt.records.run import CONTEXT_STEP, whole_context
from localprompt.records.training import Loss


def context_for(examples: Iterable[Example], requested: int | None, most: int) -> int:
    """Tokens of a window.

    Args:
        requested: None: as few as the longest example needs.
        most: what the model was made for.

    Raises:
        InputError: the requested number is no multiple of 256 or above ``most``.
        DatasetError: an example is longer.
    """
    longest = max(examples, key=lambda example: len(example.token_ids))
    needed = len(longest.token_ids) - 1
    n_ctx = requested or whole_context(needed)
    most = max(CONTEXT_STEP, most // CONTEXT_STEP * CONTEXT_STEP)
    if requested and (requested % CONTEXT_STEP or requested > most):
        raise InputError(
            "llama.cpp cannot train with a context of that length",
            where="--n-ctx",
            expected=f"a multiple of {CONTEXT_STEP}, at most {most}",
            found=str(requested),
        )
    if needed > min(n_ctx, most):
        enough = whole_context(needed)
        raise DatasetError(
            "an example is longer than the training context",
            where=longest.where,
            expected=f"at most {min(n_ctx, most) + 1} tokens",
            found=f"{len(longest.token_ids)} tokens",
            next_step=f"--n-ctx {enough}" if enough <= most else "shorten it, or leave it out",
        )
    return n_ctx


def windows(examples: Sequence[Example], n_ctx: int, loss: Loss, filling: int) -> list[Window]:
    """Pack in the given order, each example into the first window that has room.

    Args:
        n_ctx: at least as long as the longest example less one: its last token is only foreseen.
        filling: the token that stands where no example does.
    """
    packs: list[list[Example]] = []
    rooms: list[int] = []
    for example in examples:
        length = len(example.token_ids) - 1
        at = next((n for n, room in enumerate(rooms) if room >= length), None)
        if at is None:
            at = len(packs)
            packs.append([])
            rooms.append(n_ctx)
        packs[at].append(example)
        rooms[at] -= length
    return [_window(pack, n_ctx, loss, filling) for pack in packs]


def digest(*sets: Sequence[Window]) -> str:
    """sha256 of all tokens and of what counts."""
    seen = hashlib.sha256()
    for window in (window for windows_of in sets for window in windows_of):
        for values in (window.token_ids, window.labels, window.counted, window.lengths):
            seen.update(array("q", map(int, values)).tobytes())
    return seen.hexdigest()


def _window(pack: Sequence[Example], n_ctx: int, loss: Loss, filling: int) -> Window:
    tokens: list[int] = []
    labels: list[int] = []
    counted: list[bool] = []
    for example in pack:
        ids = example.token_ids
        tokens += ids[:-1]
        labels += ids[1:]
        first = example.prompt_tokens if loss == "answer" else 1
        counted += [at >= first for at in range(1, len(ids))]
    rest = n_ctx - len(tokens)
    return Window(
        token_ids=(*tokens, *[filling] * rest),
        labels=(*labels, *[filling] * rest),
        counted=(*counted, *[False] * rest),
        lengths=tuple(len(example.token_ids) - 1 for example in pack),
    )
