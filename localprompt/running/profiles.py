"""Named profiles: what was found to be fast for a model on a machine, kept for later runs.

A profile stands in for one model (by the sha256 of its weights) on one machine. It may name other
weights, as a quantized child, and it sets some of llama.cpp's settings; what it does not set is
left to the program. ``localprompt tune`` writes them, one JSON file each, in
``$LOCALPROMPT_HOME/profiles``.

The newest profile of a model is used on its machine unless another is named. What is typed beside
it wins over what it says, and every record says which profile was followed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from localprompt import doors, paths
from localprompt.errors import InputError, UnknownNameError
from localprompt.files import disk_errors_explained, replace_file
from localprompt.measure import machine
from localprompt.records.json import decode_as
from localprompt.records.model import ModelRecord
from localprompt.records.run import ProfileUse, RequestedSettings

DEFAULT = "default"
"""The newest of the model's on this machine, if there is one."""
NONE = "none"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_SUFFIX = ".json"


class Profile(msgspec.Struct, frozen=True):
    """What to do in place of the usual for a model on a machine."""

    name: str
    created_at: str
    localprompt_version: str
    model: str
    """The name of the model that it is for."""
    model_sha256: str
    machine_id: str
    uses: str
    """The model to run: the same, or another one."""
    uses_sha256: str
    settings: dict[str, Any]
    """Fields of RequestedSettings that it sets."""
    tuning: str
    """The id of the tuning that found it."""
    speed_up: float
    """Requests per second over those of the usual settings, when it was found."""
    build: str | None = None
    """Of llama.cpp, when it was found."""


class Followed(msgspec.Struct, frozen=True):
    """A model with its settings, after a profile had its say."""

    model: str
    """A model's name."""
    settings: RequestedSettings
    use: ProfileUse


def folder() -> Path:
    return paths.home() / "profiles"


def check_name(name: str) -> str:
    """
    Raises:
        InputError: it cannot be the name of a profile.
    """
    if _NAME.fullmatch(name) and name not in {DEFAULT, NONE}:
        return name
    raise InputError(
        "not a valid name for a profile",
        where=name,
        expected="lower-case letters, digits, '.', '_' and '-'; not 'default' and not 'none'",
    )


def write_profile(profile: Profile) -> Path:
    """Keep a profile, in the place of an older one of its name.

    Raises:
        InputError: the name cannot be one.
        NotEnoughDiskError, MachineError: it cannot be written; the older one is as it was.
    """
    path = folder() / f"{check_name(profile.name)}{_SUFFIX}"
    with disk_errors_explained(folder()):
        replace_file(path, msgspec.json.format(msgspec.json.encode(profile), indent=2) + b"\n")
    return path


def read_profile(name: str) -> Profile:
    """
    Raises:
        UnknownNameError: there is none of that name.
        InputError: its file is not a profile.
    """
    known = _names()
    if name not in known:
        import difflib

        raise UnknownNameError(
            f"no profile is called {name!r}",
            nearest=tuple(difflib.get_close_matches(name, known, n=3, cutoff=0.3)),
            where="--profile",
            next_step="localprompt tune MODEL --prompt PROMPT --suite SUITE",
        )
    return _read(folder() / f"{name}{_SUFFIX}")


def default_profile(model: ModelRecord) -> Profile | None:
    """The newest profile of a model on this machine; None: there is none that can be read."""
    names = _names()
    if not names or model.sha256 is None:  # who has no profiles does not pay for them
        return None
    here = machine.describe().id
    fitting = []
    for name in names:
        try:
            profile = _read(folder() / f"{name}{_SUFFIX}")
        except InputError:
            continue  # a run that nobody gave a profile does not fail of one
        if profile.model_sha256 == model.sha256 and profile.machine_id == here:
            fitting.append(profile)
    return max(fitting, key=lambda profile: profile.created_at, default=None)


def follow(
    profile: Profile, asked: str, settings: RequestedSettings, given: Collection[str]
) -> Followed:
    """The model and settings that a profile leads to.

    Args:
        asked: the model that was asked for.
        settings: what the user typed, over the defaults.
        given: fields of it that the user typed; they stay.
    """
    changed = {field: value for field, value in profile.settings.items() if field not in given}
    return Followed(
        model=profile.uses,
        settings=msgspec.structs.replace(settings, **changed),
        use=ProfileUse(
            name=profile.name, model=asked, settings=tuple(sorted(changed)), tuning=profile.tuning
        ),
    )


def _names() -> list[str]:
    try:
        return sorted(path.stem for path in folder().glob(f"*{_SUFFIX}"))
    except OSError:
        return []


def _read(path: Path) -> Profile:
    try:
        profile = decode_as(doors.read_bytes(path, doors.MOST_SMALL_BYTES), Profile)
        settings = msgspec.convert(profile.settings, RequestedSettings)
        if unknown := set(profile.settings) - set(RequestedSettings.__struct_fields__):
            raise msgspec.ValidationError(f"{min(unknown)!r} is not a setting")
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(
            "this file is not a profile",
            where=str(path),
            found=str(error),
            next_step=f"delete it, and make it again with localprompt tune --name {path.stem}",
        ) from error
    known = {name: getattr(settings, name) for name in profile.settings}
    return msgspec.structs.replace(profile, settings=known)
