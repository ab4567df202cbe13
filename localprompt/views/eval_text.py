"""Words and figures of evaluations, the same in the terminal, Markdown and HTML."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from localprompt.records.evaluation import (
    EvalResult,
    EvalTarget,
    Evaluation,
    MeanScore,
    PassRate,
    TargetSummary,
)
from localprompt.records.model_use import ModelUse
from localprompt.units import UNKNOWN, format_bytes, format_rate, format_seconds
from localprompt.views.translation import translated

_SHOWN = 200
"""Characters of a text."""


def short(text: str, most: int = _SHOWN) -> str:
    """A text on one line, cut with a word on how long it is."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}… ({len(line):,} characters)"


def value_text(value: Any) -> str:
    """A variable's value: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def rate_text(rate: PassRate) -> str:
    """``87.5 % (80.4 to 92.3)``."""
    if rate.rate is None:
        return UNKNOWN
    text = f"{rate.rate * 100:.1f} %"
    if rate.interval is not None:
        text += f" ({rate.interval.low * 100:.1f} to {rate.interval.high * 100:.1f})"
    return text


def mean_text(score: MeanScore) -> str:
    """``0.875 (0.81 to 0.92)``."""
    if score.mean is None:
        return UNKNOWN
    text = f"{score.mean:.3f}"
    if score.interval is not None:
        text += f" ({score.interval.low:.3f} to {score.interval.high:.3f})"
    return text


def counts_text(rate: PassRate) -> str:
    """``105 of 120``, and what could not be answered or scored."""
    parts = [f"{rate.passed} of {rate.passed + rate.failed}"]
    if rate.errors:
        parts.append(translated(f"{rate.errors} without an answer"))
    if rate.unscored:
        parts.append(translated(f"{rate.unscored} unscored"))
    return ", ".join(parts)


def target_name(summary: TargetSummary) -> str:
    return f"{summary.target.prompt}, {summary.target.model.name}"


def target_names(targets: Sequence[EvalTarget]) -> tuple[str, ...]:
    """What tells targets apart: the prompt, the model, or both."""
    prompts = {target.prompt for target in targets}
    models = {target.model.name for target in targets}
    names = []
    for target in targets:
        parts = [target.prompt] if len(prompts) > 1 or len(models) == 1 else []
        parts += [target.model.name] if len(models) > 1 else []
        names.append(", ".join(parts))
    return tuple(names)


def heading(evaluation: Evaluation) -> str:
    repeated = f" × {evaluation.repeat}" if evaluation.repeat > 1 else ""
    targets = len(evaluation.targets)
    of = translated(f"{targets} targets" if targets != 1 else "1 target")
    return translated(f"{evaluation.title}: {evaluation.cases} cases{repeated}, {of}")


def remarks(result: EvalResult) -> Iterator[str]:
    """What a reader of the figures should know."""
    evaluation = result.evaluation
    if not result.complete:
        done = sum(summary.done for summary in result.targets)
        yield translated(
            f"incomplete: {done} of {evaluation.results} results; go on with:  "
            f"localprompt eval --resume {evaluation.id}"
        )
    if evaluation.skipped_rows:
        first = evaluation.first_skipped[0] if evaluation.first_skipped else ""
        yield translated(
            f"{evaluation.skipped_rows} malformed rows were skipped; the first: {first}"
        )
    if any(summary.passes.unscored for summary in result.targets):
        yield translated("unscored results are left out of all rates and means")
    if near := sum(summary.near_ties for summary in result.targets):
        yield translated(
            f"{near} near ties among the choices: another batch or another run may answer those "
            "otherwise"
        )
    for summary in result.targets:
        if summary.only_answer is not None:
            model = shlex.quote(summary.target.model.name)
            again = f"localprompt eval {shlex.quote(evaluation.request.suite)} -m {model}"
            name, scoring = target_name(summary), evaluation.request.scoring
            yield "; try:  ".join(one_label(name, summary.only_answer, again, scoring))
    if evaluation.repeat > 1:
        yield from _same_every_time(result)
    cached = sum(summary.cached for summary in result.targets)
    if cached:
        yield translated(
            f"{cached} answers were reused from equal requests; --no-cache answers all again"
        )


def one_label(name: str, label: str, again: str, scoring: str) -> tuple[str, str]:
    """All cases were answered alike: what that means, and the commands that help.

    Args:
        again: the command that answered them.
    """
    text = translated(
        f"{name} answered {label!r} to all cases: its pass rate only says how often that is right"
    )
    helps = [] if scoring == "batch" else [f"{again} --scoring batch"]
    return text, ", or  ".join([*helps, "localprompt improve PROMPT --cases FILE"])


def _same_every_time(result: EvalResult) -> Iterator[str]:
    greedy = [s for s in result.targets if s.target.sampling.temperature == 0]
    if greedy and len(greedy) == len(result.targets):
        yield translated(
            "at temperature 0 repetitions say the same; --temperature 0.7 shows how steady the "
            "answers are"
        )


def use_lines(use: ModelUse) -> Iterator[str]:
    """What one model took: pace and floor, then memory."""
    where = "" if use.hand is None else f" on {use.hand}"
    line = f"{use.model}{where}: {use.answered} answered"
    if use.answered and use.wall_seconds > 0:
        line += (
            f" in {format_seconds(use.wall_seconds)} "
            f"({format_rate(use.answered / use.wall_seconds, 'cases/s')}, {use.parallel} at once)"
        )
    if use.cached:
        line += f", {use.cached} taken over"
    yield f"{line}; load {format_seconds(use.load_seconds)}"
    if (floor := use.floor) is not None:
        share = use.wall_seconds / floor.seconds if floor.seconds else None
        decoded = ""
        if floor.generated_tokens:
            rate = format_rate(floor.decode_tokens_per_second)
            decoded = f", {floor.generated_tokens} generated at {rate}"
        times = "" if share is None else f"; answering took {share:.2f} times that"
        yield (
            f"  floor (estimated) {format_seconds(floor.seconds)}: "
            f"{floor.shared_tokens + floor.own_tokens} prompt tokens at "
            f"{format_rate(floor.prefill_tokens_per_second)}{decoded}{times}"
        )
    if (
        use.settings is not None
        and (why := use.settings.attention)
        and why.startswith(("on", "off"))
    ):
        yield f"  flash attention {why}"
    if use.machine is not None:
        yield f"  {use.machine.cpu or UNKNOWN}, machine {use.machine.id}"
    memory = use.memory
    yield (
        f"  memory of the process: peak RSS {format_bytes(memory.peak_rss_bytes)} "
        f"(weights {format_bytes(memory.weights_bytes)}, "
        f"KV cache {format_bytes(memory.kv_cache_bytes)}, "
        f"compute {format_bytes(memory.compute_bytes)})"
    )
