"""What the model needs and what the machine can do: the two sides of the roofline.

The work of a token follows from the tensors in the model's file, in the layout that llama.cpp gives
them on this CPU. The ceilings come from the probe: bandwidth measured here, arithmetic measured
through llama.cpp's own build with the types that the model's matrices have, each in the buffer
where llama.cpp multiplies with it. Both are facts of the plan, so they are stored with it and
a result can be read again where neither the model nor the machine is at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from localprompt.errors import EngineError, LocalPromptError, NotEnoughMemoryError
from localprompt.gguf.header import TensorInfo
from localprompt.gguf.splits import read_model
from localprompt.measure import probe
from localprompt.models.inspect import ModelInfo, describe
from localprompt.models.layout import PLAIN, layout_here
from localprompt.models.predict import predict_memory
from localprompt.records.bench import LimitShare
from localprompt.records.run import Machine, RequestedSettings
from localprompt.stats.roofline import Ceilings, Limit, TokenWork

_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"
_KV_CELLS = 4096
"""Over so many positions the KV cache's bytes are averaged; only windowed attention cares."""


def token_work(path: Path, settings: RequestedSettings) -> tuple[TokenWork, dict[str, int]]:
    """What a token costs, and the parameters of the layers' matrices by their type.

    Raises:
        ModelFileError: the file does not describe a language model.
    """
    head = read_model(path)
    info = describe(head)
    matrices = [t for t in head.tensors if t.name.startswith("blk.") and len(t.shape) > 1]
    output = next((t for t in head.tensors if t.name == _OUTPUT), None)
    embedding = next((t for t in head.tensors if t.name == _EMBEDDING), None)
    last = output or embedding
    read = [t for t in head.tensors if t is not embedding or output is None]
    kv = predict_memory(
        info, n_ctx=_KV_CELLS, type_k=settings.type_k, type_v=settings.type_v
    ).kv_cache_bytes
    layout = layout_here() if settings.repack else PLAIN
    added = sum(layout.size_of(kind) - kind.size_bytes for kind in info.repackable)
    work = TokenWork(
        weight_bytes=round(sum(tensor.n_bytes * _used(tensor, info) for tensor in read)) + added,
        matrix_parameters=round(sum(t.n_elements * _used(t, info) for t in matrices)),
        output_parameters=last.n_elements if last else 0,
        layers=info.n_layer,
        attention_width=info.n_head * info.key_length,
        kv_bytes_per_position=kv / _KV_CELLS,
    )
    return work, _parameters_by_type(matrices)


def ceilings(machine: Machine, parameters: Mapping[str, int], *, build: str) -> Ceilings | None:
    """What this machine can do with such weights: from the kept probe, or probed now.

    Args:
        parameters: of the matrices, by type: products of each take their own time.
        build: of llama.cpp, and what it lays weights out for.

    Takes about two seconds for a machine and one more for each type of weights, once. None where
    the probe has no room, or where this build cannot multiply that type by itself.
    """
    try:
        found = probe.probe(machine)
        seconds = 0.0
        for weight_type, count in parameters.items():
            best = found.best_arithmetic(weight_type, build)
            if best is None:
                best = _measure(machine, weight_type, build)
                found = found.with_arithmetic(best)
                probe.save(found)
            seconds += count / best.operations_per_second
    except (NotEnoughMemoryError, EngineError):
        return None
    together = sum(parameters.values()) / seconds
    return Ceilings(found.best_bandwidth.bytes_per_second, together)


def share_of(limit: Limit, tokens_per_second: float) -> LimitShare:
    """A measured rate beside its limit."""
    return LimitShare(
        limit_tokens_per_second=limit.tokens_per_second,
        share=tokens_per_second / limit.tokens_per_second,
        binds=limit.binds,
    )


def work_and_ceilings(
    path: Path, settings: RequestedSettings, machine: Machine, build: str
) -> tuple[TokenWork | None, Ceilings | None]:
    """Both sides, or None for what cannot be known; a bench runs without them as well."""
    try:
        work, parameters = token_work(path, settings)
    except LocalPromptError:
        return None, None
    # A probe of one build says nothing of another with the same version and other kernels.
    kinds = layout_here()
    build = f"{build}, {'AMX' if kinds.amx else ','.join(sorted(kinds.repacked)) or 'plain'}"
    return work, ceilings(machine, parameters, build=build)


def _measure(machine: Machine, weight_type: str, build: str) -> probe.ArithmeticSample:
    from localprompt.engine.llama.arithmetic import LlamaProduct

    threads = probe.thread_counts(machine.physical_cores)[-1]
    with LlamaProduct(weight_type) as multiply:
        return probe.measure_arithmetic(
            multiply, weight_type=weight_type, llama_cpp_build=build, threads=threads
        )


def _used(tensor: TensorInfo, info: ModelInfo) -> float:
    """The share of a tensor that one token needs: of the experts, those it is sent to."""
    if "_exps." in tensor.name and info.n_expert:
        return info.n_expert_used / info.n_expert
    return 1.0


def _parameters_by_type(matrices: Sequence[TensorInfo]) -> dict[str, int]:
    """The most first; types of less than a twentieth are left out, each would take a second."""
    counts: Counter[str] = Counter()
    for tensor in matrices:
        counts[tensor.type.name] += tensor.n_elements
    total = counts.total()
    return {name: n for name, n in counts.most_common() if n >= total / 20} or {"F32": 1}
