"""Models in the terminal: a list of all, everything about one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from localprompt.models.cards import ModelCard
from localprompt.models.inspect import ModelInfo
from localprompt.models.predict import MemoryPrediction
from localprompt.models.store import ModelEntry
from localprompt.units import UNKNOWN, format_bytes, format_count


def print_model_list(entries: Iterable[ModelEntry], console: Console) -> None:
    """One row per known model."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("licence", overflow="fold")
    table.add_column("description", overflow="fold")
    for entry in entries:
        card = entry.card
        table.add_row(
            card.name, entry.state, format_bytes(card.size_bytes), card.licence.name,
            card.description,
        )  # fmt: skip
    console.print(table)


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
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(info, card, sha256):
        grid.add_row(name, Text(value))
    console.print(grid)
    console.print(Text("\ntensors", style="bold"))
    for share in info.tensor_types:
        console.print(
            f"  {share.type:<8}{share.tensors:>5} tensors  "
            f"{format_count(share.parameters):>8} parameters  {format_bytes(share.size_bytes):>9}"
        )
    console.print(Text("\npredicted memory (estimated, nothing was loaded)", style="bold"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("n_ctx", "weights", "KV cache", "compute", "process and rest", "peak RSS"):
        table.add_column(column, justify="right", no_wrap=True)
    for n_ctx, predicted in predictions.items():
        parts = (
            predicted.weights_bytes,
            predicted.kv_cache_bytes,
            predicted.compute_bytes,
            predicted.baseline_bytes + predicted.other_bytes,
            predicted.peak_bytes,
        )
        table.add_row(str(n_ctx), *map(format_bytes, parts))
    console.print(table)
    console.print(Text("\nchat template", style="bold"))
    if info.chat_template is None:
        console.print("  none: a base model, prompts are plain completions")
    else:
        console.print(Text(info.chat_template))


def _facts(
    info: ModelInfo, card: ModelCard | None, sha256: str | None
) -> Iterator[tuple[str, str]]:
    yield "name", (card.name if card else info.name) or UNKNOWN
    if card and card.description:
        yield "", card.description
    yield "file", f"{info.path} ({format_bytes(info.size_bytes)})"
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
