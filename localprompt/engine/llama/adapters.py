"""Adapters in llama.cpp: opened with the model, put on each context, gone with the model."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from localprompt.engine.llama.library import library, log
from localprompt.errors import EngineError, ModelFileError
from localprompt.records.model import AdapterUse


class Adapters:
    """The adapters of one open model.

    Raises:
        ModelFileError: llama.cpp does not take one.
    """

    def __init__(self, model: Any, uses: Sequence[AdapterUse]) -> None:
        self._opened = {use.path: _opened(model, use) for use in uses}

    def put_on(self, context: Any, uses: Sequence[AdapterUse]) -> None:
        """Let a context compute with these, and no others.

        Raises:
            EngineError: one was not opened with the model, or llama.cpp refuses.
        """
        if not uses:
            return
        if any(use.path not in self._opened for use in uses):
            raise EngineError("an adapter was not opened with its model")
        lib, count = library(), len(uses)
        pointers = (lib.llama_adapter_lora_p_ctypes * count)(
            *(ctypes.cast(self._opened[use.path], lib.llama_adapter_lora_p_ctypes) for use in uses)
        )
        scales = (ctypes.c_float * count)(*(use.scale for use in uses))
        if lib.llama_set_adapters_lora(context, pointers, count, scales) != 0:
            raise EngineError("llama.cpp does not take the adapters", found=log.complaints())


def _opened(model: Any, use: AdapterUse) -> Any:
    log.clear()
    pointer = library().llama_adapter_lora_init(model, use.path.encode())
    if not pointer:
        raise ModelFileError(
            "llama.cpp cannot load this adapter", where=use.path, found=log.complaints()
        )
    return pointer
