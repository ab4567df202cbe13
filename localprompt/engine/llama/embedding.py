"""Texts → vectors: a model's last states, pooled over the tokens of each text.

A model that was trained for it says in its header how its states are pooled; for one that answers
they are averaged. Such an average says what texts are about, not much more: all texts of one
language lie close together, so a threshold from an embedding model means less here.
"""

from __future__ import annotations

import math
from typing import Any

from localprompt.engine.crashes import doing
from localprompt.engine.llama.interrupt import interruptible
from localprompt.engine.llama.library import library
from localprompt.engine.llama.vocab import Vocabulary
from localprompt.errors import ContextOverflowError, EngineError

MOST_TOKENS = 2048
"""Of one text, where the model was trained on as many."""
_MEAN = 1
_AS_THE_MODEL_SAYS = -1


class Embedder:
    """A context of one model that gives vectors; close it before the model.

    Args:
        model: ``llama_model *``.
        own_pooling: whether the model's header says how states are pooled.
        n_ctx_train: the longest text that it was trained on.
        n_threads: None: llama.cpp's default.

    Raises:
        EngineError: llama.cpp cannot open the context.
    """

    def __init__(
        self,
        model: Any,
        vocabulary: Vocabulary,
        *,
        own_pooling: bool,
        n_ctx_train: int,
        n_threads: int | None,
    ) -> None:
        self._lib = library()
        self._vocabulary = vocabulary
        self.pooled = not own_pooling
        """Whether states that answer were averaged, for want of an embedding model."""
        self.most_tokens = min(MOST_TOKENS, n_ctx_train)
        params = self._lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self.most_tokens
        params.n_outputs_max = self.most_tokens
        params.embeddings = True
        params.pooling_type = _AS_THE_MODEL_SAYS if own_pooling else _MEAN
        if n_threads is not None:
            params.n_threads = params.n_threads_batch = n_threads
        doing("opening a context for embeddings")
        self._context = interruptible().opened(
            lambda: self._lib.llama_init_from_model(model, params), self._lib.llama_free
        )
        if not self._context:
            raise EngineError("llama.cpp cannot make embeddings with this model")
        self._size = int(self._lib.llama_model_n_embd(model))
        self._batch = self._lib.llama_batch_init(self.most_tokens, 0, 1)

    def vector(self, text: str) -> tuple[float, ...]:
        """The vector of a text, of length 1.

        Raises:
            ContextOverflowError: it is longer than ``most_tokens``.
            EngineError: llama.cpp fails, or the states are nothing.
        """
        ids = self._vocabulary.tokenize(text)
        if self._vocabulary.adds_bos and self._vocabulary.bos is not None:
            ids = [self._vocabulary.bos, *ids]
        if not ids:
            raise EngineError("an empty text has no embedding")
        if len(ids) > self.most_tokens:
            raise ContextOverflowError(
                "a text is too long to be embedded",
                expected=f"at most {self.most_tokens} tokens",
                found=f"{len(ids)} tokens",
            )
        return _unit(self._states(ids))

    def _states(self, ids: list[int]) -> list[float]:
        lib, batch = self._lib, self._batch
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        for at, token in enumerate(ids):
            batch.token[at], batch.pos[at] = token, at
            batch.n_seq_id[at], batch.seq_id[at][0] = 1, 0
            batch.logits[at] = True
        batch.n_tokens = len(ids)
        doing("embedding a text")
        with interruptible().call():
            status = lib.llama_decode(self._context, batch)
        pointer = lib.llama_get_embeddings_seq(self._context, 0) if status == 0 else None
        if not pointer:
            raise EngineError("llama.cpp could not embed a text", found=f"status {status}")
        return list(pointer[: self._size])

    def close(self) -> None:
        if self._context:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._context)
            self._context = None


def _unit(states: list[float]) -> tuple[float, ...]:
    length = math.sqrt(math.fsum(state * state for state in states))
    if not math.isfinite(length) or length == 0:
        raise EngineError("the embedding of a text is not a direction", found=f"length {length:g}")
    return tuple(state / length for state in states)
