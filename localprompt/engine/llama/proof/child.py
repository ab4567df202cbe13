"""The process that may die: the tiny model, through both paths, with its logits as replies.

Each path is reported as soon as it is known, so that the parent knows how far the child got::

    {"do": "prove", "model": "…/tiny.gguf", "threads": 2}
        →  {"is": "computed", "path": "plain", "logits": [[…], …], "buffers": ["CPU_Mapped"]}
        →  {"is": "computed", "path": "extra", "logits": [[…], …], "buffers": ["CPU_REPACK"]}
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import msgspec

from localprompt.engine.llama.library import library, log
from localprompt.engine.llama.proof.tiny import BATCH_TOKENS, COMPARED, N_VOCAB, NEXT_TOKEN
from localprompt.errors import EngineError
from localprompt.processes import Parent, serve


class Prove(msgspec.Struct, frozen=True, tag_field="do", tag="prove"):
    """Run the model that lies there."""

    model: str
    threads: int


class Computed(msgspec.Struct, frozen=True, tag_field="is", tag="computed"):
    path: Literal["plain", "extra"]
    logits: tuple[tuple[float | None, ...], ...]
    """One row for each compared position, and one for the next token; None: not a number."""
    buffers: tuple[str, ...]
    """Buffer types that hold weights."""


def main() -> int:
    return serve(Prove, _answer)


def _answer(parent: Parent[Prove]) -> None:
    for command in parent.commands():
        # Plain first, because without it nothing works.
        for path in ("plain", "extra"):
            logits, buffers = _logits(command.model, command.threads, extra=path == "extra")
            parent.say({"is": "computed", "path": path, "logits": logits, "buffers": buffers})


def _logits(path: str, threads: int, *, extra: bool) -> tuple[list[list[float]], list[str]]:
    lib = library()
    log.clear()
    model_params = lib.llama_model_default_params()
    model_params.use_extra_bufts = extra
    model = lib.llama_model_load_from_file(path.encode(), model_params)
    buffers = sorted(name.split()[0] for name in log.buffers() if name.endswith(" model"))
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = 256, len(BATCH_TOKENS), len(BATCH_TOKENS)
    params.n_outputs_max = len(COMPARED)
    params.n_threads = params.n_threads_batch = threads
    context = lib.llama_init_from_model(model, params)
    if not context:
        raise EngineError("llama.cpp refused the proof's model", found=log.complaints())
    found = _evaluated(context, BATCH_TOKENS, 0, COMPARED)
    found += _evaluated(context, (NEXT_TOKEN,), len(BATCH_TOKENS), (0,))
    lib.llama_free(context)
    lib.llama_model_free(model)
    return found, buffers


def _evaluated(
    context: Any, tokens: tuple[int, ...], position: int, wanted: tuple[int, ...]
) -> list[list[float]]:
    lib = library()
    batch = lib.llama_batch_init(len(tokens), 0, 1)
    for at, token in enumerate(tokens):
        batch.token[at], batch.pos[at], batch.logits[at] = token, position + at, at in wanted
        batch.n_seq_id[at], batch.seq_id[at][0] = 1, 0
    batch.n_tokens = len(tokens)
    if lib.llama_decode(context, batch) != 0:
        raise EngineError("llama.cpp could not evaluate a batch", found=log.complaints())
    found = [lib.llama_get_logits_ith(context, at)[:N_VOCAB] for at in wanted]
    lib.llama_batch_free(batch)
    return found


if __name__ == "__main__":
    sys.exit(main())
