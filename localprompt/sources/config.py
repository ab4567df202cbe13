"""Defaults that somebody sets once: ``config.toml`` in ``$LOCALPROMPT_HOME``, environment variables
over it, and what is typed over both.

    model = "qwen2.5-coder-0.5b"
    threads = 4
    log = false

Each has a variable of its name: ``LOCALPROMPT_THREADS=2``. What is in neither has its usual value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from localprompt import doors, paths
from localprompt.errors import InputError, MachineError
from localprompt.files import replace_file

Source = Literal["usual", "file", "environment"]

_SET = "localprompt config set NAME VALUE"
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set."""

    model: str | None = None
    """The model where neither the command nor the prompt names one; None: the starter model."""
    threads: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Threads that decode; None: one per physical core that may be used."""
    max_memory: str | None = None
    """As --max-memory of ask and run: 2GiB. None: what is free."""
    shared: str | None = None
    """The store that all users read; none: there is none. None: /var/lib/localprompt."""
    log: bool = True
    """Whether ask, run and eval are recorded."""
    colours: bool = True
    """Whether a terminal gets colours."""


NAMES = Config.__struct_fields__
_MOST_BYTES = 1 << 16


def path() -> Path:
    return paths.configuration()


def variable(name: str) -> str:
    """The environment's name for a value: ``LOCALPROMPT_MAX_MEMORY``."""
    return f"LOCALPROMPT_{name.upper()}"


def is_set(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether anything may be set: all that commands look at where nothing is."""
    return path().exists() or any(environment.get(variable(name)) for name in NAMES)


def read_config(environment: Mapping[str, str] = os.environ) -> Config:
    """What holds now.

    Raises:
        InputError: the file is not TOML, a name in it is unknown, or a value has the wrong type.
        MachineError: the file cannot be read.
    """
    values = _of_file()
    for name in NAMES:
        if text := environment.get(variable(name)):
            values[name] = _value(name, text, variable(name))
    return _checked(values, str(path()))


def sources(environment: Mapping[str, str] = os.environ) -> dict[str, Source]:
    """Where each value comes from; raises as :func:`read_config`."""
    in_file = _of_file()

    def source(name: str) -> Source:
        if environment.get(variable(name)):
            return "environment"
        return "file" if name in in_file else "usual"

    return {name: source(name) for name in NAMES}


def set_value(name: str, text: str | None) -> None:
    """Write a value into the file; other lines of it stay as they are.

    Args:
        text: None takes the value out.

    Raises:
        InputError: no such name, or not a value for it; nothing was written.
        MachineError: the file cannot be written.
    """
    _known(name, "config set")
    read_config({})  # a file that cannot be read is not written over
    value = None if text is None else _value(name, text, name)
    _checked({} if value is None else {name: value}, "config set")
    place = path()
    old = doors.read_text(place).splitlines() if place.exists() else []
    kept = [line for line in old if line.partition("=")[0].strip() != name]
    if value is not None:
        kept.append(f"{name} = {msgspec.json.encode(value).decode()}")
    try:
        replace_file(place, "".join(f"{line}\n" for line in kept).encode())
    except OSError as error:
        raise MachineError(
            "the configuration cannot be written", where=str(place), found=error.strerror
        ) from error


def _of_file() -> dict[str, Any]:
    place = path()
    if not place.exists():
        return {}
    import tomllib

    try:
        values = tomllib.loads(doors.read_bytes(place, _MOST_BYTES).decode("utf-8"))
    except OSError as error:
        raise MachineError(
            "the configuration cannot be read", where=str(place), found=error.strerror
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            "the configuration is not TOML", where=str(place), found=str(error), next_step=_SET
        ) from error
    for name in values:
        _known(name, str(place))
    return values


def _known(name: str, where: str) -> None:
    if name not in NAMES:
        raise InputError(f"{name!r} is not a setting", where=where, expected=", ".join(NAMES))


def _value(name: str, text: str, where: str) -> Any:
    """Text from a command line or the environment, as its type."""
    if name == "threads":
        try:
            return int(text)
        except ValueError as error:
            raise InputError("not a number", where=where, found=repr(text)) from error
    if name in {"log", "colours"}:
        if text.lower() not in _WORDS:
            raise InputError(
                "not true or false", where=where, expected="true or false", found=repr(text)
            )
        return _WORDS[text.lower()]
    return text


def _checked(values: Mapping[str, Any], where: str) -> Config:
    from localprompt.units import parse_bytes

    try:
        config = msgspec.convert(dict(values), Config)
    except msgspec.ValidationError as error:
        raise InputError("a value has the wrong type", where=where, found=str(error)) from error
    if config.max_memory is not None:
        try:
            parse_bytes(config.max_memory)
        except ValueError as error:
            raise InputError(
                "not a size", where=where, expected="as 2GiB", found=config.max_memory
            ) from error
    return config
