"""Models in several files, as llama.cpp's ``gguf-split`` cuts them: all parts are one model.

The parts are called ``NAME-00001-of-00003.gguf`` and lie in one folder; llama.cpp is given the
first and finds the others by their names. What the model is stands in the first, each part
describes its own tensors, and ``split.no`` (from 0) and ``split.count`` say which part of how many
a file is. A part that is missing, in the wrong place or there twice is named here, before llama.cpp
is asked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import ModelFileError
from localprompt.gguf.header import GgufFile, TensorInfo, read_gguf

_NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_NUMBER, _COUNT, _TENSORS = "split.no", "split.count", "split.tensors.count"


def parts_of(path: Path) -> tuple[Path, ...]:
    """The files of a split model, by the name of the first; that file alone for any other model.

    No file is opened; :func:`read_model` says whether the others are there and belong together.
    """
    match = _NAME.fullmatch(path.name)
    if match is None or int(match[2]) != 1 or int(match[3]) < 2:
        return (path,)
    parts = _named(path, match[1], int(match[3]))
    # A whole model may be called so, too; then it has no neighbours.
    return parts if any(part.exists() for part in parts[1:]) else (path,)


def total_bytes(path: Path) -> int:
    """Of all parts together.

    Raises:
        OSError: one is not there.
    """
    return sum(part.stat().st_size for part in parts_of(path))


def check_parts(path: Path) -> None:
    """Where a file is called like a part of a model: it is the first, and all others are there.

    Raises:
        ModelFileError: as :func:`read_model`.
    """
    if _NAME.fullmatch(path.name):
        read_model(path)


def read_model(path: Path) -> GgufFile:
    """The head of a model in one file or several: the metadata of the first, the tensors of all.

    Raises:
        ModelFileError: as :func:`localprompt.gguf.header.read_gguf`; or the file is another part
            than the first, or a part is missing, wrong, or there twice.
    """
    head = read_gguf(path)
    count = _number(head.metadata.get(_COUNT), 1)
    if count < 2:
        return head
    parts = _checked_names(head, count)
    heads = [head, *(_part(part, n, count) for n, part in enumerate(parts[1:], start=1))]
    tensors = tuple(tensor for one in heads for tensor in one.tensors)
    _check_tensors(tensors, path, _number(head.metadata.get(_TENSORS), len(tensors)))
    size_bytes = sum(one.size_bytes for one in heads)
    whole = {key: value for key, value in head.metadata.items() if not key.startswith("split.")}
    return msgspec.structs.replace(head, size_bytes=size_bytes, metadata=whole, tensors=tensors)


def _named(path: Path, stem: str, count: int) -> tuple[Path, ...]:
    return tuple(
        path.with_name(f"{stem}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1)
    )


def _checked_names(head: GgufFile, count: int) -> tuple[Path, ...]:
    """The paths of all parts, where ``head`` is the first and is called as one."""
    path, number = head.path, _number(head.metadata.get(_NUMBER), 0)
    match = _NAME.fullmatch(path.name)
    if match is None or int(match[2]) != number + 1 or int(match[3]) != count:
        raise ModelFileError(
            f"this is part {number + 1} of {count} of a model, but was renamed",
            where=str(path),
            expected=f"a name that ends in -{number + 1:05d}-of-{count:05d}.gguf",
            next_step="give all parts their original names, in one folder",
        )
    parts = _named(path, match[1], count)
    if number != 0:
        raise ModelFileError(
            f"this is part {number + 1} of {count} of a model",
            where=str(path),
            expected="its first part",
            next_step=f"the same with {parts[0]}",
        )
    return parts


def _part(path: Path, number: int, count: int) -> GgufFile:
    which = f"part {number + 1} of {count}"
    if not path.exists():
        raise ModelFileError(
            f"{which} of the model is missing",
            where=str(path),
            next_step="put all parts into one folder",
        )
    head = read_gguf(path)
    found = _number(head.metadata.get(_NUMBER), 0), _number(head.metadata.get(_COUNT), 1)
    if found != (number, count):
        raise ModelFileError(
            f"{which} of the model is a different file",
            where=str(path),
            expected=which,
            found=f"part {found[0] + 1} of {found[1]}" if found[1] > 1 else "a model of its own",
            next_step="fetch this part again",
        )
    return head


def _check_tensors(tensors: Sequence[TensorInfo], path: Path, expected: int) -> None:
    times = Counter(tensor.name for tensor in tensors)
    if len(times) == len(tensors) == expected:
        return
    twice = sorted(name for name, parts in times.items() if parts > 1)
    raise ModelFileError(
        "the parts of the model do not belong together",
        where=str(path),
        expected=f"{expected} tensors, each once",
        found=f"{twice[0]} in two parts" if twice else f"{len(tensors)} tensors",
        next_step="fetch all parts again, from one place",
    )


def _number(value: Any, otherwise: int) -> int:
    return value if type(value) is int and 0 <= value < 100_000 else otherwise
