"""ggml's optimizer, as far as llama.cpp's training goes through it.

llama-cpp-python binds ``llama_opt_init`` and ``llama_opt_epoch`` but nothing of ``ggml-opt.h``, and
its ``llama_opt_params`` lacks the last field; the structure is passed by value, so it has to be
complete. What is declared here follows ``llama.h``, ``ggml.h`` and ``ggml-opt.h`` of the pinned
version. :func:`operations` reads the numbers of operations from the library itself.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    c_bool,
    c_char,
    c_char_p,
    c_double,
    c_float,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_void_p,
)
from functools import cache
from typing import Any

from localprompt.engine.llama.ggml_library import bound
from localprompt.errors import EngineError

I32 = 26
"""GGML_TYPE_I32"""
ADAMW = 0
"""GGML_OPT_OPTIMIZER_TYPE_ADAMW"""

PARAMETER_FILTER = ctypes.CFUNCTYPE(c_bool, c_void_p, c_void_p)
"""Whether a tensor is to be trained."""
NODE_CALLBACK = ctypes.CFUNCTYPE(c_bool, c_void_p, c_bool, c_void_p)
"""Told of each node of a graph: before (is its result wanted?) and, if so, after it."""


class LlamaOptParams(ctypes.Structure):
    """``struct llama_opt_params``, complete."""

    _fields_ = (
        ("n_ctx_train", c_uint32),
        ("param_filter", PARAMETER_FILTER),
        ("param_filter_ud", c_void_p),
        ("get_opt_pars", c_void_p),
        ("get_opt_pars_ud", c_void_p),
        ("optimizer_type", c_int),
    )


class OptimizerParams(ctypes.Structure):
    """``struct ggml_opt_optimizer_params``: AdamW's, and SGD's, which are not used."""

    _fields_ = (
        ("alpha", c_float),
        ("beta1", c_float),
        ("beta2", c_float),
        ("eps", c_float),
        ("wd", c_float),
        ("sgd_alpha", c_float),
        ("sgd_wd", c_float),
    )


class Tensor(ctypes.Structure):
    """``struct ggml_tensor``, of which only a few fields are read."""

    _fields_ = (
        ("type", c_int),
        ("buffer", c_void_p),
        ("ne", c_int64 * 4),
        ("nb", c_size_t * 4),
        ("op", c_int),
        ("op_params", c_int32 * 16),
        ("flags", c_int32),
        ("src", c_void_p * 10),
        ("view_src", c_void_p),
        ("view_offs", c_size_t),
        ("data", c_void_p),
        ("name", c_char * 64),
        ("extra", c_void_p),
        ("padding", c_char * 8),
    )


_OBJECT_BYTES = 32
"""``struct ggml_object``, which stands before every tensor."""

_DATASET, _RESULT, _TENSOR = c_void_p, c_void_p, c_void_p
_DOUBLES, _INTEGERS = ctypes.POINTER(c_double), ctypes.POINTER(c_int64)

_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_op_name": (c_char_p, (c_int,)),
    "ggml_get_name": (c_char_p, (_TENSOR,)),
    "ggml_nelements": (c_int64, (_TENSOR,)),
    "ggml_tensor_overhead": (c_size_t, ()),
    "ggml_backend_tensor_set": (None, (_TENSOR, c_void_p, c_size_t, c_size_t)),
    "ggml_opt_dataset_init": (_DATASET, (c_int, c_int, c_int64, c_int64, c_int64, c_int64)),
    "ggml_opt_dataset_free": (None, (_DATASET,)),
    "ggml_opt_dataset_data": (_TENSOR, (_DATASET,)),
    "ggml_opt_dataset_labels": (_TENSOR, (_DATASET,)),
    "ggml_opt_result_init": (_RESULT, ()),
    "ggml_opt_result_free": (None, (_RESULT,)),
    "ggml_opt_result_reset": (None, (_RESULT,)),
    "ggml_opt_result_loss": (None, (_RESULT, _DOUBLES, _DOUBLES)),
    "ggml_opt_result_accuracy": (None, (_RESULT, _DOUBLES, _DOUBLES)),
    "ggml_opt_get_default_optimizer_params": (OptimizerParams, (c_void_p,)),
    # Its address is handed to llama.cpp: it returns the structure that it is given a pointer to.
    "ggml_opt_get_constant_optimizer_params": (OptimizerParams, (c_void_p,)),
}


class GgmlOpt:
    """The functions by name."""

    def __init__(self) -> None:
        for name, function in bound(_SIGNATURES).items():
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # for type checkers: the functions are set in __init__


@cache
def ggml_opt() -> GgmlOpt:
    """The functions.

    Raises:
        EngineError: the library, or a function of it, is not there.
    """
    return GgmlOpt()


def check_layout() -> None:
    """:class:`Tensor` is as large as the library's.

    Raises:
        EngineError: it is not; this is another version of ggml.
    """
    overhead = ggml_opt().ggml_tensor_overhead()
    if overhead != _OBJECT_BYTES + ctypes.sizeof(Tensor):
        from localprompt.compiling import rebuild_command

        raise EngineError(
            "ggml's tensors are not laid out as expected",
            expected=f"{_OBJECT_BYTES + ctypes.sizeof(Tensor)} bytes",
            found=f"{overhead} bytes",
            next_step=rebuild_command(),
        )


@cache
def operations() -> dict[str, int]:
    """Number of each operation of a graph by ggml's name: ``{"NONE": 0, "DUP": 1, …}``."""
    numbers: dict[str, int] = {}
    name_of = ggml_opt().ggml_op_name
    # The library has no count; the loss is among the last of about a hundred.
    while "CROSS_ENTROPY_LOSS" not in numbers:
        numbers[name_of(len(numbers)).decode()] = len(numbers)
    return numbers
