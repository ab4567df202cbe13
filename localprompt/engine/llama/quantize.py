"""llama.cpp's own quantization: which file type costs how much, and making the file.

A *file type* (``enum llama_ftype``: Q4_0, Q4_K_M, …) is a recipe, not a tensor type: it says for
each tensor which type it gets, by the tensor's place in the model, and it falls back to another
type where a row does not consist of whole blocks. Which bytes come out cannot be told from the
name, so :func:`plan` asks llama.cpp, whose dry run takes milliseconds and touches no weights.

Both functions run to their end or to the end of the process (a failed assertion inside llama.cpp
aborts it), and do not hear Ctrl-C. Call them in a process that may die:
:mod:`localprompt.models.quantize.worker`.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from localprompt.engine.llama.library import library, log
from localprompt.errors import EngineError
from localprompt.units import MIB

_TENSOR = re.compile(r"\[ *\d+/ *\d+\] (\S+) +- \[")
_SIZE = re.compile(r"quant size  = +([\d.]+) MiB")
_FALLBACK = re.compile(r"(\d{1,9}) of \d{1,9} tensor\(s\) required fallback")
_NEEDS_MATRIX = re.compile(r"will require an imatrix")
_REASON = re.compile(r"failed to quantize: (.*)")


class QuantizationPlan(msgspec.Struct, frozen=True):
    """What llama.cpp would make."""

    tensor_bytes: int
    """Of all tensors together, without padding; to a hundredth of a MiB, as llama.cpp logs it."""
    fallback_tensors: int
    """How many get another type than the recipe gives them: their rows are no whole blocks."""


def plan(source: Path, file_type: int) -> QuantizationPlan:
    """What a quantization would give, without doing it.

    Args:
        source: a GGUF file.
        file_type: a number of ``enum llama_ftype``.

    Raises:
        EngineError: llama.cpp would refuse; with its reason.
    """
    parameters = _parameters(file_type)
    parameters.dry_run = True
    lines: list[str] = []
    # Nothing is written in a dry run, but the name of the output must not be a null pointer.
    _run(source, Path(os.devnull), parameters, lines.append)
    text = "".join(lines)
    size = _SIZE.search(text)
    if size is None:
        raise EngineError("llama.cpp did not say how large the model would be", where=str(source))
    if _NEEDS_MATRIX.search(text):
        # The dry run only warns of what the real run refuses.
        raise _refused(source, "this quantization requires an importance matrix (imatrix)")
    fallback = _FALLBACK.search(text)
    return QuantizationPlan(
        tensor_bytes=round(float(size[1]) * MIB),
        fallback_tensors=int(fallback[1]) if fallback else 0,
    )


def quantize(
    source: Path,
    target: Path,
    file_type: int,
    *,
    n_threads: int,
    buffer_bytes: int,
    on_tensor: Callable[[str], None],
) -> None:
    """Write ``target``, a copy of ``source`` with its tensors in the types of ``file_type``.

    Tensors that are quantized already are unpacked and quantized again; whether that is wise is
    for the caller to say.

    Args:
        n_threads: at least 1.
        buffer_bytes: llama.cpp works through a tensor in pieces that take at most this much, or
            one row: of the source, as 32-bit floats and quantized.
        on_tensor: told each tensor's name when its turn comes.

    Raises:
        EngineError: llama.cpp refused or failed; with its reason. A part of ``target`` may exist.
    """
    parameters = _parameters(file_type)
    parameters.nthread = n_threads
    parameters.max_buf_size = buffer_bytes

    def observe(line: str) -> None:
        if match := _TENSOR.match(line):
            on_tensor(match[1])

    _run(source, target, parameters, observe)


def _parameters(file_type: int) -> Any:
    parameters = library().llama_model_quantize_default_params()
    parameters.ftype = file_type
    parameters.allow_requantize = True
    return parameters


def _run(source: Path, target: Path, parameters: Any, observer: Callable[[str], None]) -> None:
    lib = library()
    log.clear()
    with log.observed(observer):
        code = lib.llama_model_quantize(
            os.fsencode(source), os.fsencode(target), ctypes.byref(parameters)
        )
    if code != 0:
        complaint = log.complaints(most=1) or f"code {code} and nothing in its log"
        reason = _REASON.search(complaint)
        raise _refused(source, reason[1] if reason else complaint)


def _refused(source: Path, reason: str) -> EngineError:
    return EngineError("llama.cpp does not quantize this", where=str(source), found=reason)
