"""Whose weights a file in the store are, asked before anything is deleted or written over.

The store owns what it was given: what was pulled, made from another model, or came in a bundle. The
card of such weights has no ``path``. A file that somebody put somewhere and registered with
``models add`` is theirs, also where they put it into the store's own folder; its card has one.
Beyond that, no command may take weights away from a card that it did not name: two cards can
describe one file, and a card that another hides (``./models`` comes before the store) is still one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from localprompt import paths
from localprompt.errors import InputError
from localprompt.files import replace_file
from localprompt.models.cards import ModelCard, read_card


def others_using(weights: Path, card_file: Path | None = None) -> tuple[str, ...]:
    """Names of the cards that describe this file, hidden ones included.

    Args:
        weights: the file; links are followed.
        card_file: the card that does not count, because the command is about it.
    """
    cards = (
        card.name
        for path, card in _cards_of(weights)
        if card_file is None or not _same_file(path, card_file)
    )
    return tuple(dict.fromkeys(cards))


def somebodys_own(weights: Path) -> str | None:
    """The name of a model that was registered with this file, so that it is not the store's; None:
    there is none."""
    return next((card.name for _, card in _cards_of(weights) if card.path is not None), None)


def _cards_of(weights: Path) -> Iterator[tuple[Path, ModelCard]]:
    """The cards that describe a file, each with where it stands."""
    wanted = os.path.realpath(weights)
    for folder in paths.search_path("models"):
        for path in sorted(folder.glob("*.toml")):
            try:
                card = read_card(path)
            except InputError:
                continue  # a broken card describes nothing
            if os.path.realpath(card.weights) == wanted:
                yield path, card


def check_may_be_replaced(target: Path, name: str, *, way_out: str) -> None:
    """A new model may take this place in the store: nothing is there, or what we made before.

    Args:
        target: where the new weights will be.
        name: what the new model will be called; its card lies beside ``target``.
        way_out: the command to type instead.

    Raises:
        InputError: the file there is somebody's own, or another model uses it as well.
    """
    if not os.path.lexists(target):
        return
    card_file = target.with_name(f"{name}.toml")
    if others := others_using(target, card_file):
        raise InputError(
            f"the weights of {others[0]} are where {name} would go",
            where=str(target),
            next_step=way_out,
        )
    if not _is_ours(card_file, target):
        raise InputError(
            f"the file where {name} would go was not made by localprompt",
            where=str(target),
            expected="no file, or one that a quantization or a training made",
            next_step=f"move the file away, or {way_out}",
        )


@contextmanager
def claimed(staged: Path, target: Path) -> Iterator[None]:
    """Say that ``staged``, which gets the name ``target`` in here, was made by us.

    Between the file and its card there is an instant; who is killed in it leaves a note by which
    the next one may go on.

    Raises:
        OSError: the note cannot be written.
    """
    note = _note(target)
    replace_file(note, str(staged.stat().st_ino).encode())
    yield
    note.unlink(missing_ok=True)


def _note(target: Path) -> Path:
    return target.with_name(f".{target.stem}.made")


def _is_ours(card_file: Path, target: Path) -> bool:
    with suppress(OSError):
        if _note(target).read_bytes() == str(target.stat().st_ino).encode():
            return True
    try:
        card: ModelCard = read_card(card_file)
    except InputError:
        return False
    return card.path is None and card.own_weights == target and card.parent_sha256 is not None


def _same_file(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
