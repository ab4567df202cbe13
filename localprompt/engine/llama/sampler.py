"""Choosing the next token: llama.cpp's sampler chain, and a constraint beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from localprompt.engine.constraints.matching import Matcher
from localprompt.engine.device import Chosen
from localprompt.engine.llama.library import library
from localprompt.records.run import Sampling


class Draw(Protocol):
    """One token from the logits at a place of the last batch."""

    def sample(self, batch_index: int) -> int: ...

    def close(self) -> None: ...


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


class Chain:
    """llama.cpp's own samplers in its own order: top-k, top-p, min-p, temperature, a draw."""

    def __init__(self, context: Any, sampling: Sampling) -> None:
        self._lib = library()
        self._context = context
        self._chain = self._build(sampling)

    def sample(self, batch_index: int) -> int:
        return int(self._lib.llama_sampler_sample(self._chain, self._context, batch_index))

    def close(self) -> None:
        if self._chain:
            self._lib.llama_sampler_free(self._chain)
        self._chain = None

    def _build(self, sampling: Sampling) -> Any:
        lib = self._lib
        params = lib.llama_sampler_chain_default_params()
        params.no_perf = True
        chain = lib.llama_sampler_chain_init(params)
        steps = []
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


class Free:
    """The sampler of a request whose answer is free text.

    Implements :class:`localprompt.engine.device.RequestSampler`.
    """

    finished = False

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def choose(self, batch_index: int) -> Chosen:
        return Chosen((self._draw.sample(batch_index),))

    def fitting(self, token_ids: Sequence[int]) -> int:
        return len(token_ids)

    def close(self) -> None:
        self._draw.close()


class Held:
    """The sampler of a request that is held to a constraint.

    A token is drawn as if there were none; only where the constraint does not allow it, all that
    it does not allow is taken out of the logits and the draw repeated. Filtering before every
    draw would give the same answers and cost more than decoding a small model.

    Implements :class:`localprompt.engine.device.RequestSampler`.
    """

    def __init__(self, draw: Draw, matcher: Matcher, context: Any, n_vocab: int) -> None:
        self._draw = draw
        self._matcher = matcher
        self._context = context
        self._n_vocab = n_vocab

    def choose(self, batch_index: int) -> Chosen:
        matcher = self._matcher
        forced = matcher.take_forced()
        if forced:
            return Chosen(forced, len(forced))
        token_id = self._draw.sample(batch_index)
        if not matcher.accept(token_id):
            self._forbid(batch_index)
            token_id = self._draw.sample(batch_index)
            matcher.accept(token_id)
        forced = () if matcher.finished else matcher.take_forced()
        return Chosen((token_id, *forced), len(forced))

    def fitting(self, token_ids: Sequence[int]) -> int:
        return self._matcher.fitting(token_ids)

    @property
    def finished(self) -> bool:
        return self._matcher.finished

    def close(self) -> None:
        self._draw.close()

    def _forbid(self, batch_index: int) -> None:
        """Take what is not allowed out of the logits, which nobody reads again."""
        from localprompt.engine.llama.logits import forbid, row

        forbid(row(self._context, batch_index, self._n_vocab), self._matcher.mask())
