"""Where files are looked up, who may read them, and the one folder that is written.

Models' cards and prompts are looked up in ``./models`` and ``./prompts``, then in
``$LOCALPROMPT_HOME``, then in the shared store that all users of a machine read, then in what the
package ships. Everything that localprompt writes (weights, history, caches) goes under
``$LOCALPROMPT_HOME``, by default the platform's folder for user data, and only its user may look
into it. The shared store is written by nobody but who keeps it, for whom it is the home
(``--system``); its models, prompts and suites are made for all to read, whatever the umask.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal, get_args

DataFolder = Literal["models", "prompts", "benchmarks"]

HOME_VARIABLE = "LOCALPROMPT_HOME"
SHARED_VARIABLE = "LOCALPROMPT_SHARED"
USUAL_SHARED = Path("/var/lib/localprompt")
NO_SHARED = "none"
"""What to set where no shared store is to be looked at."""

_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_OPEN_FOLDER, _OPEN_FILE = 0o755, 0o644
_OF_OTHERS = 0o077


def home() -> Path:
    """``$LOCALPROMPT_HOME`` or the platform's user data folder; not created here."""
    override = os.environ.get(HOME_VARIABLE)
    if override:
        return Path(override).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("localprompt", appauthor=False)


def weights_folder() -> Path:
    """Where pulled weights lie."""
    return home() / "models"


def shared() -> Path | None:
    """The store that all users of this machine read beside their own; None: switched off.

    ``$LOCALPROMPT_SHARED``, else ``shared`` in the configuration, else ``/var/lib/localprompt``;
    it need not exist.
    """
    wanted = os.environ.get(SHARED_VARIABLE) or _shared_by_configuration()
    if wanted == NO_SHARED:
        return None
    return Path(wanted).expanduser().absolute() if wanted else USUAL_SHARED


def shared_weights() -> Path | None:
    """Where weights for all users lie."""
    folder = shared()
    return None if folder is None else folder / "models"


def in_shared(path: Path) -> bool:
    """Whether a file lies in the shared store, and this process is not of who keeps it."""
    folder = shared()
    return folder is not None and folder != home() and path.is_relative_to(folder)


def configuration() -> Path:
    """The file of defaults that :mod:`localprompt.sources.config` reads."""
    return home() / "config.toml"


def _shared_by_configuration() -> str | None:
    place = configuration()
    try:
        changed = place.stat().st_mtime_ns
    except OSError:
        return None
    return _shared_in(place, changed)


@cache
def _shared_in(place: Path, _changed_ns: int) -> str | None:
    import tomllib

    try:
        text = place.read_text(encoding="utf-8") if place.is_file() else ""
        value = tomllib.loads(text).get("shared")
    except (OSError, ValueError):
        return None  # whoever reads the whole file says what is wrong with it
    return value if isinstance(value, str) else None


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
    for_all = shared()
    common = () if for_all is None else (for_all / folder,)
    places = (Path.cwd() / folder, home() / folder, *common, shipped(folder))
    return tuple(dict.fromkeys(places))


def file_mode(path: Path) -> int | None:
    """Who may read a file: all, in the folders of the shared store; in the home its user alone;
    None: the place is not ours, and the umask says."""
    if _is_for_all(path):
        return _OPEN_FILE
    return _PRIVATE_FILE if path.is_relative_to(home()) else None


def make_folder(path: Path) -> None:
    """Make a folder of the home and what is missing above it: for its user alone, or for all in
    the shared store.

    The umask makes nothing wider and nothing narrower. The platform's folder for user data is
    closed where an earlier version left it open; one that ``$LOCALPROMPT_HOME`` names was made by
    somebody who may have had a reason, so that the doctor only says so.

    Raises:
        OSError: it cannot be made, or something else is there.
    """
    for folder in reversed([each for each in (path, *path.parents) if not each.exists()]):
        mode = _OPEN_FOLDER if _is_for_all(folder) else _PRIVATE_FOLDER
        with suppress(FileExistsError):  # another process was faster
            folder.mkdir(mode)
            if mode == _OPEN_FOLDER:
                folder.chmod(mode)
    path.mkdir(exist_ok=True)
    if not os.environ.get(HOME_VARIABLE):
        close(home())


def close(path: Path) -> None:
    """Take from others what rights they have on a file or folder of this user's; quietly not,
    where it is not there or somebody else's."""
    with suppress(OSError):
        mode = path.stat().st_mode
        if mode & _OF_OTHERS:
            path.chmod(mode & 0o7700)


def open_to_others(path: Path) -> bool:
    """Whether anybody but its user has rights on a file or folder."""
    try:
        return bool(path.stat().st_mode & _OF_OTHERS)
    except OSError:
        return False


def _is_for_all(path: Path) -> bool:
    """In a data folder of the shared store, or above one."""
    folder = shared()
    if folder is None:
        return False
    return folder.is_relative_to(path) or any(
        path.is_relative_to(folder / name) for name in get_args(DataFolder)
    )
