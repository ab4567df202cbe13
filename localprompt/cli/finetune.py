"""``localprompt finetune``: what training the same model takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, cast

import typer

from localprompt.cli.finetune_measure import measure
from localprompt.cli.help import Commands
from localprompt.cli.options import takes
from localprompt.cli.output import checked, console
from localprompt.views.stream import data_out

app = Commands()
EXAMPLES = (
    "localprompt finetune estimate smollm2-135m",
    "localprompt finetune estimate --shape qwen2.5-7b --gpu all",
    "localprompt finetune measure smollm2-135m --train a.csv --prompt tickets",
)

app.command(
    "measure",
    examples=(
        "localprompt finetune measure smollm2-135m --train a.csv --prompt tickets",
        "localprompt finetune measure mine --train a.csv --prompt tickets --resume",
        "localprompt finetune measure mine --train a.csv --prompt tickets -o t.md",
    ),
)(measure)

FORMATS = ("table", "md", "csv", "json", "jsonl")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EstimateFlags:
    """What ``finetune estimate`` takes beside the model."""

    shape: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A known shape instead of a local model; list shows all."
        ),
    ] = None
    method: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="full (as the stack does it), full-fp32, full-mixed, full-16bit, full-8bit, "
            "lora, qlora, cpu-llama.cpp.  [default: full,lora,qlora; with a model here also "
            "cpu-llama.cpp]",
        ),
    ] = None
    stack: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The software: trainer, liger, unsloth, torchtune, qwenlm or litgpt.",
        ),
    ] = "trainer"
    seq: Annotated[
        int,
        typer.Option(min=1, max=10**7, metavar="TOKENS", help="Tokens of one training example."),
    ] = 512
    batch: Annotated[
        int, typer.Option(min=1, max=10**4, metavar="N", help="Examples in one pass on one GPU.")
    ] = 1
    accumulation: Annotated[
        int, typer.Option(min=1, max=10**6, metavar="N", help="Passes before the weights change.")
    ] = 8
    gpus: Annotated[int, typer.Option(min=1, max=10**6, metavar="N", help="Number of GPUs.")] = 1
    sharded: Annotated[
        bool | None,
        typer.Option(
            "--sharded/--replicated",
            help="Spread the weights over the GPUs, or copy them.  [default: sharded for full]",
        ),
    ] = None
    recompute: Annotated[
        bool | None,
        typer.Option(
            "--recompute/--no-recompute",
            help="Compute activations again instead of keeping them.  [default: as the stack does]",
        ),
    ] = None
    rank: Annotated[
        int | None, typer.Option(min=1, max=10**5, metavar="N", help="Rank of the adapters.")
    ] = None
    targets: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="What adapters change: q,k,v,o,mlp,head,embeddings."),
    ] = None
    quantization: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Type of qlora's base: nf4, nf4-dq, gptq-int4."),
    ] = None
    gpu: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|all", help="Time and money on these GPUs, as a100,rtx-4090; or on all."
        ),
    ] = None
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="COUNT",
            help="Tokens to train on, epochs included, as 250k or 1.5M.  [default with --gpu: 1M]",
        ),
    ] = None
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your own table of prices (csv).")
    ] = None
    format: Annotated[
        str, typer.Option("--format", "-f", metavar="FORMAT", help="table, md, csv, json or jsonl.")
    ] = "table"
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False


@app.command(
    "estimate",
    examples=(
        "localprompt finetune estimate smollm2-135m",
        "localprompt finetune estimate --shape qwen2.5-7b --method lora,qlora --gpu all",
        "localprompt finetune estimate ./model.gguf --tokens 250k --gpu a100 -f md",
    ),
)
@takes(EstimateFlags)
def estimate(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL|PATH", help="A local model, or a GGUF file.")
    ] = None,
    *,
    flags: EstimateFlags,
) -> None:
    """Estimate the memory, time and money of training a model. Nothing is trained.

    Every figure is a range with its assumptions beside it. Prompting the same model, quantized, is
    predicted for contrast.
    """
    from localprompt.finetune.estimate.request import EstimateRequest, side_by_side

    chosen = "json" if flags.json else checked("--format", flags.format, FORMATS)
    if model is None and flags.shape == "list":
        from localprompt.finetune.estimate.shapes import named_shapes
        from localprompt.views.estimate import print_shapes

        print_shapes(named_shapes().values(), console())
        return
    names = EstimateRequest.__struct_fields__
    request = EstimateRequest(**{name: getattr(flags, name) for name in names})
    report = side_by_side(model, request)
    if chosen == "table":
        from localprompt.views.estimate import print_estimate

        print_estimate(report, console())
        _say_what_else(flags)
    else:
        from localprompt.views.files.estimate import write_estimate
        from localprompt.views.files.rows import ExportFormat

        write_estimate(report, cast("ExportFormat", chosen), data_out())


def _say_what_else(flags: EstimateFlags) -> None:
    from localprompt.views.messages import print_note

    if flags.tokens is not None:
        return
    if flags.gpu is None and flags.prices is None:
        print_note("\ntime and money: add  --tokens 1M  (what you would train on) or  --gpu a100")
    else:
        print_note("\ntime and money are for 1M tokens; say how many with  --tokens")
