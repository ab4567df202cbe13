"""What processes of this home are measuring right now, with how far they are.

Each measurement (a bench, an evaluation, a tuning, a search for a better prompt, a training) has a
file of its own in ``$LOCALPROMPT_HOME/running`` while it lasts, with a lock on it, in which it
writes how far it is. The lock goes with the process, however that ends: a file whose lock can be
had is left over, and whoever looks removes it. So benches learn that others spoil their times,
and the local page and ``runs list`` can say what is going on.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from localprompt import paths
from localprompt.records.json import decode_as

Activity = Literal["bench", "eval", "tune", "improve", "finetune", "page"]
WORDS: dict[str, str] = {
    "bench": "bench",
    "eval": "evaluation",
    "tune": "tuning",
    "improve": "search for a better prompt",
    "finetune": "training",
    "page": "run from the local page",
}

_SECONDS_BETWEEN_WRITES = 0.5
_numbers = itertools.count()


class UnderWay(msgspec.Struct, frozen=True):
    """One measurement that is being made."""

    kind: Activity
    pid: int
    title: str = ""
    """A suite's, a prompt's or a model's name."""
    result_id: str | None = None
    """Of what is stored of it in the history; None: nothing yet."""
    started_at: str | None = None
    doing: str = ""
    """In the words of its progress bar."""
    done: int | None = None
    """Steps that are done; None: it does not count."""
    total: int | None = None
    """Steps in all, as far as can be told."""

    @property
    def text(self) -> str:
        """``evaluation tones, 120 of 400 (process 4711)``."""
        count = "" if self.done is None else f", {self.done}"
        count += f" of {self.total}" if count and self.total is not None else ""
        name = f" {self.title}" if self.title else ""
        return f"{WORDS[self.kind]}{name}{count} (process {self.pid})"


class Notice:
    """What others see of one's own measurement."""

    def __init__(self, shown: UnderWay, place: Path | None, descriptor: int = -1) -> None:
        self._shown = shown
        self._place = place
        self._descriptor = descriptor
        self._written = float("-inf")

    def tell(self, doing: str, done: int | None = None, total: int | None = None) -> None:
        """How far it is; written a few times a second at most."""
        now = time.monotonic()
        self._shown = msgspec.structs.replace(self._shown, doing=doing, done=done, total=total)
        if now - self._written >= _SECONDS_BETWEEN_WRITES:
            self._written = now
            self.write()

    def write(self) -> None:
        if self._place is None:
            return
        content = msgspec.json.encode(self._shown)
        with suppress(OSError):  # a full disk takes nothing from what is measured
            os.pwrite(self._descriptor, content, 0)
            os.ftruncate(self._descriptor, len(content))

    def others(self) -> tuple[UnderWay, ...]:
        """What other processes are doing."""
        return () if self._place is None else under_way()


@contextmanager
def announced(kind: Activity, title: str, result_id: str | None = None) -> Iterator[Notice]:
    """Be known to other processes while the body runs.

    Where the folder cannot be written nobody is told of anything; the body runs all the same.
    """
    shown = UnderWay(
        kind,
        os.getpid(),
        title,
        result_id,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    path = _folder() / f"{kind}-{os.getpid()}-{next(_numbers)}.json"
    try:
        descriptor = _locked(path)
    except OSError:
        yield Notice(shown, None)
        return
    notice = Notice(shown, path, descriptor)
    try:
        notice.write()
        yield notice
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def under_way() -> tuple[UnderWay, ...]:
    """What other processes are doing, in the order in which they began."""
    try:
        found = [_read(path) for path in _folder().glob("*-*-*.json")]
    except OSError:
        return ()
    there = [one for one in found if one is not None and one.pid != os.getpid()]
    return tuple(sorted(there, key=lambda one: (one.started_at or "", one.pid)))


def _folder() -> Path:
    return paths.home() / "running"


def _locked(path: Path) -> int:
    """The file's descriptor, with the lock; whoever looked in between may have removed it."""
    paths.make_folder(path.parent)
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            is_there = os.fstat(descriptor).st_nlink > 0
        except BaseException:
            os.close(descriptor)
            raise
        if is_there:
            return descriptor
        os.close(descriptor)


def _read(path: Path) -> UnderWay | None:
    """What stands in a file whose process lives; None: it does not, and the file is gone now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe is not waited for
    except OSError:
        return None
    try:
        if _is_left_over(descriptor):
            with suppress(OSError):
                path.unlink()
            return None
        return _decoded(path, os.read(descriptor, 1 << 16))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _is_left_over(descriptor: int) -> bool:
    try:
        # Shared, so that two who look do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _decoded(path: Path, content: bytes) -> UnderWay | None:
    """Read while it is written, it may be a mixture; then its name says what is known."""
    with suppress(msgspec.DecodeError):
        return decode_as(content, UnderWay)
    with suppress(msgspec.ValidationError, ValueError):
        kind, pid, _ = path.stem.split("-")
        return msgspec.convert({"kind": kind, "pid": int(pid)}, UnderWay)
    return None
