"""Synthetic work on a real model, as llama-bench does it.

``pp512`` is 512 random tokens through ``llama_decode`` in chunks of n_batch, beginning with the
model's start token where it has one; ``tg64`` is 64 single tokens, each with logits, each waited
for. The KV cache is emptied before every repetition and nothing is sampled. The random tokens are
drawn beforehand: what is timed is llama.cpp and the few microseconds of its calls.
"""

from __future__ import annotations

import ctypes
import random
import time
from pathlib import Path
from typing import Any, Self

from localprompt.engine.base import BufferSizes
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.engine.llama.library import library, log
from localprompt.errors import EngineError
from localprompt.records.run import RequestedSettings, RunWarning, Settings

_SEED = 20_261_122
"""Fixed, so that every repetition and every bench evaluates the same tokens."""


class LlamaSynthetic:
    """Opens a GGUF file; implements :class:`localprompt.engine.synthetic.SyntheticEngine`.

    Args:
        path: the GGUF file.
        requested: settings of the weights and of the context.
        most_tokens: the largest number of tokens that the KV cache will have to hold.
        prove: as :class:`LlamaEngine`.

    Raises:
        ModelFileError, EngineError, NotEnoughMemoryError: llama.cpp cannot open it.
    """

    def __init__(
        self, path: Path, requested: RequestedSettings, *, most_tokens: int, prove: bool = True
    ) -> None:
        started = time.perf_counter()
        self._engine = LlamaEngine(path, requested, prove=prove)
        self._engine.prepare(requested, n_ctx=requested.n_ctx or most_tokens)
        self.load_seconds = time.perf_counter() - started
        self._lib = library()
        self._context = self._engine.context.pointer
        self._memory = self._lib.llama_get_memory(self._context)
        self._n_batch = self._engine.settings.n_batch
        self._tokens = self._random_tokens(most_tokens)

    @property
    def settings(self) -> Settings:
        return self._engine.settings

    @property
    def buffers(self) -> BufferSizes:
        return self._engine.buffers

    @property
    def build(self) -> str:
        return self._engine.build

    @property
    def cpu_features(self) -> tuple[str, ...]:
        return self._engine.cpu_features

    @property
    def remarks(self) -> tuple[RunWarning, ...]:
        return self._engine.remarks

    def clear(self) -> None:
        self._lib.llama_memory_clear(self._memory, False)

    def prefill(self, n_tokens: int) -> None:
        for start in range(0, n_tokens, self._n_batch):
            self._evaluate(start, min(self._n_batch, n_tokens - start))
        self._lib.llama_synchronize(self._context)

    def decode(self, n_tokens: int) -> list[float]:
        moments = []
        for at in range(n_tokens):
            self._evaluate(at, 1)
            self._lib.llama_synchronize(self._context)
            moments.append(time.perf_counter())
        return moments

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _evaluate(self, start: int, count: int) -> None:
        # A batch of one sequence says nothing about positions and logits: llama.cpp counts on
        # from what the KV cache holds and computes logits for the last token.
        first = ctypes.cast(
            ctypes.addressof(self._tokens) + start * ctypes.sizeof(ctypes.c_int32),
            ctypes.POINTER(ctypes.c_int32),
        )
        status = self._lib.llama_decode(self._context, self._lib.llama_batch_get_one(first, count))
        if status != 0:
            raise EngineError(
                "llama.cpp could not evaluate a batch",
                expected="status 0",
                found=f"status {status}" + (f": {why}" if (why := log.complaints()) else ""),
            )

    def _random_tokens(self, count: int) -> ctypes.Array[Any]:
        vocabulary = self._engine.vocabulary
        draw = random.Random(_SEED)  # noqa: S311  any tokens will do
        tokens = [draw.randrange(len(vocabulary)) for _ in range(count)]
        if vocabulary.adds_bos:
            tokens[0] = vocabulary.bos
        return (ctypes.c_int32 * count)(*tokens)
