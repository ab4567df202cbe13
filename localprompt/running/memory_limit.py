"""Settings that keep a run below a limit of memory, chosen before anything is loaded.

A second copy of weights beside their mapping is given up before anything else, when they are opened
(:func:`localprompt.running.admission.with_mapping_settled`). After that three things can give way,
and they do so in this order, the least harmful first:

1. ``n_ubatch``: a smaller physical batch takes smaller buffers; prefill becomes slower, and
   nothing else changes.
2. ``type_k`` and ``type_v``: 8 bit keys and values take about half of 16 bit ones and hardly
   change an answer. Fewer bits would, so they are proposed and never chosen.
3. ``n_ctx``: the answer may be cut. It goes down in llama.cpp's own steps, to no less than the
   prompt and a first token.

What the user typed is fixed. The largest context that can be had comes first, then the widest
cache, then the largest batch. All figures are estimates of :mod:`localprompt.models.predict`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import msgspec

from localprompt.errors import NotEnoughMemoryError
from localprompt.models.inspect import ModelInfo
from localprompt.models.predict import predict_memory
from localprompt.records.run import CONTEXT_STEP, RequestedSettings, whole_context
from localprompt.units import MIB, format_bytes

N_BATCH = 512
"""Of both batches, where nobody says otherwise."""
_SMALLEST_N_UBATCH = 32
"""Below, every product would read all weights for a handful of tokens."""
_WIDE = frozenset({"f32", "f16", "bf16"})
_NARROW = "q8_0"
_NARROW_BLOCK = 32
"""Elements that share a scale in q8_0: a head has to consist of whole blocks."""


class Demand(msgspec.Struct, frozen=True):
    """What is to be run, as it would be without a limit."""

    settings: RequestedSettings
    n_ctx: int
    """To hold the prompt and its answer, or what the user asked for."""
    prompt_tokens: int
    baseline_bytes: int
    """Resident before the model is opened."""
    fixed: tuple[str, ...] = ()
    """Fields of the settings that the user typed."""


class Fitted(msgspec.Struct, frozen=True):
    """What was chosen."""

    settings: RequestedSettings
    """With n_ctx set."""
    n_ctx: int
    peak_bytes: int
    """Of the process, estimated."""


def peak_bytes(
    info: ModelInfo,
    settings: RequestedSettings,
    *,
    n_ctx: int,
    prompt_tokens: int | None,
    baseline_bytes: int | None,
    used_tokens: int | None = None,
) -> int:
    """Estimated peak RSS of a process that runs the model so.

    Args:
        prompt_tokens: None assumes a prompt that fills a physical batch.
        baseline_bytes: None assumes a typical process of ours.
        used_tokens: of the prompt and its answer; None assumes that they fill n_ctx.
    """
    predicted = predict_memory(
        info,
        n_ctx=n_ctx,
        n_ubatch=settings.n_ubatch or N_BATCH,
        n_batch=settings.n_batch or N_BATCH,
        type_k=settings.type_k,
        type_v=settings.type_v,
        flash_attn=settings.flash_attn is not False,
        use_mmap=settings.use_mmap,
        repack=settings.repack,
        prompt_tokens=prompt_tokens,
        used_tokens=used_tokens,
        adapter_bytes=sum(use.size_bytes or 0 for use in settings.adapters),
    )
    if baseline_bytes is None:
        return predicted.peak_bytes
    return predicted.model_bytes + baseline_bytes


def fit_into(info: ModelInfo, demand: Demand, limit_bytes: int) -> Fitted | None:
    """The best settings whose predicted peak is within the limit; None: there are none.

    A higher limit never gives a smaller context.
    """
    sizes, ways = _sizes(demand), _ways(info, demand)
    cheapest = ways[-1]
    fitting = bisect_right(
        sizes, limit_bytes, key=lambda n: _fitted(info, demand, cheapest, n).peak_bytes
    )
    if not fitting:
        return None
    candidates = (_fitted(info, demand, way, sizes[fitting - 1]) for way in ways)
    return next(found for found in candidates if found.peak_bytes <= limit_bytes)


def smallest(info: ModelInfo, demand: Demand) -> Fitted:
    """What takes the least of all that may be chosen."""
    return _fitted(info, demand, _ways(info, demand)[-1], _sizes(demand)[0])


def refusal(
    info: ModelInfo, demand: Demand, limit_bytes: int, others: Mapping[str, ModelInfo]
) -> NotEnoughMemoryError:
    """Why nothing fits, how much would be needed, and what would fit.

    Args:
        others: models that could be asked instead, by name.
    """
    least = smallest(info, demand)
    settings = least.settings
    return NotEnoughMemoryError(
        "the run would not fit into the memory limit",
        where="--max-memory",
        expected=(
            f"at least {format_bytes(_rounded_up(least.peak_bytes))} (estimated, at n_ctx "
            f"{least.n_ctx}, KV {settings.type_k}/{settings.type_v}, "
            f"n_ubatch {settings.n_ubatch or N_BATCH})"
        ),
        found=format_bytes(limit_bytes),
        next_step=", or ".join(
            (
                f"--max-memory {_rounded_up(least.peak_bytes) // MIB}MiB",
                *_other_settings(info, demand, limit_bytes),
                *_other_models(demand, limit_bytes, others),
            )
        ),
    )


def _other_settings(info: ModelInfo, demand: Demand, limit_bytes: int) -> Iterator[str]:
    """Changes that are the user's to make and that would be enough, each on its own."""
    typed = tuple(
        f for f in demand.fixed if f in {"n_ctx", "n_ubatch", "n_batch", "type_k", "type_v"}
    )
    free = msgspec.structs.replace(
        demand, fixed=tuple(field for field in demand.fixed if field not in typed)
    )
    if typed and smallest(info, free).peak_bytes <= limit_bytes:
        yield f"leave out {', '.join('--' + field.replace('_', '-') for field in typed)}"
    changes: tuple[tuple[str, RequestedSettings], ...] = tuple(
        (flag, msgspec.structs.replace(demand.settings, **{field: False}))
        for flag, field in (("--no-repack", "repack"), ("--no-mmap", "use_mmap"))
        if getattr(demand.settings, field)
    )
    for flag, settings in changes:
        changed = msgspec.structs.replace(demand, settings=settings)
        if smallest(info, changed).peak_bytes <= limit_bytes:
            yield flag


def _other_models(
    demand: Demand, limit_bytes: int, others: Mapping[str, ModelInfo]
) -> Iterator[str]:
    """The largest other model that would fit: more memory usually means better answers."""
    fitting = {
        name: peak
        for name, info in others.items()
        if (peak := smallest(info, demand).peak_bytes) <= limit_bytes
    }
    if fitting:
        name = max(fitting, key=lambda name: fitting[name])
        yield f"-m {name} (at least {format_bytes(fitting[name])}, estimated)"


def _fitted(info: ModelInfo, demand: Demand, way: RequestedSettings, n_ctx: int) -> Fitted:
    peak = peak_bytes(
        info,
        way,
        n_ctx=n_ctx,
        prompt_tokens=demand.prompt_tokens,
        baseline_bytes=demand.baseline_bytes,
    )
    return Fitted(msgspec.structs.replace(way, n_ctx=n_ctx), n_ctx, peak)


def _sizes(demand: Demand) -> Sequence[int]:
    """Contexts that may be opened, the smallest first; each holds the prompt and one token."""
    wanted = demand.n_ctx
    if "n_ctx" in demand.fixed:
        return (wanted,)
    least = whole_context(demand.prompt_tokens + 1)
    return (*range(least, wanted, CONTEXT_STEP), wanted)


def _ways(info: ModelInfo, demand: Demand) -> Sequence[RequestedSettings]:
    """Settings beside n_ctx, the best first; the last takes the least memory."""
    found = demand.settings
    batches = [min(found.n_ubatch or N_BATCH, found.n_batch or N_BATCH)]
    if "n_ubatch" not in demand.fixed:
        while batches[-1] // 2 >= _SMALLEST_N_UBATCH:
            batches.append(batches[-1] // 2)
    return [
        msgspec.structs.replace(found, type_k=kv[0], type_v=kv[1], n_ubatch=n_ubatch)
        for kv, n_ubatch in product(_kv_types(info, demand), batches)
    ]


def _kv_types(info: ModelInfo, demand: Demand) -> list[tuple[str, str]]:
    """(type_k, type_v), the widest first."""
    found = demand.settings
    narrow_k = found.type_k in _WIDE and "type_k" not in demand.fixed
    narrow_v = found.type_v in _WIDE and "type_v" not in demand.fixed
    whole_blocks = (info.key_length % _NARROW_BLOCK, info.value_length % _NARROW_BLOCK)
    # llama.cpp takes quantized values only with flash attention.
    type_k = _NARROW if narrow_k and not whole_blocks[0] else found.type_k
    type_v = (
        _NARROW
        if narrow_v and not whole_blocks[1] and found.flash_attn is not False
        else found.type_v
    )
    return list(dict.fromkeys(((found.type_k, found.type_v), (type_k, type_v))))


def _rounded_up(n_bytes: int) -> int:
    """To whole MiB, so that typing the figure is enough."""
    return -(-n_bytes // MIB) * MIB
