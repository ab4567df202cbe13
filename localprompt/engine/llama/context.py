"""A llama.cpp context: the KV cache, the batch and the decode call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localprompt.engine.base import BufferSizes, GenerationRequest
from localprompt.engine.crashes import doing
from localprompt.engine.device import HELD_SEQUENCE, LookedUp, RequestSampler, Slot
from localprompt.engine.llama.buffers import WeightBuffers
from localprompt.engine.llama.constraining import Constraining
from localprompt.engine.llama.interrupt import interruptible
from localprompt.engine.llama.library import library, log
from localprompt.engine.llama.sampler import Chain, Draw, Free, Greedy, Held
from localprompt.engine.llama.vocab import Vocabulary
from localprompt.engine.lookup import MOST_GUESSED
from localprompt.engine.prefixes import MOST_NESTED
from localprompt.errors import EngineError, InputError, NotEnoughMemoryError
from localprompt.gguf.tensor_types import KV_TYPES
from localprompt.records.run import RequestedSettings, Settings

LEAST_GUESSED_BYTES = 256 << 20
"""Weights below which several tokens cost about as much as the same ones singly: a step then takes
other time than that of reading them."""
DEFAULT_N_BATCH = 512
DEFAULT_N_UBATCH = 512


class Context:
    """An open context of one model; implements :class:`localprompt.engine.device.Device`."""

    def __init__(
        self,
        model: Any,
        vocabulary: Vocabulary,
        constraining: Constraining,
        requested: RequestedSettings,
        *,
        n_ctx: int,
        parallel: int,
        kv_unified: bool = True,
        outputs: int | None = None,
    ) -> None:
        self._lib = library()
        self._vocabulary = vocabulary
        self._constraining = constraining
        params = _params(requested, parallel, outputs)
        params.kv_unified = kv_unified and parallel > 1
        params.n_ctx = n_ctx if kv_unified else n_ctx * params.n_seq_max
        log.clear()
        doing("opening a context")
        self._context = interruptible().opened(
            lambda: self._lib.llama_init_from_model(model, params), self._lib.llama_free
        )
        if not self._context:
            raise _refused(requested, n_ctx)
        lib, context = self._lib, self._context
        self.kv_unified = kv_unified
        self._can_cut = can_cut(model)
        self._window = sliding_window(model)
        self.can_rewind = self._can_cut and lib.llama_model_size(model) >= LEAST_GUESSED_BYTES
        self.cells = int(lib.llama_n_ctx_seq(context))
        self.batch_tokens = int(lib.llama_n_batch(context))
        self.sequences = parallel
        self.prefix_sequences = _prefix_sequences(parallel)
        self.batch_outputs = int(params.n_outputs_max)
        sizes = log.buffers()
        self.kv_cache_bytes = _sum(sizes, "KV", "RS")
        self.compute_bytes = _sum(sizes, "compute", "output")
        self._flash_attn = _flash_attention(requested.flash_attn)
        self._requested = requested
        self._batch = lib.llama_batch_init(self.batch_tokens, 0, parallel)
        self._interruptible = interruptible()
        lib.llama_set_abort_callback(context, *self._interruptible.abort(lib.ggml_abort_callback))
        self._memory = lib.llama_get_memory(context)
        self.held: tuple[int, ...] = ()
        """What the first sequence holds for the next request."""

    @property
    def pointer(self) -> Any:
        """``llama_context *``, for calls that have no need of batches and samplers."""
        return self._context

    def settings(self, weights: WeightBuffers) -> Settings:
        lib, context = self._lib, self._context
        return Settings(
            n_ctx=int(lib.llama_n_ctx(context)),
            n_batch=self.batch_tokens,
            n_ubatch=int(lib.llama_n_ubatch(context)),
            n_threads=int(lib.llama_n_threads(context)),
            n_threads_batch=int(lib.llama_n_threads_batch(context)),
            type_k=self._requested.type_k,
            type_v=self._requested.type_v,
            flash_attn=self._flash_attn,
            use_mmap=weights.mapped,
            repack=bool(weights.laid_out),
            buffers=weights.by_type,
            adapters=self._requested.adapters,
        )

    def decode(self, slots: Sequence[Slot]) -> None:
        batch = self._batch
        tokens, positions, logits = batch.token, batch.pos, batch.logits
        counts, sequences = batch.n_seq_id, batch.seq_id
        for at, slot in enumerate(slots):
            tokens[at] = slot.token_id
            positions[at] = slot.position
            logits[at] = slot.wants_logits
            counts[at] = len(slot.sequences)
            of_slot = sequences[at]
            for n, sequence in enumerate(slot.sequences):
                of_slot[n] = sequence
        batch.n_tokens = len(slots)
        if self.sequences > 1:
            doing("evaluating a batch")
        else:
            doing("prefill" if len(slots) > 1 else "decode")
        with self._interruptible.call():
            status = self._lib.llama_decode(self._context, batch)
        if status != 0:
            raise EngineError(
                "llama.cpp could not evaluate a batch",
                expected="status 0",
                found=f"status {status}" + (f": {why}" if (why := log.complaints()) else ""),
            )

    def copy(self, source: int, target: int) -> None:
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def forget(self, sequence: int) -> None:
        self._lib.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        if sequence == HELD_SEQUENCE:
            self.held = ()

    def rewind(self, sequence: int, position: int) -> None:
        self._lib.llama_memory_seq_rm(self._memory, sequence, position, -1)

    def settle(self, sequence: int, token_ids: Sequence[int]) -> None:
        longer = self._lib.llama_memory_seq_pos_max(self._memory, sequence) >= len(token_ids)
        if not token_ids or (longer and not self.can_cut_to(sequence, len(token_ids))):
            self.forget(sequence)
            return
        if longer:
            self.rewind(sequence, len(token_ids))
        self.held = tuple(token_ids)

    def can_cut_to(self, sequence: int, count: int) -> bool:
        """Whether the sequence can go back to its first tokens.

        With a sliding window, where the window before that place is still there: cells that slid
        out of it are taken again, the oldest first, and all between the first and the last that
        are left are there (``llama_kv_cache::apply_ubatch`` sees to that).
        """
        if self._can_cut or not self._window:
            return self._can_cut
        first = int(self._lib.llama_memory_seq_pos_min(self._memory, sequence))
        return 0 <= first <= max(0, count - self._window)

    def sampler(self, request: GenerationRequest) -> RequestSampler:
        draw: Draw
        if self.sequences > 1 and request.sampling.temperature <= 0:
            draw = Greedy(self._context, len(self._vocabulary))
        else:
            draw = Chain(self._context, request.sampling)
        if request.constraint is None:
            return Free(draw)
        try:
            matcher = self._constraining.matcher(request.constraint)
        except BaseException:
            draw.close()
            raise
        return Held(draw, matcher, self._context, len(self._vocabulary))

    def log_probabilities(self, batch_index: int, token_ids: Sequence[int]) -> LookedUp:
        from localprompt.engine.llama.logits import log_probabilities, row

        logits = row(self._context, batch_index, len(self._vocabulary))
        return log_probabilities(logits, token_ids)

    def piece(self, token_id: int) -> bytes:
        return self._vocabulary.piece(token_id)

    def is_end(self, token_id: int) -> bool:
        return self._vocabulary.is_end(token_id)

    def perf(self) -> dict[str, float]:
        """llama.cpp's own account since the context was made: milliseconds and token counts."""
        data = self._lib.llama_perf_context(self._context)
        return {name: getattr(data, name) for name, _ in data._fields_}

    def close(self) -> None:
        if self._context:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._context)
            self._context = None


def can_cut(model: Any) -> bool:
    """Whether the last tokens of a sequence can be taken back, as if they had never been there:
    always, and not only while enough of a window is left."""
    return not (_is_recurrent(model) or library().llama_model_n_swa(model))


def sliding_window(model: Any) -> int:
    """How far the model's windows of attention reach; 0 where it has none, or a recurrent state
    beside them, which cannot go back."""
    return 0 if _is_recurrent(model) else int(library().llama_model_n_swa(model))


def _is_recurrent(model: Any) -> bool:
    lib = library()
    return bool(lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model))


def buffer_sizes(weights: WeightBuffers, context: Context | None) -> BufferSizes:
    return BufferSizes(
        weights_bytes=weights.resident_bytes,
        kv_cache_bytes=context.kv_cache_bytes if context else None,
        compute_bytes=context.compute_bytes if context else None,
    )


def _params(requested: RequestedSettings, parallel: int, outputs: int | None) -> Any:
    lib = library()
    params = lib.llama_context_default_params()
    params.n_batch = requested.n_batch or DEFAULT_N_BATCH
    params.n_ubatch = min(requested.n_ubatch or DEFAULT_N_UBATCH, params.n_batch)
    params.n_seq_max = parallel + _prefix_sequences(parallel)
    # One row of logits per sequence and one per guess is all that generating reads; reserving a
    # row per token of the batch would cost n_batch x vocabulary x 4 bytes.
    params.n_outputs_max = outputs or max(params.n_seq_max, 1 + MOST_GUESSED)
    if requested.n_threads is not None:
        params.n_threads = requested.n_threads
    if requested.n_threads_batch is not None:
        params.n_threads_batch = requested.n_threads_batch
    params.type_k = _kv_type("type_k", requested.type_k)
    params.type_v = _kv_type("type_v", requested.type_v)
    if requested.flash_attn is not None:
        params.flash_attn_type = int(requested.flash_attn)
    params.swa_full = False
    params.no_perf = False
    return params


def _prefix_sequences(parallel: int) -> int:
    """Sequences that hold what several prompts share."""
    return MOST_NESTED if parallel > 1 else 0


def _kv_type(name: str, value: str) -> int:
    if value not in KV_TYPES:
        raise InputError(
            "unknown type for the KV cache", where=name, expected=", ".join(KV_TYPES), found=value
        )
    return int(getattr(library(), f"GGML_TYPE_{value.upper()}"))


def _flash_attention(requested: bool | None) -> bool | None:
    if requested is not None:
        return requested
    if log.mentions(r"Flash Attention.*(disabled|not supported)"):
        return False
    return True if log.mentions(r"Flash Attention.*enabled|enabling flash_attn") else None


def _refused(requested: RequestedSettings, n_ctx: int) -> Exception:
    why = log.complaints()
    if why and "quantized V cache" in why:
        return InputError(
            "a quantized type_v needs flash attention",
            where="type_v",
            expected="--flash-attn, or f16",
            found=requested.type_v,
        )
    if why and "alloc" in why.lower():
        return NotEnoughMemoryError(
            f"the context of {n_ctx} tokens could not be allocated",
            found=why,
            next_step="use a smaller --n-ctx, or --type-k q8_0 --type-v q8_0",
        )
    return EngineError("llama.cpp refused to open a context", found=why)


def _sum(sizes: dict[str, int], *kinds: str) -> int | None:
    found = [size for name, size in sizes.items() if name.split()[-1] in kinds]
    return sum(found) if found else None
