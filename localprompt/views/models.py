"""Models in the terminal: a list of all, everything about one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console

from localprompt.gguf.adapter import AdapterHead
from localprompt.models.cards import ModelCard
from localprompt.models.inspect import ModelInfo
from localprompt.models.predict import MemoryPrediction
from localprompt.models.store import ModelEntry, place_of
from localprompt.units import UNKNOWN, format_bytes, format_count
from localprompt.views.grid import Line
from localprompt.views.sections import Column, Section, text_table
from localprompt.views.terminal import (
    facts_lines,
    indented,
    print_blocks,
    print_lines,
    print_sections,
)
from localprompt.views.translation import to_translate, translated

_LIST = (
    Column("name", whole=True),
    Column("state"),
    Column("size", numeric=True),
    Column("licence", prose=True, spare=1),
    Column("description", prose=True),
)
_TENSORS = (
    Column("type"),
    Column("tensors", numeric=True),
    Column("parameters", numeric=True),
    Column("size", numeric=True),
)
_WORDS = {
    "present": to_translate("present"),
    "missing": to_translate("missing"),
    "damaged": to_translate("damaged"),
    "own": to_translate("own"),
    "shared": to_translate("shared"),
    "elsewhere": to_translate("elsewhere"),
}
_PREDICTED = ("n_ctx", "weights", "KV cache", "compute", "process and rest", "peak RSS")


def print_model_list(entries: Iterable[ModelEntry], console: Console) -> None:
    """One row per known model, and in which store it lies where there is more than one."""
    entries = tuple(entries)
    tell = any(entry.place == "shared" for entry in entries)
    rows = (
        (
            entry.card.name,
            translated(_WORDS[entry.state]),
            *([_store(entry)] if tell else []),
            format_bytes(entry.card.size_bytes),
            entry.card.licence.name,
            entry.card.description,
        )
        for entry in entries
    )
    columns = (*_LIST[:2], Column("store"), *_LIST[2:]) if tell else _LIST
    print_blocks([text_table("", columns, rows)], console)


def _store(entry: ModelEntry) -> str:
    return UNKNOWN if entry.state == "missing" else translated(_WORDS[entry.place])


def print_model(
    info: ModelInfo,
    card: ModelCard | None,
    sha256: str | None,
    predictions: dict[int, MemoryPrediction],
    console: Console,
) -> None:
    """Everything that a model's header and its card say, and the memory that it will take.

    Args:
        predictions: by n_ctx.
    """
    print_lines(facts_lines(_facts(info, card, sha256), console.width), console)
    print_sections(model_sections(info, predictions), console)
    print_lines([Line(""), Line("chat template", "bold")], console)
    template = info.chat_template or "none: a base model, prompts are plain completions"
    print_lines(indented(template), console)


def print_adapter(
    head: AdapterHead, card: ModelCard | None, sha256: str | None, console: Console
) -> None:
    """What an adapter's file says of itself."""
    name = card.name if card else head.name
    changed = {name.split(".")[-2] if "." in name else name for name in head.pairs}
    facts = (
        ("name", name or UNKNOWN),
        ("file", f"{head.path} ({format_bytes(head.size_bytes)})"),
        ("sha256", sha256 or "not computed yet"),
        ("licence", (card.licence.name if card else head.licence) or UNKNOWN),
        ("kind", "LoRA adapter"),
        ("made for", head.base or f"models of architecture {head.architecture}"),
        ("rank", f"{head.rank}, alpha {head.alpha:g}"),
        ("changes", f"{len(head.pairs)} weights: {', '.join(sorted(changed))}"),
        ("in memory", f"{format_bytes(head.tensor_bytes)} beside the weights"),
    )
    print_lines(facts_lines(facts, console.width), console)


def model_sections(
    info: ModelInfo, predictions: dict[int, MemoryPrediction]
) -> tuple[Section, ...]:
    """What is in the file, and the memory that it will take."""
    tensors = (
        (
            share.type,
            str(share.tensors),
            format_count(share.parameters),
            format_bytes(share.size_bytes),
        )
        for share in info.tensor_types
    )
    predicted = (
        (str(n_ctx), *map(format_bytes, _parts(one))) for n_ctx, one in predictions.items()
    )
    heads = tuple(Column(name, numeric=True) for name in _PREDICTED)
    title = "predicted memory (estimated, nothing was loaded)"
    return (
        Section("tensors", "tensors", (text_table("", _TENSORS, tensors),)),
        Section("predicted", title, (text_table("", heads, predicted),)),
    )


def _parts(predicted: MemoryPrediction) -> tuple[int, ...]:
    return (
        predicted.weights_bytes,
        predicted.kv_cache_bytes,
        predicted.compute_bytes,
        predicted.baseline_bytes + predicted.other_bytes,
        predicted.peak_bytes,
    )


def _facts(
    info: ModelInfo, card: ModelCard | None, sha256: str | None
) -> Iterator[tuple[str, str]]:
    yield "name", (card.name if card else info.name) or UNKNOWN
    if card and card.description:
        yield "", card.description
    yield "file", f"{info.path} ({format_bytes(info.size_bytes)})"
    if card and place_of(card.weights) == "shared":
        yield "", "in the store that all users of this machine read"
    yield "sha256", sha256 or "not computed yet"
    if card and card.parent_sha256:
        yield "parent", f"sha256 {card.parent_sha256}"
    licence = card.licence if card else None
    named = licence.name if licence else info.licence
    where = f" ({licence.url})" if licence and licence.url else ""
    yield "licence", f"{named or UNKNOWN}{where}"
    yield "architecture", info.architecture
    yield "parameters", f"{format_count(info.parameters)} ({info.parameters:,})"
    yield "quantization", info.file_type
    heads = f"{info.n_head} heads, {max(info.n_head_kv)} for keys and values"
    yield "shape", f"{info.n_layer} layers, width {info.n_embd}, {heads}, vocabulary {info.n_vocab}"
    window = f", sliding window {info.n_swa}" if info.n_swa else ""
    yield "n_ctx_train", f"{info.n_ctx_train} tokens{window}"
