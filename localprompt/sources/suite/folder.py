"""The files that a suite may name: those of its own folder, unless the user says otherwise.

A suite is something that people pass around. promptfoo reads whatever one names (``/etc/passwd``,
``../../secret.txt``) and writes wherever ``outputPath`` leads; here both need ``--allow-outside``.
Links are followed before a path is judged. What was read is remembered, so that it can be listed.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from pathlib import Path

from localprompt import doors
from localprompt.errors import DatasetError

_CONSENT = "--allow-outside, if you trust the suite (promptfoo does so without asking)"


class SuiteFolder:
    """Where a suite lies, and what it has read.

    Args:
        path: the folder; names in the suite are relative to it.
        allow_outside: whether files elsewhere may be read.
    """

    def __init__(self, path: Path, *, allow_outside: bool = False) -> None:
        self.path = path
        self._root = path.resolve()
        self.allow_outside = allow_outside
        self.read: dict[Path, None] = {}
        """The files that were allowed, in order."""

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def beside(self, file: Path) -> SuiteFolder:
        """The folder of a file of the suite, with the same bounds: its names begin there."""
        other = copy.copy(self)
        other.path = file.parent
        return other

    def allow(self, path: Path, where: str) -> Path:
        """The path, if the suite may read it.

        Args:
            where: the place of the suite that names it.

        Raises:
            DatasetError: it lies outside of the folder.
        """
        if not self.allow_outside and not _resolved(path).is_relative_to(self._root):
            raise DatasetError(
                "the suite reads a file outside its own folder",
                where=where,
                expected=f"a file below {self._root}",
                found=str(path),
                next_step=_CONSENT,
            )
        self.read[path] = None
        return path

    def matching(self, name: str, where: str) -> list[Path]:
        """The file ``name``, or those that match it as a pattern, sorted; none that is not there.

        Raises:
            DatasetError: one lies outside of the folder.
            InputError: they are too many.
        """
        if doors.has_pattern(name) and not doors.is_file(self / name):
            paths = doors.matching(self.path, name, where=where)
        else:
            paths = [self / name] if doors.is_file(self / name) else []
        return [self.allow(path, where) for path in paths]

    def inside(self, name: str, where: str, suffixes: Collection[str]) -> list[Path]:
        """The files of a folder that have one of the suffixes, sorted.

        Raises:
            DatasetError: one lies outside of the suite's folder.
        """
        found = (path for path in (self / name).iterdir() if path.suffix in suffixes)
        return [self.allow(path, where) for path in sorted(found) if doors.is_file(path)]


def check_outputs(outputs: tuple[str, ...], where: str, *, allow_outside: bool) -> None:
    """A suite's results go below the working folder.

    Raises:
        DatasetError: one leads elsewhere.
    """
    here = Path.cwd().resolve()
    for output in outputs:
        if not allow_outside and not _resolved(Path(output)).is_relative_to(here):
            raise DatasetError(
                "the suite writes a file outside the working folder",
                where=where,
                expected=f"a file below {here}",
                found=output,
                next_step=_CONSENT,
            )


def _resolved(path: Path) -> Path:
    """Links followed; a path that leads nowhere or in circles as it is written."""
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return path.absolute()
