"""Choosing the next token: llama.cpp's sampler chain, and a grammar beside it."""

from __future__ import annotations

import ctypes
import math
from typing import Any

from localprompt.engine.crashes import doing
from localprompt.engine.llama.library import library, log
from localprompt.errors import EngineError
from localprompt.records.run import Sampling


class Greedy:
    """The most probable token, read from the logits.

    llama.cpp's sampler copies the whole vocabulary into an array of candidates first, 70 µs for
    49,152 tokens where this takes 10. NumPy has to be imported for it, so a request that is alone
    does without.
    """

    def __init__(self, context: Any, n_vocab: int) -> None:
        from localprompt.engine.llama.logits import row

        self._row = row
        self._context = context
        self._n_vocab = n_vocab

    def sample(self, batch_index: int) -> int:
        """The first of the largest, as llama.cpp's greedy sampler has it."""
        return int(self._row(self._context, batch_index, self._n_vocab).argmax())

    def close(self) -> None:
        pass


class Sampler:
    """The sampler of one request; owns its native chains.

    The order is llama.cpp's own: top-k, top-p, min-p, temperature, then a draw. A grammar is
    checked after the draw; only when it rejects the token is the whole vocabulary filtered and
    drawn from again, because filtering every time costs more than decoding a small model.
    """

    def __init__(self, vocab: Any, sampling: Sampling, grammar: str | None) -> None:
        self._lib = library()
        self._chain = self._build(sampling)
        self._constrained: Any = None
        self._grammar: Any = None
        if grammar is not None:
            doing("compiling a grammar")
            self._grammar = self._lib.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
            if not self._grammar:
                self.close()
                raise EngineError("the grammar was not understood", found=log.complaints())
            self._constrained = self._build(sampling, first=self._grammar)

    def sample(self, context: Any, index: int) -> int:
        """The next token from the logits at batch position ``index``; it is also accepted."""
        lib = self._lib
        token: int = lib.llama_sampler_sample(self._chain, context, index)
        if self._grammar is None:
            return token
        if self._allows(token):
            doing("holding the answer to a grammar")
            lib.llama_sampler_accept(self._constrained, token)
            return token
        return int(lib.llama_sampler_sample(self._constrained, context, index))

    def close(self) -> None:
        for chain in (self._chain, self._constrained):
            if chain:
                self._lib.llama_sampler_free(chain)
        self._chain = self._constrained = None

    def _build(self, sampling: Sampling, first: Any = None) -> Any:
        lib = self._lib
        params = lib.llama_sampler_chain_default_params()
        params.no_perf = True
        chain = lib.llama_sampler_chain_init(params)
        steps = [first] if first else []
        if sampling.temperature <= 0:
            steps.append(lib.llama_sampler_init_greedy())
        else:
            if sampling.top_k > 0:
                steps.append(lib.llama_sampler_init_top_k(sampling.top_k))
            if sampling.top_p < 1:
                steps.append(lib.llama_sampler_init_top_p(sampling.top_p, 1))
            if sampling.min_p > 0:
                steps.append(lib.llama_sampler_init_min_p(sampling.min_p, 1))
            steps.append(lib.llama_sampler_init_temp(sampling.temperature))
            steps.append(lib.llama_sampler_init_dist(sampling.seed & 0xFFFFFFFF))
        for step in steps:
            lib.llama_sampler_chain_add(chain, step)
        return chain

    def _allows(self, token: int) -> bool:
        lib = self._lib
        data = (lib.llama_token_data * 1)(lib.llama_token_data(token, 1.0, 0.0))
        candidates = lib.llama_token_data_array(data, 1, -1, False)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        return not math.isinf(data[0].logit)
