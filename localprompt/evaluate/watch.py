"""Waiting for somebody to save a file of the suite.

By looking at modification times several times a second: a suite has few files, and this works on
every file system and with editors that write a new file in the old one's place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from localprompt import doors
from localprompt.evaluate.planning import Planned

_SECONDS_BETWEEN_LOOKS = 0.3

Stamp = tuple[int, int] | None
"""Modification time in nanoseconds, and size; None: there is no such file now."""


def files_of(planned: Planned) -> list[Path]:
    """The suite's own file, its prompts' and its cases'."""
    found = dict.fromkeys([planned.suite.path])
    found.update(dict.fromkeys(p.template.path for p in planned.suite.prompts if p.template.path))
    found.update(dict.fromkeys(case.where.partition(":")[0] for case in planned.suite.cases()))
    return [path for path in map(Path, found) if doors.is_file(path)]


class Watcher:
    """Remembers how files were when it was made.

    Args:
        sleep: waits for so many seconds.
    """

    def __init__(self, files: Iterable[Path], sleep: Callable[[float], None] = time.sleep) -> None:
        self._seen = {path: _stamp(path) for path in files}
        self._sleep = sleep

    def wait(self) -> list[Path]:
        """The files that changed; returns when there is one. A file that is gone for a moment,
        as while an editor replaces it, is waited for."""
        while True:
            now = {path: _stamp(path) for path in self._seen}
            changed = [path for path, stamp in now.items() if stamp not in {None, self._seen[path]}]
            if changed:
                self._seen = now
                return changed
            self._sleep(_SECONDS_BETWEEN_LOOKS)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
