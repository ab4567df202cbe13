"""The process that measures attention: one model, both ways, at several depths and in several rows.

For a shape of heads it is given a model of two layers, computes with one thread, and reads the
clock of its CPU time: that hardly shows what else the machine does, while threads that wait for
each other on a busy machine show nothing else. A real model is measured as it will be used: with
its threads, in seconds of the clock on the wall.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import Any

import msgspec

from localprompt.errors import EngineError
from localprompt.processes import Parent, serve
from localprompt.records.attention import AttentionCost, Heads

BATCHES = (1, 8, 32, 39, 64, 128, 512)
DEPTHS = (0, 512, 2048)
SEVERAL = {8: (32, 128), 32: (32,)}
"""Batches of so many sequences, a token of each, behind so many others of its own."""
_N_BATCH = max(BATCHES)
_MOST_REPETITIONS = 5
_ENOUGH_SECONDS = {False: 0.02, True: 0.4}
"""Of a batch, both ways together, after which it is not evaluated again; of a real model, on the
wall clock, more than of a shape."""


class Measure(msgspec.Struct, frozen=True, tag_field="do", tag="measure"):
    """Measure the model that lies there."""

    model: str
    type_k: str
    type_v: str
    threads: int
    n_vocab: int
    """Of it, so many tokens are used."""
    layers: int = 1
    """Costs are told for one of so many."""
    on_the_wall: bool = False
    """Which clock; else that of CPU time."""
    repack: bool = True

    @classmethod
    def of(cls, heads: Heads, model: str, n_vocab: int, layers: int) -> Measure:
        """Of a shape of heads, with a tiny model that has them."""
        return cls(model, heads.type_k, heads.type_v, 1, n_vocab, layers)


class Measured(msgspec.Struct, frozen=True, tag_field="is", tag="measured"):
    costs: tuple[AttentionCost, ...]


def main() -> int:
    return serve(Measure, _answer)


def _answer(parent: Parent[Measure]) -> None:
    for command in parent.commands():
        parent.say(Measured(tuple(_costs(command))))


def _costs(command: Measure) -> Iterator[AttentionCost]:
    """Everything that is measured. The two ways take turns at each batch, so that what else the
    machine does meets both."""
    with _Model(command) as model:
        with model.both(DEPTHS[-1] + _N_BATCH) as ways:
            for depth in DEPTHS:
                for tokens in BATCHES:
                    for flash, seconds in _fastest(command, ways, (0,), tokens, depth):
                        yield AttentionCost(flash, tokens, depth, seconds)
        for (count, depths), apart in product(SEVERAL.items(), (True, False)):
            everyone, cells = tuple(range(count)), 2 * depths[-1] * count
            with model.both(cells, sequences=count, apart=apart) as ways:
                for depth in depths:
                    for flash, seconds in _fastest(command, ways, everyone, 1, depth):
                        yield AttentionCost(flash, 1, depth, seconds, count, apart)


def _fastest(
    command: Measure, ways: _Ways, sequences: Sequence[int], tokens: int, depth: int
) -> list[tuple[bool, float]]:
    """Seconds of a batch of so many tokens of each sequence behind so many, in one layer; of either
    way the fastest of some."""
    for one in ways.values():
        one.fill(sequences, depth)
    times: dict[bool, list[float]] = {flash: [] for flash in ways}
    for _ in range(_MOST_REPETITIONS):
        for flash, one in ways.items():
            times[flash].append(one.seconds(sequences, tokens, depth))
        if sum(map(sum, times.values())) > _ENOUGH_SECONDS[command.on_the_wall]:
            break
    return [(flash, min(found) / command.layers) for flash, found in times.items()]


class _Model:
    """The model, open."""

    def __init__(self, command: Measure) -> None:
        from localprompt.engine.llama.library import library

        lib = self._lib = library()
        params = lib.llama_model_default_params()
        params.use_extra_bufts = command.repack
        self._command = command
        self._model = lib.llama_model_load_from_file(command.model.encode(), params)
        if not self._model:
            raise EngineError("llama.cpp does not take this model", found=command.model)

    def context(
        self, flash_attn: bool, cells: int, *, sequences: int = 1, apart: bool = False
    ) -> _Context:
        command, lib = self._command, self._lib
        params = lib.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = params.n_ubatch = _N_BATCH
        params.n_seq_max = sequences
        params.n_outputs_max = sequences
        params.kv_unified = not apart
        params.n_threads = params.n_threads_batch = command.threads
        params.type_k = getattr(lib, f"GGML_TYPE_{command.type_k.upper()}")
        params.type_v = getattr(lib, f"GGML_TYPE_{command.type_v.upper()}")
        params.flash_attn_type = int(flash_attn)
        pointer = lib.llama_init_from_model(self._model, params)
        if not pointer:
            raise EngineError("llama.cpp does not take this shape")
        clock = time.perf_counter if command.on_the_wall else time.process_time
        return _Context(pointer, clock, command.n_vocab, sequences)

    @contextmanager
    def both(self, cells: int, *, sequences: int = 1, apart: bool = False) -> Iterator[_Ways]:
        """A context with flash attention and one without."""
        with ExitStack() as held:
            yield {
                flash: held.enter_context(
                    self.context(flash, cells, sequences=sequences, apart=apart)
                )
                for flash in (True, False)
            }

    def __enter__(self) -> _Model:
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.llama_model_free(self._model)


class _Context:
    """A context of it, and what it takes for a batch."""

    def __init__(
        self, pointer: Any, clock: Callable[[], float], n_vocab: int, sequences: int
    ) -> None:
        from localprompt.engine.llama.library import library

        self._lib = library()
        self._pointer = pointer
        self._clock = clock
        self._n_vocab = n_vocab
        self._batch = self._lib.llama_batch_init(_N_BATCH, 0, sequences)

    def fill(self, sequences: Sequence[int], depth: int) -> None:
        """So many tokens into each sequence, beyond those that are there."""
        memory = self._lib.llama_get_memory(self._pointer)
        for sequence in sequences:
            at = self._lib.llama_memory_seq_pos_max(memory, sequence) + 1
            while at < depth:
                step = min(_N_BATCH, depth - at)
                self._evaluate((sequence,), step, at)
                at += step

    def seconds(self, sequences: Sequence[int], tokens: int, depth: int) -> float:
        """Of a batch of so many tokens of each sequence behind so many; it is forgotten again."""
        started = self._clock()
        self._evaluate(sequences, tokens, depth)
        seconds = self._clock() - started
        memory = self._lib.llama_get_memory(self._pointer)
        for sequence in sequences:
            self._lib.llama_memory_seq_rm(memory, sequence, depth, -1)
        return seconds

    def _evaluate(self, sequences: Sequence[int], tokens: int, depth: int) -> None:
        lib, batch = self._lib, self._batch
        for at, (sequence, step) in enumerate(product(sequences, range(tokens))):
            batch.token[at] = (depth + step) % self._n_vocab
            batch.pos[at] = depth + step
            batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
            batch.logits[at] = step == tokens - 1
        batch.n_tokens = len(sequences) * tokens
        if lib.llama_decode(self._pointer, batch) != 0:
            raise EngineError("llama.cpp could not evaluate a batch")
        lib.llama_synchronize(self._pointer)

    def __enter__(self) -> _Context:
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.llama_batch_free(self._batch)
        self._lib.llama_free(self._pointer)


_Ways = dict[bool, _Context]
"""By whether it is with flash attention."""


if __name__ == "__main__":
    sys.exit(main())
