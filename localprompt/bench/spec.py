"""What a bench is asked to do, and the cells that follow from it; pure.

A suite file and the flags of ``localprompt bench`` both become a :class:`BenchSpec`, so that what
one of them says the other can say too. Its product is a list of :class:`CellAsk`: names, not yet
looked up. What they turn into is a
:class:`~localprompt.records.cell.BenchRequest`, which a worker can execute without
looking anything up either, and whose key is the same wherever the same work is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import msgspec

from localprompt.bench.value_lists import switches, whole_numbers, words
from localprompt.errors import InputError
from localprompt.gguf.tensor_types import KV_TYPES
from localprompt.records.bench import Repetitions
from localprompt.records.cell import BenchRequest, SamplingChoices
from localprompt.records.model import AdapterUse
from localprompt.records.run import RequestedSettings

MOST_CELLS = 1000
_KEY_DIGITS = 16
_LONGEST_LABEL = 40
_NUMBERS = ("n_ctx", "n_batch", "n_ubatch", "n_threads", "n_threads_batch")
_TYPES = ("type_k", "type_v")
_SWITCHES = ("flash_attn", "use_mmap", "repack")
AXES = (*_NUMBERS, *_TYPES, *_SWITCHES)
"""Fields of RequestedSettings that take several values, in the order of labels."""


class PromptAsk(msgspec.Struct, frozen=True):
    """A prompt by name or path, with its parameters as they are typed."""

    name: str
    params: tuple[str, ...] = ()
    """``name=value`` or ``name=@file`` each."""


class BenchSpec(msgspec.Struct, frozen=True):
    """A bench as it was asked for."""

    models: tuple[str, ...]
    """Names or paths."""
    prompts: tuple[PromptAsk, ...] = ()
    prefill: tuple[int, ...] = ()
    """Synthetic workloads: so many tokens at once …"""
    decode: tuple[int, ...] = ()
    """… and so many one by one."""
    axes: dict[str, tuple[Any, ...]] = {}
    """Values by field of RequestedSettings; fields that are left out have their default."""
    sampling: SamplingChoices = SamplingChoices()
    repetitions: Repetitions = Repetitions(fixed=None)
    profile: str = "none"
    """A profile's name; ``default``: each model's own on this machine; ``none``: none."""
    adapters: tuple[AdapterUse, ...] = ()
    """On top of every model's weights."""
    prefix_store: bool = False
    """Repetitions bring back the state of the prompt's constant beginning from disk."""


class CellAsk(msgspec.Struct, frozen=True):
    """One cell, by name."""

    model: str
    prompt: PromptAsk | None
    """None: synthetic."""
    prefill: int
    decode: int
    settings: RequestedSettings
    sampling: SamplingChoices
    labels: dict[str, str]
    workload: str
    given: tuple[str, ...] = ()
    """Fields of the settings that were asked for: no profile changes those."""
    profile: str = "none"
    prefix_store: bool = False


def axis_values(field: str, text: str, where: str) -> tuple[Any, ...]:
    """The values of a setting as typed: ``1-4`` for numbers, ``f16,q8_0``, ``on,off``.

    Raises:
        InputError: with ``where`` and what would have been right.
    """
    if field in _NUMBERS:
        return whole_numbers(text, where)
    if field in _TYPES:
        return words(text, where, KV_TYPES)
    return switches(text, where)


def cell_asks(spec: BenchSpec) -> tuple[CellAsk, ...]:
    """The Cartesian product: models, then workloads, then settings in the order of AXES.

    Raises:
        InputError: nothing to run, or more than 1,000 cells.
    """
    workloads = _workloads(spec)
    if not spec.models or not workloads:
        raise InputError(
            "nothing to bench",
            expected="a prompt, --prefill or --decode" if spec.models else "a model",
            next_step="localprompt bench summarize -p text=@notes.txt -m smollm2-135m",
        )
    axes = {field: spec.axes[field] for field in AXES if spec.axes.get(field)}
    count = len(spec.models) * len(workloads)
    for values in axes.values():
        count *= len(values)
    if count > MOST_CELLS:
        raise InputError(
            "the plan is too large", expected=f"at most {MOST_CELLS} cells", found=f"{count} cells"
        )
    return tuple(_product(spec, workloads, axes))


def key_of(request: BenchRequest) -> str:
    """A digest of everything that makes two executions comparable.

    Where files lie is left out, and so is what the machine decides: the same bench has the same
    keys everywhere. Weights count by their sha256.
    """
    cell = msgspec.to_builtins(request.cell)
    template = cell["template"]
    for beside_the_point in ("path", "sha256", "cases", "metadata", "description", "body_line"):
        template.pop(beside_the_point, None)
    model = request.cell.model
    if not cell["settings"]["adapters"]:
        del cell["settings"]["adapters"]  # keys are what they were before there were any
    facts = {
        "model": model.sha256 or [model.name, model.size_bytes],
        "template": template,
        **{name: cell[name] for name in ("params", "sampling", "settings", "chat_template")},
        "lenient": request.cell.lenient,
        "synthetic": [request.prefill, request.decode],
    }
    if request.cell.prefix != "whole":
        facts["prefix"] = request.cell.prefix
    text = msgspec.json.encode(facts, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:_KEY_DIGITS]


class _Workload(msgspec.Struct, frozen=True):
    name: str
    prompt: PromptAsk | None
    prefill: int = 0
    decode: int = 0


def _workloads(spec: BenchSpec) -> list[_Workload]:
    names = [prompt.name for prompt in spec.prompts]
    asks = []
    for prompt in dict.fromkeys(spec.prompts):
        # Only their parameters tell apart what has the same name.
        twice = names.count(prompt.name) > 1 and prompt.params
        name = f"{prompt.name} {' '.join(prompt.params)}" if twice else prompt.name
        asks.append(_Workload(name, prompt))
    asks += [_Workload(f"pp{n}", None, prefill=n) for n in spec.prefill]
    return asks + [_Workload(f"tg{n}", None, decode=n) for n in spec.decode]


def _product(
    spec: BenchSpec, workloads: Sequence[_Workload], axes: dict[str, tuple[Any, ...]]
) -> Iterator[CellAsk]:
    varying = [field for field, values in axes.items() if len(values) > 1]
    for model, workload, *values in product(spec.models, workloads, *axes.values()):
        settings = dict(zip(axes, values, strict=True))
        labels = {"model": model} if len(spec.models) > 1 else {}
        if len(workloads) > 1:
            labels["workload"] = _short(workload.name)
        labels |= {field: _shown(settings[field]) for field in varying}
        yield CellAsk(
            model=model,
            prompt=workload.prompt,
            prefill=workload.prefill,
            decode=workload.decode,
            settings=RequestedSettings(**settings, adapters=spec.adapters),
            sampling=spec.sampling,
            labels=labels,
            workload=workload.name,
            given=tuple(settings),
            profile=spec.profile,
            prefix_store=spec.prefix_store,
        )


def _shown(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"
