"""The few functions of ggml that localprompt calls itself.

llama-cpp-python ships ggml beside llama.cpp and binds only the latter. What is declared here
follows ``ggml.h``, ``ggml-alloc.h`` and ``ggml-backend.h`` of the pinned version. Opening llama.cpp
has opened these libraries already, so they are found among what the process has loaded.
"""

from __future__ import annotations

import ctypes
from ctypes import c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from localprompt.engine.llama.library import library
from localprompt.errors import EngineError

CPU = 0
"""GGML_BACKEND_DEVICE_TYPE_CPU"""
F32 = 0
"""GGML_TYPE_F32"""
WEIGHTS = 1
"""GGML_BACKEND_BUFFER_USAGE_WEIGHTS"""


class InitParams(ctypes.Structure):
    """``struct ggml_init_params``."""

    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


OUT_OF_CONTEXT = InitParams(1 << 20, None, True)
"""Room for the descriptions of a few tensors and a graph; their data lies in buffers."""

_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_init": (c_void_p, (InitParams,)),
    "ggml_free": (None, (c_void_p,)),
    "ggml_new_tensor_2d": (c_void_p, (c_void_p, c_int, c_int64, c_int64)),
    "ggml_mul_mat": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "ggml_new_graph": (c_void_p, (c_void_p,)),
    "ggml_build_forward_expand": (None, (c_void_p, c_void_p)),
    "ggml_row_size": (c_size_t, (c_int, c_int64)),
    "ggml_quantize_chunk": (
        c_size_t,
        (c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p),
    ),
    "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, (c_void_p, c_void_p)),
    "ggml_backend_buffer_free": (None, (c_void_p,)),
    "ggml_backend_buffer_set_usage": (None, (c_void_p, c_int)),
    "ggml_backend_tensor_set": (None, (c_void_p, c_void_p, c_size_t, c_size_t)),
    "ggml_backend_graph_compute": (c_int, (c_void_p, c_void_p)),
    "ggml_backend_free": (None, (c_void_p,)),
    "ggml_backend_dev_by_type": (c_void_p, (c_int,)),
    "ggml_backend_dev_init": (c_void_p, (c_void_p, c_char_p)),
    "ggml_backend_dev_buffer_type": (c_void_p, (c_void_p,)),
    "ggml_backend_dev_supports_op": (c_bool, (c_void_p, c_void_p)),
    "ggml_backend_dev_backend_reg": (c_void_p, (c_void_p,)),
    "ggml_backend_reg_get_proc_address": (c_void_p, (c_void_p, c_char_p)),
}


def bound(signatures: dict[str, tuple[Any, tuple[Any, ...]]]) -> dict[str, Any]:
    """Functions of ggml's libraries with their types declared.

    Args:
        signatures: name → (type of the result, types of the arguments).

    Raises:
        EngineError: a library, or a function of it, is not there.
    """
    folder = Path(library().__file__).parent / "lib"
    libraries = [ctypes.CDLL(str(path)) for path in sorted(folder.glob("libggml*"))]
    functions = {}
    for name, (result, arguments) in signatures.items():
        found = next((lib for lib in libraries if hasattr(lib, name)), None)
        if found is None:
            raise EngineError("a function of ggml is missing", where=str(folder), found=name)
        function = found[name]
        function.restype, function.argtypes = result, arguments
        functions[name] = function
    return functions


@cache
def ggml() -> Ggml:
    """The functions.

    Raises:
        EngineError: the library, or a function of it, is not there.
    """
    return Ggml()


class Ggml:
    """ggml's functions by name, and two that only a backend's registry knows."""

    def __init__(self) -> None:
        for name, function in bound(_SIGNATURES).items():
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # for type checkers: the functions are set in __init__

    def set_n_threads(self, backend: Any, threads: int) -> None:
        """Let a CPU backend compute with so many threads."""
        prototype = ctypes.CFUNCTYPE(None, c_void_p, c_int)
        prototype(self._registered("ggml_backend_set_n_threads"))(backend, threads)

    def extra_buffer_types(self, device: Any) -> list[Any]:
        """Kinds of buffers that lay weights out for this CPU, best first; often none."""
        address = self._registered("ggml_backend_dev_get_extra_bufts")
        if not address:
            return []
        prototype = ctypes.CFUNCTYPE(ctypes.POINTER(c_void_p), c_void_p)
        kinds = prototype(address)(device)
        found: list[Any] = []
        while kinds and kinds[len(found)]:
            found.append(kinds[len(found)])
        return found

    def _registered(self, name: str) -> Any:
        device = self.ggml_backend_dev_by_type(CPU)
        registry = self.ggml_backend_dev_backend_reg(device)
        return self.ggml_backend_reg_get_proc_address(registry, name.encode())
