"""The quality of a model in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from localprompt.records.quality import Divergence, Perplexity, Quality
from localprompt.stats.samples import Interval
from localprompt.units import UNKNOWN, format_bytes, format_seconds
from localprompt.views.sections import Block, Column, Fact, Facts, Lines, text_table
from localprompt.views.terminal import print_blocks

_SPAN = "({} to {})"


def print_quality(quality: Quality, console: Console) -> None:
    """The figures with their 95 % intervals, and what was read."""
    print_blocks(quality_blocks(quality), console)


def quality_blocks(quality: Quality) -> Iterator[Block]:
    """The model beside its parent, how far apart they are, and what was read."""
    models = [quality.model, *([quality.parent] if quality.parent else [])]
    columns = (Column("model"), *(Column(model.name, numeric=True) for model in models))
    yield text_table("", columns, _rows(quality))
    if quality.divergence is not None:
        yield Facts(tuple(divergence_facts(quality.divergence)))
    text = quality.text
    read = (
        f"{text.name}: {text.chunks} chunks of {text.n_ctx} tokens, "
        f"{quality.perplexity.tokens} scored, in {format_seconds(quality.seconds)}"
    )
    yield Lines((read,))


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


def divergence_facts(divergence: Divergence) -> Iterator[Fact]:
    kl, agreement = divergence.kl, divergence.agreement_interval
    percent = agreement and Interval(agreement.low * 100, agreement.high * 100)
    yield Fact("perplexity against the parent", ratio_text(divergence))
    yield Fact("mean KL divergence", _with_interval(f"{kl.value:.4f}", kl.interval, ".4f"))
    share = f"{divergence.agreement * 100:.1f} %"
    yield Fact("same most probable token", _with_interval(share, percent, ".1f"))


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
