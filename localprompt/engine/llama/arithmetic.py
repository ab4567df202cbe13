"""How many operations per second this build multiplies matrices with, by type of the weights.

One product as a prefill has it: quantized weights times a batch of 512 activations, through
ggml's CPU backend, in the buffer that llama.cpp would choose for such weights. Types that have a
layout made for this CPU are repacked into it, so the figure is the best that the build can do.
"""

from __future__ import annotations

import ctypes
from typing import Any, Self

from localprompt.engine.llama.ggml_library import CPU, F32, OUT_OF_CONTEXT, WEIGHTS, ggml
from localprompt.engine.llama.library import library
from localprompt.errors import EngineError

_ROWS, _DEPTH, _BATCH = 2048, 2048, 512
_OPERATIONS = 2.0 * _ROWS * _DEPTH * _BATCH


class LlamaProduct:
    """A product that can be repeated; a :data:`localprompt.measure.probe.Multiply`.

    Args:
        weight_type: llama.cpp's name, as ``Q4_0``.

    Raises:
        EngineError: this build has no such type.
    """

    def __init__(self, weight_type: str) -> None:
        type_id = getattr(library(), f"GGML_TYPE_{weight_type.upper()}", None)
        if type_id is None:
            raise EngineError("this build of llama.cpp does not know the type", where=weight_type)
        self._lib = ggml()
        self._device = self._lib.ggml_backend_dev_by_type(CPU)
        self._backend = self._lib.ggml_backend_dev_init(self._device, None)
        self._tensors = self._first_that_multiplies(type_id)
        self._tensors.fill(type_id)

    def __call__(self, threads: int) -> float:
        """Multiply once with so many threads.

        Returns:
            the operations that it took: 2 · rows · depth · batch.

        Raises:
            EngineError: ggml fails.
        """
        self._lib.set_n_threads(self._backend, threads)
        if self._lib.ggml_backend_graph_compute(self._backend, self._tensors.graph) != 0:
            raise EngineError("ggml could not multiply")
        return _OPERATIONS

    def close(self) -> None:
        self._tensors.close()
        self._lib.ggml_backend_free(self._backend)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _first_that_multiplies(self, type_id: int) -> _Tensors:
        """In the first kind of buffer, special ones first, in which the CPU takes this type."""
        plain = self._lib.ggml_backend_dev_buffer_type(self._device)
        for kind in (*self._lib.extra_buffer_types(self._device), plain):
            tensors = _Tensors(type_id, weights_in=kind, others_in=plain)
            if tensors.complete and self._lib.ggml_backend_dev_supports_op(
                self._device, tensors.product
            ):
                return tensors
            tensors.close()
        raise EngineError("ggml has no buffer for these weights")


class _Tensors:
    """Weights, activations and their product, in buffers, with the graph that computes it."""

    def __init__(self, type_id: int, *, weights_in: Any, others_in: Any) -> None:
        lib = self._lib = ggml()
        self._contexts = [lib.ggml_init(OUT_OF_CONTEXT) for _ in range(2)]
        for_weights, for_others = self._contexts
        self._weights = lib.ggml_new_tensor_2d(for_weights, type_id, _DEPTH, _ROWS)
        self._inputs = lib.ggml_new_tensor_2d(for_others, F32, _DEPTH, _BATCH)
        self.product = lib.ggml_mul_mat(for_others, self._weights, self._inputs)
        self.graph = lib.ggml_new_graph(for_others)
        lib.ggml_build_forward_expand(self.graph, self.product)
        self._buffers = [
            lib.ggml_backend_alloc_ctx_tensors_from_buft(for_weights, weights_in),
            lib.ggml_backend_alloc_ctx_tensors_from_buft(for_others, others_in),
        ]
        self.complete = all(self._buffers)
        if self.complete:
            lib.ggml_backend_buffer_set_usage(self._buffers[0], WEIGHTS)

    def fill(self, type_id: int) -> None:
        """Random weights in their type, random activations."""
        import numpy as np

        lib = self._lib
        draw = np.random.default_rng(0)
        values = draw.standard_normal((_ROWS, _DEPTH), dtype=np.float32)
        importance = np.ones(_DEPTH, dtype=np.float32)  # some types cannot do without
        packed = ctypes.create_string_buffer(lib.ggml_row_size(type_id, _DEPTH) * _ROWS)
        lib.ggml_quantize_chunk(
            type_id, values.ctypes.data, packed, 0, _ROWS, _DEPTH, importance.ctypes.data
        )
        lib.ggml_backend_tensor_set(self._weights, packed, 0, len(packed))
        batch = draw.standard_normal((_BATCH, _DEPTH), dtype=np.float32)
        lib.ggml_backend_tensor_set(self._inputs, batch.ctypes.data, 0, batch.nbytes)

    def close(self) -> None:
        for buffer in filter(None, self._buffers):
            self._lib.ggml_backend_buffer_free(buffer)
        for context in self._contexts:
            self._lib.ggml_free(context)
