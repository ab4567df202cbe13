"""The options that several commands share, declared once.

Each is an ``Annotated`` type to be used as a parameter's annotation; the default stands at the
parameter. :func:`requested_settings` and :func:`sampling_choices` turn them into the frozen
records that the rest of the package knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelOption = Annotated[
    str, typer.Option("--model", "-m", metavar="NAME|PATH", help="A model's name, or a GGUF file.")
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="NAME=VALUE|NAME=@FILE",
        help="A parameter of the prompt; @FILE reads its value from a file.",
    ),
]
MaxTokensOption = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="Most tokens to generate.")
]
TemperatureOption = Annotated[
    float | None, typer.Option("--temperature", min=0.0, help="0 is greedy.")
]
TopKOption = Annotated[int | None, typer.Option("--top-k", help="0 turns it off.")]
TopPOption = Annotated[
    float | None, typer.Option("--top-p", min=0.0, max=1.0, help="1 turns it off.")
]
MinPOption = Annotated[
    float | None, typer.Option("--min-p", min=0.0, max=1.0, help="0 turns it off.")
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Same seed, same text (temperature > 0).")
]
StopOption = Annotated[
    list[str] | None,
    typer.Option("--stop", metavar="TEXT", help="End the answer before this text; repeatable."),
]
NCtxOption = Annotated[
    int | None,
    typer.Option("--n-ctx", min=1, help="KV cache cells; by default what prompt and answer need."),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="Decode threads; default: physical cores.")
]
ThreadsBatchOption = Annotated[
    int | None, typer.Option("--threads-batch", min=1, help="Prefill threads.")
]
NBatchOption = Annotated[int | None, typer.Option("--n-batch", min=1, help="Logical batch.")]
NUbatchOption = Annotated[int | None, typer.Option("--n-ubatch", min=1, help="Physical batch.")]
TypeKOption = Annotated[str, typer.Option("--type-k", help="Type of the keys in the KV cache.")]
TypeVOption = Annotated[str, typer.Option("--type-v", help="Type of the values in the KV cache.")]
FlashAttnOption = Annotated[
    bool | None,
    typer.Option("--flash-attn/--no-flash-attn", help="By default where it is supported."),
]
MmapOption = Annotated[
    bool, typer.Option("--mmap/--no-mmap", help="Map the weights instead of reading them.")
]
RepackOption = Annotated[
    bool, typer.Option("--repack/--no-repack", help="Let weights be laid out for this CPU.")
]
ChatTemplateOption = Annotated[
    Path | None,
    typer.Option(
        "--chat-template",
        metavar="FILE",
        help="A Jinja2 chat template to use instead of the model's; empty: plain completion.",
    ),
]
LenientOption = Annotated[bool, typer.Option("--lenient", help="Undefined variables render empty.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Load even if it is predicted not to fit into memory.")
]
NoLogOption = Annotated[bool, typer.Option("--no-log", help="Do not record the run.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the run record as one JSON object.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only the answer: no measurement, no warnings.")
]
FormatOption = Annotated[
    str, typer.Option("--format", "-f", metavar="FORMAT", help="table, md, csv, json or jsonl.")
]
