"""Where incoming weights are written and checked, whatever brought them.

A :class:`Receiver` hashes while it writes, refuses the first byte too many and gives the file
away only when size and sha256 are those of the card. Weights of another content never survive:
it deletes what it holds as soon as it knows.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from localprompt.errors import ChecksumError
from localprompt.files import sync
from localprompt.models.cards import ModelCard

Stage = Literal["download", "unpack", "copy", "verify", "quantize", "bundle"]

CHUNK_BYTES = 256 * 1024


class Progress(Protocol):
    """How far a pull, or a quantization, has come.

    Calls are frequent; a view decides how often to draw.
    """

    def __call__(self, stage: Stage, done_bytes: int, total_bytes: int | None, /) -> None:
        """``total_bytes`` is None where it is not known. ``done_bytes`` begins above 0 where a
        download is resumed, and falls back to 0 where it has to start over."""
        ...


def no_progress(_stage: Stage, _done_bytes: int, _total_bytes: int | None) -> None:
    """For callers that show nothing."""


class Receiver:
    """Takes the bytes of one model in order; a context manager that closes its file.

    Args:
        card: what is expected.
        path: where to write; on the filesystem of the store.
        stage: what to call this in ``progress``.
        resume: keep the bytes that an earlier pull of the same card left at ``path``.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(
        self, card: ModelCard, path: Path, stage: Stage, progress: Progress, *, resume: bool = False
    ) -> None:
        self.card = card
        self.path = path
        self.position = 0
        """Bytes received so far."""
        self._stage: Stage = stage
        self._progress = progress
        self._digest = hashlib.sha256()
        self._file = path.open("a+b")
        if resume and path.stat().st_size <= card.size_bytes:
            self._take_over()
        else:
            self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def restart(self) -> None:
        """Forget everything that was received."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.position = 0

    def write(self, chunk: bytes) -> None:
        """Append.

        Raises:
            ChecksumError: more bytes than the card says; nothing is kept.
            OSError: the disk refused; nothing is kept.
        """
        if self.position + len(chunk) > self.card.size_bytes:
            self._refuse("size", f"{self.card.size_bytes} bytes", "more")
        try:
            self._file.write(chunk)
        except OSError:
            self.discard()
            raise
        self._digest.update(chunk)
        self.position += len(chunk)
        self._progress(self._stage, self.position, self.card.size_bytes)

    def finish(self) -> Path:
        """The complete file, checked and on the disk.

        Raises:
            ChecksumError: another size or another sha256 than the card's; nothing is kept.
            OSError: the disk refused; nothing is kept.
        """
        if self.position != self.card.size_bytes:
            self._refuse("size", f"{self.card.size_bytes} bytes", f"{self.position} bytes")
        if (found := self._digest.hexdigest()) != self.card.sha256:
            self._refuse("sha256", self.card.sha256, found)
        try:
            self._file.close()
            sync(self.path)
        except OSError:
            self.discard()
            raise
        return self.path

    def discard(self) -> None:
        """Delete what was received."""
        with suppress(OSError):  # a full disk refuses the last buffer a second time
            self._file.close()
        self.path.unlink(missing_ok=True)

    def _take_over(self) -> None:
        self._file.seek(0)
        while chunk := self._file.read(CHUNK_BYTES):
            self._digest.update(chunk)
            self.position += len(chunk)

    def _refuse(self, what: str, expected: str, found: str) -> None:
        self.discard()
        raise ChecksumError(
            f"what was fetched is not {self.card.name}: its {what} differs from the card's",
            where=self.card.file,
            expected=expected,
            found=found,
            next_step=f"localprompt models pull {self.card.name}",
        )
