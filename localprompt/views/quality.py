"""The quality of a model in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from localprompt.records.quality import Divergence, Perplexity, Quality
from localprompt.stats.samples import Interval
from localprompt.units import UNKNOWN, format_bytes, format_seconds

_SPAN = "({} to {})"


def print_quality(quality: Quality, console: Console) -> None:
    """The figures with their 95 % intervals, and what was read."""
    table = Table(box=None, pad_edge=False, show_header=quality.parent is not None)
    table.add_column("")
    table.add_column(quality.model.name, justify="right")
    if quality.parent is not None:
        table.add_column(quality.parent.name, justify="right")
    for name, *values in _rows(quality):
        table.add_row(name, *(Text(value) for value in values))
    console.print(table)
    if quality.divergence is not None:
        for line in divergence_lines(quality.divergence):
            console.print(Text(line))
    text = quality.text
    console.print(
        Text(
            f"{text.name}: {text.chunks} chunks of {text.n_ctx} tokens, "
            f"{quality.perplexity.tokens} scored, in {format_seconds(quality.seconds)}",
            style="dim",
        )
    )


def perplexity_text(perplexity: Perplexity | None) -> str:
    """``18.42 (17.50 to 19.39)``."""
    if perplexity is None:
        return UNKNOWN
    return _with_interval(f"{perplexity.value:.2f}", perplexity.interval, ".2f")


def ratio_text(divergence: Divergence | None) -> str:
    """``+0.64 % (+0.21 to +1.07)``: how much larger the perplexity is than the parent's."""
    if divergence is None:
        return UNKNOWN
    interval = divergence.ratio_interval
    percent = interval and Interval((interval.low - 1) * 100, (interval.high - 1) * 100)
    return _with_interval(f"{(divergence.ratio - 1) * 100:+.2f} %", percent, "+.2f")


def divergence_lines(divergence: Divergence) -> Iterator[str]:
    kl, agreement = divergence.kl, divergence.agreement_interval
    percent = agreement and Interval(agreement.low * 100, agreement.high * 100)
    yield f"perplexity against the parent  {ratio_text(divergence)}"
    yield f"mean KL divergence             {_with_interval(f'{kl.value:.4f}', kl.interval, '.4f')}"
    share = f"{divergence.agreement * 100:.1f} %"
    yield f"same most probable token       {_with_interval(share, percent, '.1f')}"


def _rows(quality: Quality) -> Iterator[tuple[str, ...]]:
    parent = quality.parent
    models = [quality.model, *([parent] if parent else [])]
    yield "type", *(model.quantization or UNKNOWN for model in models)
    yield "size", *(format_bytes(model.size_bytes) for model in models)
    figures = [quality.perplexity, *([quality.parent_perplexity] if parent else [])]
    yield "perplexity", *(perplexity_text(figure) for figure in figures)


def _with_interval(value: str, interval: Interval | None, form: str) -> str:
    if interval is None:
        return value
    return f"{value} {_SPAN.format(format(interval.low, form), format(interval.high, form))}"
