"""Stored runs: a list of many, everything about one; on a page with prompts and answers.

Single runs are read, not compared: they were made one at a time, perhaps on different machines, so
there are no intervals, no charts and no best one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console

from localprompt.records.run import RunRecord, TokenCounts
from localprompt.store.experiments import Listed
from localprompt.units import (
    UNKNOWN,
    format_bytes,
    format_count,
    format_rate,
    format_seconds,
)
from localprompt.views.bench import machine_facts, settings_text
from localprompt.views.figures import moment_text
from localprompt.views.sections import (
    Column,
    Fact,
    Facts,
    Notice,
    Notices,
    Row,
    Section,
    Table,
    Texts,
    Value,
)
from localprompt.views.terminal import print_blocks, print_text

SHORT_ID = 10
"""The part of an id that holds its time; enough to name a run."""

_ENDS = {"stop": "stop", "length": "cut", "interrupted": "^C", "error": "err"}
_LIST = (
    Column("id", whole=True),
    Column("when (UTC)", whole=True, spare=1),
    Column("model"),
    Column("prompt"),
    Column("TTFT", numeric=True),
    Column("decode", numeric=True, unit="tok/s"),
    Column("peak RSS", numeric=True, spare=2),
    Column("end"),
)
_TABLE = (
    Column("run"),
    Column("when"),
    Column("model"),
    Column("prompt"),
    Column("tokens", numeric=True),
    Column("TTFT", numeric=True),
    Column("prefill", numeric=True),
    Column("decode", numeric=True),
    Column("peak RSS", numeric=True),
    Column("load", numeric=True),
    Column("end"),
)


def print_run_list(things: Iterable[RunRecord | Listed], console: Console) -> int:
    """One row per run or experiment; returns how many there were."""
    rows = tuple(
        _list_row(one) if isinstance(one, RunRecord) else _summary_row(one) for one in things
    )
    print_blocks([Table("", _LIST, rows)] if rows else [], console)
    return len(rows)


def print_run(run: RunRecord, console: Console) -> None:
    """Everything that a run's record says, in the order in which it happened."""
    facts, warnings = whole_run_sections(run)
    print_text(f"{run.kind} {run.id}", console, "bold")
    print_blocks((*facts.blocks, *warnings.blocks), console)


def print_answers(a: RunRecord, b: RunRecord, console: Console) -> None:
    """Two answers, one below the other so that a line stays a line; one where they are equal."""
    if a.output.text == b.output.text:
        print_text("answer of both", console, "bold")
        print_blocks((Texts((("", a.output.text or UNKNOWN),)),), console)
        return
    answers = tuple(
        (f"answer of {name} ({run.output.finish_reason})", run.output.text or UNKNOWN)
        for name, run in (("A", a), ("B", b))
    )
    print_blocks((Texts(answers),), console)


def whole_run_sections(run: RunRecord) -> tuple[Section, Section]:
    """One run: its facts, its messages and its answer; then its warnings."""
    facts = Facts(tuple(Fact(name, value) for name, value in _facts(run)))
    texts = Texts(
        (
            *((message.role, message.text) for message in run.prompt.messages),
            (f"answer ({run.output.finish_reason})", run.output.text or UNKNOWN),
        )
    )
    return (
        Section("run", "What was run, and what it took", (facts, texts)),
        Section("run-notices", "Warnings", tuple(_notices([run], named=False))),
    )


def run_sections(runs: Sequence[RunRecord]) -> tuple[Section, ...]:
    """The runs' part of a page, in the order given."""
    caption = "One run each, not repeated. Details hold the prompt and the answer."
    table = Table(caption, _TABLE, tuple(map(_row, runs)))
    machines = {run.machine.id: run for run in runs}
    return (
        Section("runs", "Runs", (table,) if runs else ()),
        Section("run-notices", "Warnings", tuple(_notices(runs))),
        Section(
            "run-environment",
            "Environment",
            tuple(
                Facts(tuple(machine_facts(run.machine, run.localprompt_version)))
                for run in machines.values()
            ),
        ),
    )


def _notices(runs: Sequence[RunRecord], *, named: bool = True) -> Iterator[Notices]:
    items = tuple(
        Notice("warning", warning.message, run.id[:SHORT_ID] if named else "", warning.advice)
        for run in runs
        for warning in run.warnings
    )
    if items:
        yield Notices(items)


def _summary_row(made: Listed) -> Row:
    """An experiment has many figures, and none of them is its own."""
    unknown = Value(UNKNOWN, None)
    return Row(
        made.id,
        (
            Value(made.id[:SHORT_ID], made.id),
            Value(made.created_at[5:16].replace("T", " "), made.created_at),
            Value(f"({made.kind})", None),
            Value(made.title, made.title),
            unknown,
            unknown,
            unknown,
            Value("", None),
        ),
    )


def _list_row(run: RunRecord) -> Row:
    timing, peak = run.timing, run.memory.peak_rss_bytes
    decode = timing.decode_tokens_per_second
    prompt = run.prompt.name or f"({run.kind})"
    return Row(
        run.id,
        (
            Value(run.id[:SHORT_ID], run.id),
            Value(run.created_at[5:16].replace("T", " "), run.created_at),
            Value(run.model.name, run.model.name),
            Value(prompt, prompt),
            Value(format_seconds(timing.ttft_seconds), timing.ttft_seconds),
            Value(format_rate(decode), decode),
            Value(format_bytes(peak), peak),
            Value(_ENDS[run.output.finish_reason], run.output.finish_reason),
        ),
    )


def _row(run: RunRecord) -> Row:
    return Row(
        run.id,
        run_values(run),
        tuple(_details(run)),
        (
            *((f"Prompt, {message.role}", message.text) for message in run.prompt.messages),
            ("Answer", run.output.text),
        ),
    )


def run_values(run: RunRecord) -> tuple[Value, ...]:
    """A row of the table of runs."""
    timing, peak = run.timing, run.memory.peak_rss_bytes
    prefill, decode = timing.prefill_tokens_per_second, timing.decode_tokens_per_second
    count = run.tokens.prompt + run.tokens.completion
    return (
        Value(run.id[:SHORT_ID], run.id),
        Value(moment_text(run.created_at), run.created_at),
        Value(run.model.name, run.model.name),
        Value(run.prompt.name or UNKNOWN, run.prompt.name),
        Value(f"{run.tokens.prompt} + {run.tokens.completion}", count),
        Value(format_seconds(timing.ttft_seconds), timing.ttft_seconds),
        Value(format_rate(prefill), prefill),
        Value(format_rate(decode), decode),
        Value(format_bytes(peak), peak),
        Value(format_seconds(timing.load_seconds), timing.load_seconds),
        Value(run.output.finish_reason, run.output.finish_reason),
    )


def _details(run: RunRecord) -> Iterator[Fact]:
    memory = run.memory
    yield Fact("Id", run.id)
    yield Fact("Model", f"{run.model.name}, {run.model.quantization or UNKNOWN}")
    yield Fact("Settings", settings_text(run.settings))
    yield Fact("Total time", format_seconds(run.timing.total_seconds))
    yield Fact(
        "Memory",
        f"weights {format_bytes(memory.weights_bytes)}, "
        f"KV cache {format_bytes(memory.kv_cache_bytes)}, "
        f"compute {format_bytes(memory.compute_bytes)}",
    )


def _facts(run: RunRecord) -> Iterator[tuple[str, str]]:
    """(name, value) in the order in which things happened."""
    yield "when", f"{run.created_at} (localprompt {run.localprompt_version})"
    yield from _facts_of_request(run)
    yield from _facts_of_time(run)
    yield from _facts_of_memory(run)
    yield from _facts_of_machine(run)


def _facts_of_request(run: RunRecord) -> Iterator[tuple[str, str]]:
    model, settings, sampling = run.model, run.settings, run.sampling
    yield (
        "model",
        (
            f"{model.name} {model.architecture or UNKNOWN} {model.quantization or UNKNOWN}, "
            f"{format_count(model.parameters)} parameters, {format_bytes(model.size_bytes)}"
        ),
    )
    yield "sha256", model.sha256 or "not computed"
    if run.profile is not None:
        chosen = ", ".join(run.profile.settings) or "the model only"
        yield "profile", f"{run.profile.name}, for {run.profile.model}: {chosen}"
    yield "prompt", run.prompt.name or "typed in place"
    if run.conversation is not None and run.conversation.parent is not None:
        yield "turn", f"{len(run.conversation.turns) + 1}, after {run.conversation.parent}"
    yield (
        "settings",
        (
            f"n_ctx {settings.n_ctx}, n_batch {settings.n_batch}, n_ubatch {settings.n_ubatch}, "
            f"threads {settings.n_threads}/{settings.n_threads_batch}, "
            f"KV {settings.type_k}/{settings.type_v}, flash_attn {_flag(settings.flash_attn)}, "
            f"mmap {_flag(settings.use_mmap)}, repack {_flag(settings.repack)}"
        ),
    )
    for adapter in settings.adapters:
        yield "adapter", f"{adapter.name}, scale {adapter.scale:g}, sha256 {adapter.sha256}"
    if settings.buffers:
        held = (f"{name} {format_bytes(size)}" for name, size in settings.buffers.items())
        yield "weights in", ", ".join(held)
    if settings.attention is not None:
        yield "attention", settings.attention
    drawn = f"temperature {sampling.temperature:g}" if sampling.temperature else "greedy"
    if sampling.temperature:
        drawn += (
            f", top_k {sampling.top_k}, top_p {sampling.top_p:g}, "
            f"min_p {sampling.min_p:g}, seed {sampling.seed}"
        )
    yield "sampling", f"{drawn}, max_tokens {sampling.max_tokens}"


def _facts_of_time(run: RunRecord) -> Iterator[tuple[str, str]]:
    timing, tokens = run.timing, run.tokens
    yield (
        "tokens",
        f"{tokens.prompt} prompt ({tokens.reused} reused), {tokens.completion} completion"
        + _shortcuts(tokens),
    )
    yield (
        "time",
        (
            f"load {format_seconds(timing.load_seconds)}, "
            f"render {format_seconds(timing.render_seconds)}, "
            f"tokenize {format_seconds(timing.tokenize_seconds)}, "
            f"prefill {format_seconds(timing.prefill_seconds)}, "
            + (
                ""
                if timing.prefix_store_seconds is None
                else f"prefix store {format_seconds(timing.prefix_store_seconds)}, "
            )
            + f"TTFT {format_seconds(timing.ttft_seconds)}, "
            f"decode {format_seconds(timing.decode_seconds)}, "
            f"total {format_seconds(timing.total_seconds)}"
        ),
    )
    yield (
        "rates",
        (
            f"prefill {format_rate(timing.prefill_tokens_per_second)}, "
            f"decode {format_rate(timing.decode_tokens_per_second)}, "
            f"ITL p50 {format_seconds(timing.itl_p50_seconds)}, "
            f"p95 {format_seconds(timing.itl_p95_seconds)}"
        ),
    )


def _facts_of_memory(run: RunRecord) -> Iterator[tuple[str, str]]:
    memory = run.memory
    yield (
        "memory",
        (
            f"peak RSS {format_bytes(memory.peak_rss_bytes)} measured, "
            f"{format_bytes(memory.predicted_peak_bytes)} predicted; "
            f"before loading {format_bytes(memory.baseline_rss_bytes)}"
        ),
    )
    yield (
        "at the end",
        (
            f"anonymous {format_bytes(memory.anonymous_bytes)}, "
            f"file-backed {format_bytes(memory.file_backed_bytes)}"
        ),
    )
    yield (
        "llama.cpp",
        (
            f"weights {format_bytes(memory.weights_bytes)}, "
            f"KV cache {format_bytes(memory.kv_cache_bytes)}, "
            f"compute {format_bytes(memory.compute_bytes)}"
        ),
    )


def _facts_of_machine(run: RunRecord) -> Iterator[tuple[str, str]]:
    machine = run.machine
    yield (
        "machine",
        (
            f"{machine.id}: {machine.cpu or UNKNOWN}, {machine.physical_cores} physical and "
            f"{machine.logical_cores} logical cores, {format_bytes(machine.memory_bytes)}"
        ),
    )
    yield "system", f"{machine.os}, {machine.kernel}, {machine.python}, {machine.llama_cpp_build}"


def _flag(value: bool | None) -> str:
    return UNKNOWN if value is None else ("on" if value else "off")


def _shortcuts(tokens: TokenCounts) -> str:
    if not (tokens.forced or tokens.drafted):
        return ""
    return f" ({tokens.forced} forced, {tokens.accepted} of {tokens.drafted} guesses right)"
