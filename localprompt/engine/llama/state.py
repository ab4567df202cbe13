"""The state after a prompt's beginning: evaluated, written to a file, brought back.

llama.cpp writes the cells of a sequence to a file, together with its token ids, and reads them
into an empty sequence of another context; one layer at a time, so that neither needs memory for
the whole. It checks types and shapes while it reads, not whether the bytes are the ones that it
wrote: a file has to be known to be whole before it gets here. What follows the state in the file
is not read.

Bringing a state back puts its cells next to each other. After evaluating they lie there as well,
except where the model attends through a sliding window: cells that left the window were reused,
and are not part of the state. Attention adds up cells in tiles, so cells in other places round
differently. For such models the state is taken out and put back after it was evaluated, too, so
that both ways go on from the same cells and give the same logits.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from localprompt.engine.base import StateConditions
from localprompt.engine.crashes import doing
from localprompt.engine.device import HELD_SEQUENCE, evaluate_beginning
from localprompt.engine.llama.context import Context
from localprompt.engine.llama.interrupt import interruptible
from localprompt.engine.llama.library import build, cpu_features, library, log
from localprompt.errors import EngineError
from localprompt.records.model import AdapterUse
from localprompt.records.run import RequestedSettings, Settings

_FILE_HEAD = struct.Struct("<III")
"""Of a saved sequence: magic, version, how many token ids follow."""


def can_keep(model: Any) -> bool:
    """Whether states of this model are kept: those of plain and sliding attention.

    A recurrent state can be written down as well, but that it gives the same logits afterwards
    was not shown with a model here, and so is not relied on.
    """
    lib = library()
    return not (
        lib.llama_model_is_recurrent(model)
        or lib.llama_model_is_hybrid(model)
        or lib.llama_model_has_encoder(model)
    )


def state_conditions(settings: Settings, n_ctx_original: int) -> StateConditions:
    """What a state depends on, beside the weights and the token ids.

    Threads and mmap are not among it: they give the same bytes. Nor is n_ctx, except that some
    models rotate positions differently in contexts beyond the length of their training.

    Args:
        settings: the effective ones.
        n_ctx_original: the context that the model had before its positions were stretched.
    """
    return {
        "build": build(),
        "library": _library_files(),
        "cpu_features": list(cpu_features()),
        "state_version": int(library().LLAMA_STATE_SEQ_VERSION),
        "type_k": settings.type_k,
        "type_v": settings.type_v,
        "flash_attn": settings.flash_attn,
        "buffers": sorted({name.removesuffix("_Mapped") for name in settings.buffers or ()}),
        "n_batch": settings.n_batch,
        "n_ubatch": settings.n_ubatch,
        "stretched": settings.n_ctx > n_ctx_original,
        **_of_adapters(settings.adapters),
    }


def turn_conditions(
    requested: RequestedSettings, buffers: Iterable[str], *, stretched: bool
) -> StateConditions:
    """What a state depends on that came to be in turns, in whatever batches; arguments as they
    are known before a context is open."""
    return {
        "made": "in turns",
        "build": build(),
        "library": _library_files(),
        "cpu_features": list(cpu_features()),
        "state_version": int(library().LLAMA_STATE_SEQ_VERSION),
        "type_k": requested.type_k,
        "type_v": requested.type_v,
        "flash_attn": requested.flash_attn,
        "buffers": sorted({name.removesuffix("_Mapped") for name in buffers}),
        "stretched": stretched,
        **_of_adapters(requested.adapters),
    }


def _of_adapters(adapters: Iterable[AdapterUse]) -> StateConditions:
    """Those of an adapter that change a logit; nothing without one, as keys always were."""
    used = sorted((use.sha256, use.scale) for use in adapters if use.scale)
    return {"adapters": used} if used else {}


def evaluate(model: Any, context: Context, token_ids: Sequence[int]) -> None:
    """Evaluate a beginning into the first sequence, as it would be after :func:`restore`."""
    evaluate_beginning(context, token_ids)
    if library().llama_model_n_swa(model) > 0:
        put_back(context, take_out(context))
    context.held = tuple(token_ids)


def save(context: Context, token_ids: Sequence[int], path: Path) -> None:
    """Write the first sequence, which holds these tokens and no others, to a file.

    Raises:
        EngineError: the file cannot be written, as on a full disk.
    """
    log.clear()
    ids = (ctypes.c_int32 * len(token_ids))(*token_ids)
    doing("writing a beginning to keep")
    with interruptible().call():
        written = library().llama_state_seq_save_file(
            context.pointer, str(path).encode(), HELD_SEQUENCE, ids, len(ids)
        )
    # The last bytes are written when llama.cpp closes the file, and whether that worked it
    # does not say.
    if not written or path.stat().st_size != written:
        raise EngineError(
            "llama.cpp could not write the state of a prefix",
            where=str(path),
            found=log.complaints(),
        )


def restore(context: Context, token_ids: Sequence[int], path: Path) -> bool:
    """Fill the first sequence from a file.

    Returns:
        whether it now holds these tokens; False leaves it empty.
    """
    log.clear()
    context.forget(HELD_SEQUENCE)
    doing("bringing back a kept beginning")
    found, count = (ctypes.c_int32 * len(token_ids))(), ctypes.c_size_t(0)
    with interruptible().call():
        size = library().llama_state_seq_load_file(
            context.pointer, str(path).encode(), HELD_SEQUENCE, found, len(found), count
        )
    if size and count.value == len(token_ids) and tuple(found) == tuple(token_ids):
        context.held = tuple(token_ids)
        return True
    context.forget(HELD_SEQUENCE)
    return False


def saved_tokens(path: Path) -> tuple[int, ...]:
    """Which tokens a saved state belongs to, as llama.cpp writes them before it.

    Raises:
        OSError: the file cannot be read.
    """
    lib = library()
    with path.open("rb") as file:
        head = file.read(_FILE_HEAD.size)
        if len(head) != _FILE_HEAD.size:
            return ()
        magic, version, count = _FILE_HEAD.unpack(head)
        known = (lib.LLAMA_STATE_SEQ_MAGIC, lib.LLAMA_STATE_SEQ_VERSION)
        if (magic, version) != known or count * 4 > path.stat().st_size:
            return ()
        data = file.read(4 * count)
    return struct.unpack(f"<{count}i", data) if len(data) == 4 * count else ()


def take_out(context: Context) -> Any:
    """The state of the first sequence, as an array of bytes."""
    import numpy as np

    lib, pointer = library(), context.pointer
    state = np.empty(lib.llama_state_seq_get_size(pointer, HELD_SEQUENCE), dtype=np.uint8)
    with interruptible().call():
        lib.llama_state_seq_get_data(pointer, _address(state), len(state), HELD_SEQUENCE)
    return state


def put_back(context: Context, state: Any) -> None:
    """Fill the first sequence of this or another context.

    Raises:
        EngineError: it does not take it.
    """
    context.forget(HELD_SEQUENCE)
    with interruptible().call():
        done = library().llama_state_seq_set_data(
            context.pointer, _address(state), len(state), HELD_SEQUENCE
        )
    if done != len(state):
        raise EngineError("llama.cpp could not take over its own state", found=log.complaints())


def _address(state: Any) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


@cache
def _library_files() -> list[str]:
    """Which build of llama.cpp this is: its files, by what changes when they are replaced.

    Two builds of one version may compute with other instructions and round differently.
    """
    folder = Path(library().__file__).parent / "lib"
    found = []
    for path in sorted(folder.iterdir()):
        if "ggml" in path.name or "llama" in path.name:
            status = path.stat()
            found.append(f"{path}:{status.st_size}:{status.st_mtime_ns}:{status.st_ino}")
    return found
