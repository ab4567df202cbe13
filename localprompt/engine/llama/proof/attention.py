"""What attention takes on this CPU, with flash attention and without, for a model's shape.

Attention does not read the model's weights, so that a model of two layers with the same heads, and
hardly anything beside them, takes as long for it in each layer as the real one. A child process
evaluates batches of it at three depths, both ways, with one thread and on the clock of its CPU
time: that hardly shows what else the machine does, while threads that wait for each other on a busy
machine show nothing else. The fastest of some repetitions counts. It takes a second or two, once
for each build, CPU, shape and types of the KV cache, before the first request for which it matters.
The table lies beside the verdict.

A table that contradicts itself (a token behind 2,048 others that is faster than the first one) was
measured while something else ran: it is measured once more, and if that is no better, nothing is
kept and llama.cpp's own choice stays.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from localprompt.engine.llama.proof import gate, tiny
from localprompt.errors import EngineError, LocalPromptError
from localprompt.files import replace_file
from localprompt.processes import Child, Parent, serve, worker_command
from localprompt.records.attention import AttentionCost, AttentionTable, Heads

BATCHES = (1, 8, 39, 64, 512)
DEPTHS = (0, 512, 2048)
SECONDS = 30.0
"""After which the child is ended: this machine has no time for it now."""
_N_BATCH = max(BATCHES)
_REPETITIONS = 2
_ATTEMPTS = 2
_LAYERS = 2
_TOLERATED = 0.9
"""Deeper, or more tokens, may look so much faster before it is a contradiction."""


class _Measure(msgspec.Struct, frozen=True, tag_field="do", tag="measure"):
    model: str
    heads: Heads


class _Measured(msgspec.Struct, frozen=True, tag_field="is", tag="measured"):
    costs: tuple[AttentionCost, ...]


def table(heads: Heads, *, may_measure: bool = True) -> AttentionTable | None:
    """The table that is kept, or measured now.

    Returns:
        None where there is none, or the gate is left out (:data:`gate.VARIABLE`).
    """
    if gate.verdict() is None:
        return None
    path = _path(heads)
    with suppress(OSError, msgspec.DecodeError):
        found = msgspec.json.decode(path.read_bytes(), type=AttentionTable)
        if not contradiction(found):
            return found
    for _ in range(_ATTEMPTS if may_measure else 0):
        measured = measure(heads)
        if measured is None:
            break
        if not contradiction(measured):
            with suppress(OSError):
                replace_file(path, msgspec.json.encode(measured))
            return measured
    return None


def kept() -> list[AttentionTable]:
    """All tables of this library on this CPU."""
    found = []
    for path in sorted(_folder().glob(f"{gate.verdict_path().stem}-*.json")):
        with suppress(OSError, msgspec.DecodeError):
            found.append(msgspec.json.decode(path.read_bytes(), type=AttentionTable))
    return found


def measure(heads: Heads) -> AttentionTable | None:
    """Measure in a child of its own, so that this process's memory stays what it was."""
    started = time.monotonic()
    types = (("Q8_0",) * 7,) * _LAYERS
    shape = tiny.Shape(heads.n_head, heads.n_head_kv, heads.key_length, heads.value_length, types)
    try:
        with tempfile.TemporaryDirectory(prefix="localprompt-attention-") as folder:
            model = Path(folder) / "heads.gguf"
            model.write_bytes(tiny.gguf(shape))
            child: Child[_Measured] = Child(worker_command(__name__), _Measured)
            try:
                reply = child.ask(_Measure(str(model), heads), SECONDS)
            finally:
                child.kill()
    except (OSError, LocalPromptError):  # no room, no time, or a shape that llama.cpp refuses
        return None
    return AttentionTable(reply.costs, time.monotonic() - started)


def contradiction(found: AttentionTable) -> bool:
    """Whether a part of the table cannot be true."""
    at = {(c.flash_attn, c.tokens, c.depth): c.seconds for c in found.costs}
    if len(at) != 2 * len(BATCHES) * len(DEPTHS):
        return True
    return any(
        at[flash, tokens, DEPTHS[-1]] < _TOLERATED * at[flash, tokens, DEPTHS[0]]
        or at[flash, tokens, depth] < _TOLERATED * at[flash, BATCHES[0], depth]
        for flash in (True, False)
        for tokens in BATCHES
        for depth in DEPTHS
    )


def _folder() -> Path:
    return gate.verdict_path().parent


def _path(heads: Heads) -> Path:
    digest = hashlib.sha256(msgspec.json.encode(heads)).hexdigest()[:12]
    return _folder() / f"{gate.verdict_path().stem}-{digest}.json"


def _answer(parent: Parent[_Measure]) -> None:
    for command in parent.commands():
        costs = tuple(
            cost
            for flash_attn in (True, False)
            for cost in _costs(command.model, command.heads, flash_attn)
        )
        parent.say(_Measured(costs))


def _costs(model: str, heads: Heads, flash_attn: bool) -> Iterator[AttentionCost]:
    with _Attention(model, heads, flash_attn) as attention:
        depth = 0
        for wanted in DEPTHS:
            while depth < wanted:
                attention.evaluate(min(_N_BATCH, wanted - depth), depth)
                depth += min(_N_BATCH, wanted - depth)
            for tokens in BATCHES:
                repetitions = 1 if tokens == _N_BATCH else _REPETITIONS
                times = [attention.timed(tokens, depth) for _ in range(repetitions)]
                yield AttentionCost(flash_attn, tokens, depth, min(times) / _LAYERS)


class _Attention:
    """The small model in one context."""

    def __init__(self, path: str, heads: Heads, flash_attn: bool) -> None:
        from localprompt.engine.llama.library import library

        lib = self._lib = library()
        self._model = lib.llama_model_load_from_file(
            path.encode(), lib.llama_model_default_params()
        )
        params = lib.llama_context_default_params()
        params.n_ctx = DEPTHS[-1] + _N_BATCH
        params.n_batch = params.n_ubatch = _N_BATCH
        params.n_threads = params.n_threads_batch = 1
        params.type_k = getattr(lib, f"GGML_TYPE_{heads.type_k.upper()}")
        params.type_v = getattr(lib, f"GGML_TYPE_{heads.type_v.upper()}")
        params.flash_attn_type = int(flash_attn)
        self._context: Any = self._model and lib.llama_init_from_model(self._model, params)
        if not self._context:
            raise EngineError("llama.cpp does not take this shape")
        self._tokens = (lib.llama_token * _N_BATCH)(*(at % tiny.N_VOCAB for at in range(_N_BATCH)))

    def evaluate(self, tokens: int, depth: int) -> None:
        lib = self._lib
        lib.llama_memory_seq_rm(lib.llama_get_memory(self._context), 0, depth, -1)
        lib.llama_decode(self._context, lib.llama_batch_get_one(self._tokens, tokens))
        lib.llama_synchronize(self._context)

    def timed(self, tokens: int, depth: int) -> float:
        started = time.process_time()
        self.evaluate(tokens, depth)
        return time.process_time() - started

    def __enter__(self) -> _Attention:
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.llama_free(self._context)
        self._lib.llama_model_free(self._model)


if __name__ == "__main__":
    sys.exit(serve(_Measure, _answer))
