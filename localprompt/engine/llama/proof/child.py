"""The process that may die: the tiny model, through both paths, with its logits on stdout.

One JSON object per line, each written the moment that it is known, so that whoever reads them
knows how far it got::

    {"began": "plain"}
    {"path": "plain", "logits": [[…], …]}
    {"began": "extra"}
    {"path": "extra", "logits": [[…], …], "buffers": ["CPU_REPACK"]}

Started as ``python -m localprompt.engine.llama.proof.child MODEL THREADS``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from localprompt.engine.llama.library import library, log
from localprompt.engine.llama.proof.tiny import BATCH_TOKENS, COMPARED, N_VOCAB, NEXT_TOKEN


def main(model: str, threads: int) -> int:
    """Run both paths; plain first, because without it nothing works."""
    for path in ("plain", "extra"):
        _say(began=path)
        logits, buffers = _logits(model, threads, extra=path == "extra")
        _say(path=path, logits=logits, buffers=buffers)
    return 0


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)  # noqa: T201  the protocol


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
        raise RuntimeError(log.complaints() or "no context")
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
        raise RuntimeError(log.complaints() or "the batch was refused")
    found = [lib.llama_get_logits_ith(context, at)[:N_VOCAB] for at in wanted]
    lib.llama_batch_free(batch)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
