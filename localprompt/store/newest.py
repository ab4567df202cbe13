"""The ids of what was made last, for a shell that completes them.

Apart from the history proper because a shell asks while somebody types: nothing is imported but
sqlite3, nothing is migrated, and whatever is wrong with the file is not said here.
"""

from __future__ import annotations

from contextlib import closing, suppress
from pathlib import Path

_NEWEST = """
SELECT id, kind FROM (SELECT id, kind FROM {table} {where} ORDER BY id DESC LIMIT ?)"""
_RUNS = _NEWEST.format(table="runs", where="WHERE kind IN ('ask', 'run')")
_EXPERIMENTS = _NEWEST.format(table="experiments", where="")
_SECONDS = 0.1
"""So long a writer is waited for."""


def newest_ids(path: Path, limit: int = 20) -> list[tuple[str, str]]:
    """Ids and their kinds, newest first; nothing where the history cannot be read."""
    import sqlite3

    found: list[tuple[str, str]] = []
    if not path.is_file():
        return found
    with suppress(sqlite3.Error):
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_SECONDS)) as connection:
            for query in (_RUNS, _EXPERIMENTS):
                found += connection.execute(query, (limit,)).fetchall()
    return sorted(found, reverse=True)[:limit]
