"""Where things are: the three places that are searched, and the one that is written.

Models' cards and prompts are looked up in ``./models`` and ``./prompts``, then in
``$LOCALPROMPT_HOME``, then in what the package ships. Everything that localprompt writes
(weights, history, caches) goes under ``$LOCALPROMPT_HOME``, by default the platform's folder
for user data.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Literal

DataFolder = Literal["models", "prompts", "benchmarks"]


def home() -> Path:
    """``$LOCALPROMPT_HOME`` or the platform's user data folder; not created here."""
    override = os.environ.get("LOCALPROMPT_HOME")
    if override:
        return Path(override).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("localprompt", appauthor=False)


def weights_folder() -> Path:
    """Where pulled weights lie."""
    return home() / "models"


def cache_folder() -> Path:
    return home() / "cache"


def history_path() -> Path:
    """The database of runs."""
    return home() / "history.db"


@cache
def shipped(folder: DataFolder) -> Path:
    """The data folder that came with the package: inside the wheel, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    in_wheel = package / "_data" / folder
    return in_wheel if in_wheel.is_dir() else package.parent / folder


def search_path(folder: DataFolder) -> tuple[Path, ...]:
    """The folders to look in, first match wins; some may not exist."""
    places = (Path.cwd() / folder, home() / folder, shipped(folder))
    return tuple(dict.fromkeys(places))
