"""The options that several commands share, declared once.

:class:`RunFlags` is a dataclass whose fields are options; :func:`takes` spreads such a dataclass
over a command's parameters, so that ``ask`` and ``run`` offer the same options from one list and
receive them as one object.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from localprompt.records.cell import SamplingChoices
    from localprompt.records.model import AdapterUse
    from localprompt.records.run import RequestedSettings

MOST_THREADS = 512
"""llama.cpp's own limit."""
MOST_TOKENS = 2**31 - 1
"""What llama.cpp counts tokens with has 32 bits."""

REFERENCE_HELP = (
    "An id, the beginning of one, last, or last~1 for the one before; last counts what this "
    "command takes, 'last eval' one kind of it."
)
"""How stored things are called, in every command; see :mod:`localprompt.store.finding`."""

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the run record as one JSON object.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only the answer: no measurement, no warnings.")
]
NoLogOption = Annotated[bool, typer.Option("--no-log", help="Do not record the run.")]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="NAME=VALUE|NAME=@FILE",
        help="A parameter of the prompt; @FILE reads its value from a file.",
    ),
]
LenientOption = Annotated[bool, typer.Option("--lenient", help="Undefined variables render empty.")]
ChatTemplateOption = Annotated[
    Path | None,
    typer.Option(
        "--chat-template",
        metavar="FILE",
        help="A Jinja2 chat template instead of the model's own; empty: plain completion.",
    ),
]
LoraOption = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="FILE[:SCALE]",
        help="A LoRA adapter on top of the weights, by name or file; repeatable.",
    ),
]
TunedLoraOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tuned-lora",
        metavar="FILE[:SCALE]",
        help="A LoRA adapter made elsewhere, in the place of a tuning here; repeatable.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="MODEL|PATH", help="A model's name, or a GGUF file."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write to this file instead of stdout."),
]
NoProgressOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")]


def format_option(which: str) -> Any:
    """``--format``, which every command has with formats of its own; None chooses by ``-o``."""
    return typer.Option("--format", "-f", metavar="FORMAT", help=which)


EvaluationFormat = Annotated[str | None, format_option("table, md, csv, json, jsonl or junit.")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplingFlags:
    """How the next token is chosen; None leaves it to the prompt file."""

    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            min=1,
            max=MOST_TOKENS,
            help="Most tokens to generate.",
        ),
    ] = None
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0.0, help="0 is greedy.")
    ] = None
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k",
            min=0,
            max=MOST_TOKENS,
            help="0 turns it off.",
        ),
    ] = None
    top_p: Annotated[
        float | None, typer.Option("--top-p", min=0.0, max=1.0, help="1 turns it off.")
    ] = None
    min_p: Annotated[
        float | None, typer.Option("--min-p", min=0.0, max=1.0, help="0 turns it off.")
    ] = None
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Same seed, same text (temperature > 0).")
    ] = None
    stop: Annotated[
        list[str] | None,
        typer.Option(
            "--stop", metavar="TEXT", help="Stop the answer before this text; repeatable."
        ),
    ] = None

    def sampling(self) -> SamplingChoices:
        """What was typed, as the rest of the package knows it."""
        from localprompt.records.cell import SamplingChoices

        return SamplingChoices(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            seed=self.seed,
            max_tokens=self.max_tokens,
            stop=tuple(self.stop or ()),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineFlags:
    """How llama.cpp is set up."""

    n_ctx: Annotated[
        int | None,
        typer.Option(
            "--n-ctx",
            min=1,
            max=MOST_TOKENS,
            help="KV cache cells; by default as many as needed.",
        ),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            min=1,
            max=MOST_THREADS,
            help="Decode threads; by default the physical cores.",
        ),
    ] = None
    threads_batch: Annotated[
        int | None,
        typer.Option(
            "--threads-batch",
            min=1,
            max=MOST_THREADS,
            help="Prefill threads; by default the same.",
        ),
    ] = None
    n_batch: Annotated[
        int | None,
        typer.Option(
            "--n-batch",
            min=1,
            max=MOST_TOKENS,
            help="Logical batch: tokens per call.",
        ),
    ] = None
    n_ubatch: Annotated[
        int | None,
        typer.Option(
            "--n-ubatch",
            min=1,
            max=MOST_TOKENS,
            help="Physical batch: tokens per graph.",
        ),
    ] = None
    type_k: Annotated[
        str | None, typer.Option("--type-k", help="KV cache type of keys: f16, q8_0, q4_0, …")
    ] = None
    type_v: Annotated[
        str | None, typer.Option("--type-v", help="KV cache type of values; by default f16.")
    ] = None
    flash_attn: Annotated[
        bool | None,
        typer.Option("--flash-attn/--no-flash-attn", help="By default where it is supported."),
    ] = None
    mmap: Annotated[
        bool | None,
        typer.Option(
            "--mmap/--no-mmap", help="Map the weights, or read them; by default what takes less."
        ),
    ] = None
    repack: Annotated[
        bool | None,
        typer.Option("--repack/--no-repack", help="Lay weights out for this CPU (the default)."),
    ] = None
    lora: LoraOption = None
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile", metavar="NAME|none", help="By default the model's own on this machine."
        ),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Load even if it may not fit, or llama.cpp fails here.")
    ] = False

    def given(self) -> dict[str, Any]:
        """The settings that were typed, by their fields.

        Raises:
            LocalPromptError: an adapter is not one, or not here.
        """
        values = {
            "n_ctx": self.n_ctx,
            "n_batch": self.n_batch,
            "n_ubatch": self.n_ubatch,
            "n_threads": self.threads,
            "n_threads_batch": self.threads_batch,
            "type_k": self.type_k,
            "type_v": self.type_v,
            "flash_attn": self.flash_attn,
            "use_mmap": self.mmap,
            "repack": self.repack,
            "adapters": adapters(self.lora),
        }
        return {field: value for field, value in values.items() if value is not None}

    def settings(self) -> RequestedSettings:
        from localprompt.records.run import RequestedSettings

        return RequestedSettings(**self.given())


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags(EngineFlags, SamplingFlags):
    """Everything that ``ask`` and ``run`` have in common."""

    model: ModelOption = None
    chat_template: ChatTemplateOption = None
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema",
            metavar="FILE|FIELDS",
            help="Hold the answer to a JSON Schema, or to fields as 'name, age int, tags [str]'.",
        ),
    ] = None
    grammar: Annotated[
        Path | None,
        typer.Option(
            "--grammar", metavar="FILE", help="Hold the answer to a grammar: Lark or GBNF."
        ),
    ] = None
    strict_schema: Annotated[
        bool,
        typer.Option(
            "--strict-schema",
            help="Refuse a schema of which a part could only be checked at the end.",
        ),
    ] = False
    complete_json: Annotated[
        bool,
        typer.Option(
            "--complete-json", help="Close an answer that was cut, in the shortest valid way."
        ),
    ] = False
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json-lines",
            help="One or more documents of the schema, each on a line as it is complete.",
        ),
    ] = False
    prefix_store: Annotated[
        bool,
        typer.Option(
            "--prefix-store/--no-prefix-store",
            help="Keep states of prompts and answers, and go on from those that are kept.",
        ),
    ] = True
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="SIZE",
            help="Choose n_ctx, KV types and batch so that the predicted peak fits, as 2GiB.",
        ),
    ] = None
    json: JsonOption = False
    no_log: NoLogOption = False
    quiet: QuietOption = False


def adapters(lora: list[str] | None, option: str = "--lora") -> tuple[AdapterUse, ...] | None:
    """The adapters that were typed behind an option; None: none were."""
    if not lora:
        return None
    from localprompt.models.adapters import adapters_of

    return adapters_of(lora, option)


def takes(flags: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Offer a dataclass's fields as options of a command, which gets them as ``flags``."""
    hints = get_type_hints(flags, include_extras=True)
    offered = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(flags)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own_hints = get_type_hints(command, include_extras=True)
        own = [
            parameter.replace(annotation=own_hints[name])
            for name, parameter in inspect.signature(command).parameters.items()
            if name != "flags"
        ]

        @functools.wraps(command)
        def spread(**values: Any) -> None:
            given = {p.name: values.pop(p.name) for p in offered}
            command(**values, flags=_with_defaults(flags(**given)))

        del spread.__wrapped__
        parameters = [*own, *offered]
        spread.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        spread.__annotations__ = {p.name: p.annotation for p in parameters}
        return spread

    return decorate


def _with_defaults(flags: Any) -> Any:
    """The flags with what the user has set once in the place of what was not typed."""
    if not isinstance(flags, EngineFlags):
        return flags
    from localprompt.sources.config import is_set, read_config

    if not is_set():
        return flags
    config = read_config()
    set_once: dict[str, Any] = {}
    if flags.threads is None and config.threads is not None:
        set_once["threads"] = config.threads
    if getattr(flags, "max_memory", "") is None and config.max_memory is not None:
        set_once["max_memory"] = config.max_memory
    if getattr(flags, "no_log", True) is False and not config.log:
        set_once["no_log"] = True
    return dataclasses.replace(flags, **set_once)
