"""Training a model's weights on the CPU through llama.cpp's training API.

llama.cpp trains what is there as 32-bit floats and silently leaves the rest; token embeddings it
never trains, also where they double as the output matrix. A :class:`Trainer` therefore counts what
llama.cpp took and compares. One step is one window: gradients flow through the attention only when
context, batch and micro batch are one, so there is nothing to accumulate over.

A failed assertion inside ggml aborts the process, and a step does not hear Ctrl-C: use it in a
process that may die, :mod:`localprompt.finetune.training.worker`.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path
from typing import Any, Self

import msgspec

from localprompt.engine.llama.ggml_opt import (
    ADAMW,
    I32,
    PARAMETER_FILTER,
    LlamaOptParams,
    Tensor,
    ggml_opt,
)
from localprompt.engine.llama.library import library, log
from localprompt.engine.llama.training_hook import TrainingHook
from localprompt.engine.windows import Window, WindowLoss
from localprompt.errors import EngineError, ModelFileError
from localprompt.gguf.header import read_gguf
from localprompt.records.run import CONTEXT_STEP

FROZEN = frozenset({"token_embd.weight", "rope_freqs.weight"})
"""Tensors that llama.cpp does not train."""


class TrainingBuffers(msgspec.Struct, frozen=True):
    """Bytes as llama.cpp reports them; None where it did not say."""

    weights_bytes: int | None
    kv_cache_bytes: int | None
    output_bytes: int | None
    """Room for the logits of a window."""


class Trainer:
    """A model open for training; a context manager.

    Args:
        path: a GGUF file of 32-bit floats.
        n_ctx: tokens of a window; a multiple of 256.
        n_threads: at least 1.
        weight_decay: AdamW's; 0 for none.
        masked: windows say what counts and where examples end. False: every position of a window
            counts and all of it is one text, as ``llama-finetune`` does it.

    Raises:
        ModelFileError: llama.cpp cannot read the file.
        EngineError: it cannot open a context, or would not train what it should.
    """

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int,
        n_threads: int,
        weight_decay: float = 0.0,
        masked: bool = True,
    ) -> None:
        self._lib, self._ggml = library(), ggml_opt()
        self.n_ctx = n_ctx
        self._hook = TrainingHook() if masked else None
        self._model = self._load(path)
        weights = _total(log.buffers(), "model")
        self._context = self._open(n_threads)
        sizes = log.buffers()
        self.buffers = TrainingBuffers(weights, _total(sizes, "KV"), _total(sizes, "output"))
        self._optimizer = self._ggml.ggml_opt_get_default_optimizer_params(None)
        self._optimizer.wd = weight_decay
        self._trained: dict[str, int] = {}
        self.trained_parameters = self._start(path)
        self._dataset = self._ggml.ggml_opt_dataset_init(I32, I32, n_ctx, n_ctx, 1, 1)
        self._result = self._ggml.ggml_opt_result_init()
        self._decode_once()

    def train(self, window: Window, learning_rate: float) -> WindowLoss:
        """One step of AdamW; the loss is from before it.

        Args:
            learning_rate: above 0.

        Raises:
            EngineError: the graph is not what it should be.
        """
        self._optimizer.alpha = learning_rate
        return self._pass(window, 1)

    def evaluate(self, window: Window) -> WindowLoss:
        """The loss alone; weights stay as they are.

        Raises:
            as :meth:`train`.
        """
        return self._pass(window, 0)

    def save(self, path: Path, like: Path) -> None:
        """Write the model as it is now: a copy of a file with what was trained put in.

        ``llama_model_save_to_file`` would lose the chat template, the licence and the context's
        length, and write a hundred keys that the model never had.

        Args:
            like: the untrained model as 32-bit floats; gives the header and what is not trained.

        Raises:
            OSError: the disk refuses.
        """
        head = read_gguf(like)
        shutil.copyfile(like, path)
        with path.open("r+b") as file:
            for tensor in head.tensors:
                if tensor.name in self._trained:
                    size = tensor.n_bytes
                    address = Tensor.from_address(self._trained[tensor.name]).data
                    file.seek(head.data_offset + tensor.offset)
                    file.write((ctypes.c_char * size).from_address(address))

    def close(self) -> None:
        if self._context:
            self._ggml.ggml_opt_result_free(self._result)
            self._ggml.ggml_opt_dataset_free(self._dataset)
            self._lib.llama_free(self._context)
            self._lib.llama_model_free(self._model)
            self._context = self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self, path: Path) -> Any:
        lib = self._lib
        log.clear()
        params = lib.llama_model_default_params()
        params.load_mode = lib.LLAMA_LOAD_MODE_NONE  # mapped weights cannot be written to
        params.use_extra_bufts = False  # nor can repacked ones be trained
        model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            raise ModelFileError(
                "llama.cpp cannot load this model", where=str(path), found=log.complaints()
            )
        return model

    def _open(self, n_threads: int) -> Any:
        lib = self._lib
        log.clear()
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = params.n_outputs_max = self.n_ctx
        params.n_threads = params.n_threads_batch = n_threads
        params.type_k = params.type_v = lib.GGML_TYPE_F32
        params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if self._hook is not None:
            params.cb_eval = ctypes.cast(self._hook.callback, type(params.cb_eval))
        context = lib.llama_init_from_model(self._model, params)
        if not context:
            raise EngineError(
                "llama.cpp refused to open a context for training",
                expected=f"a multiple of {CONTEXT_STEP} tokens, and memory for it",
                found=log.complaints(),
            )
        return context

    def _start(self, path: Path) -> int:
        """Declare what is trained, with AdamW; returns how many parameters llama.cpp took."""
        ggml = self._ggml

        def noted(tensor: int, _data: object) -> bool:
            name = ggml.ggml_get_name(tensor).decode()
            if name not in FROZEN:
                self._trained[name] = tensor
            return True

        constant = self._ggml.ggml_opt_get_constant_optimizer_params
        params = LlamaOptParams(
            n_ctx_train=0,
            param_filter=PARAMETER_FILTER(noted),
            get_opt_pars=ctypes.cast(constant, ctypes.c_void_p),
            get_opt_pars_ud=ctypes.cast(ctypes.pointer(self._optimizer), ctypes.c_void_p),
            optimizer_type=ADAMW,
        )
        start = self._lib.llama_opt_init
        start.argtypes = [ctypes.c_void_p, ctypes.c_void_p, LlamaOptParams]
        start(self._context, self._model, params)
        trained = sum(int(ggml.ggml_nelements(at)) for at in self._trained.values())
        wanted = trainable_parameters(path)
        if trained != wanted:
            raise EngineError(
                "llama.cpp would not train all of this model",
                where=str(path),
                expected=f"{wanted:,} parameters",
                found=f"{trained:,}",
                next_step="convert it to F32",
            )
        return trained

    def _decode_once(self) -> None:
        """The number of threads, and who is told of the graph's nodes, are set while decoding."""
        lib = self._lib
        batch = lib.llama_batch_init(self.n_ctx, 0, 1)
        try:
            for at in range(self.n_ctx):
                batch.token[at], batch.pos[at], batch.logits[at] = 0, at, True
                batch.n_seq_id[at], batch.seq_id[at][0] = 1, 0
            batch.n_tokens = self.n_ctx
            status = lib.llama_decode(self._context, batch)
        finally:
            lib.llama_batch_free(batch)
        if status != 0:
            raise EngineError(
                "llama.cpp could not evaluate a window",
                expected="status 0",
                found=f"status {status}: {log.complaints()}",
            )

    def _pass(self, window: Window, split: int) -> WindowLoss:
        ggml, dataset = self._ggml, self._dataset
        self._put(ggml.ggml_opt_dataset_data(dataset), window.token_ids)
        self._put(ggml.ggml_opt_dataset_labels(dataset), window.labels)
        ggml.ggml_opt_result_reset(self._result)
        if self._hook is not None:
            self._hook.begin(window)
        self._lib.llama_opt_epoch(
            self._context, dataset, self._result, self._result, split, None, None
        )
        return self._whole() if self._hook is None else self._hook.end()

    def _put(self, tensor: Any, values: tuple[int, ...]) -> None:
        numbers = (ctypes.c_int32 * self.n_ctx)(*values)
        self._ggml.ggml_backend_tensor_set(tensor, numbers, 0, ctypes.sizeof(numbers))

    def _whole(self) -> WindowLoss:
        """ggml's own figures, over every position."""
        loss, accuracy = ctypes.c_double(), ctypes.c_double()
        self._ggml.ggml_opt_result_loss(self._result, ctypes.byref(loss), None)
        self._ggml.ggml_opt_result_accuracy(self._result, ctypes.byref(accuracy), None)
        return WindowLoss(loss.value * self.n_ctx, self.n_ctx, round(accuracy.value * self.n_ctx))


def trainable_parameters(path: Path) -> int:
    """How many parameters of a file llama.cpp trains once they are 32-bit floats.

    Raises:
        ModelFileError: as :func:`localprompt.gguf.header.read_gguf`.
    """
    return sum(t.n_elements for t in read_gguf(path).tensors if t.name not in FROZEN)


def _total(sizes: dict[str, int], kind: str) -> int | None:
    found = [size for name, size in sizes.items() if name.split()[-1] == kind]
    return sum(found) if found else None
