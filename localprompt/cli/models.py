"""``localprompt models``: what there is, what is here, and how it gets here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from localprompt.cli.bundle import BundleFlags
from localprompt.cli.help import Commands
from localprompt.cli.options import takes
from localprompt.cli.output import console

app = Commands()
EXAMPLES = (
    "localprompt models list",
    "localprompt models pull smollm2-135m",
    "localprompt models show qwen2.5-coder-0.5b",
)

SystemOption = Annotated[
    bool,
    typer.Option("--system", help="Use the store for all users; needs write access."),
]
NameArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name.")]


@app.command(
    "list",
    examples=(
        "localprompt models list",
        "localprompt models list | grep qwen",
        "localprompt models list && localprompt models show smollm2-135m",
    ),
)
def list_all() -> None:
    """List the models that are known, and whether their weights are here."""
    from localprompt.models.store import list_models
    from localprompt.views.messages import print_error
    from localprompt.views.models import print_model_list

    entries, problems = list_models()
    print_model_list(entries, console())
    for problem in problems:
        print_error(problem)


@app.command(
    "show",
    examples=(
        "localprompt models show smollm2-135m",
        "localprompt models show smollm2-135m --n-ctx 2048 --n-ctx 8192",
        "localprompt models show ./model.gguf --type-k q8_0 --type-v q8_0",
    ),
)
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL|PATH", help="A name or a GGUF file.")],
    n_ctx: Annotated[
        list[int] | None,
        typer.Option("--n-ctx", min=1, help="Predict the memory at this n_ctx; repeatable."),
    ] = None,
    type_k: Annotated[str, typer.Option("--type-k", help="KV cache type of the keys.")] = "f16",
    type_v: Annotated[str, typer.Option("--type-v", help="KV cache type of the values.")] = "f16",
    mmap: Annotated[
        bool | None, typer.Option("--mmap/--no-mmap", help="By default what takes less.")
    ] = None,
    repack: Annotated[
        bool, typer.Option("--repack/--no-repack", help="Lay weights out for this CPU.")
    ] = True,
) -> None:
    """Show a model's shape, licence and predicted memory, without loading its weights."""
    from localprompt.gguf.adapter import is_adapter_file, read_adapter
    from localprompt.models.inspect import inspect_model
    from localprompt.models.predict import predict_memory
    from localprompt.models.resolve import resolve
    from localprompt.models.soundness import check_vocabulary
    from localprompt.views.models import print_adapter, print_model

    found = resolve(model)
    if is_adapter_file(found.path):
        print_adapter(read_adapter(found.path), found.card, found.sha256, console())
        return
    info = inspect_model(found.path)
    if found.sha256 is None:
        check_vocabulary(found.path)
    sizes = n_ctx or sorted({min(size, info.n_ctx_train) for size in (512, 2048, 8192)})
    predictions = {
        size: predict_memory(
            info, n_ctx=size, type_k=type_k, type_v=type_v, use_mmap=mmap, repack=repack
        )
        for size in sizes
    }
    print_model(info, found.card, found.sha256, predictions, console())


@app.command(
    "pull",
    examples=(
        "localprompt models pull smollm2-135m",
        "localprompt models pull qwen2.5-coder-0.5b",
        "localprompt models pull gemma3-270m --accept-license",
    ),
)
def pull(
    name: NameArgument,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the model's licence.")
    ] = False,
    system: SystemOption = False,
) -> None:
    """Fetch a model's weights, check them, and put them into the store in one step."""
    from localprompt.files import for_all_users

    with for_all_users(system):
        _pull(name, accept_license=accept_license)


def _pull(name: str, *, accept_license: bool) -> None:
    from localprompt.models.pull import present
    from localprompt.models.pull import pull as pull_weights
    from localprompt.models.resolve import find_card
    from localprompt.models.store import place_of
    from localprompt.units import format_bytes
    from localprompt.views.messages import print_note
    from localprompt.views.progress import bytes_progress

    card = find_card(name)
    if present(card):
        shared = ", in the shared store" if place_of(card.weights) == "shared" else ""
        print_note(f"{card.name} is here{shared}: {card.weights}")
        return
    if card.licence.notice:
        print_note(f"{card.licence.name}\n{card.licence.notice}\n")
    print_note(f"fetching {card.name}, {format_bytes(card.size_bytes)}, {card.licence.name}")
    with bytes_progress() as progress:
        path = pull_weights(
            card,
            accept_license=accept_license,
            progress=progress,
            source_failed=lambda why: print_note(f"{why.where}: {why.found}; trying the next"),
        )
    print_note(f"{card.name} is here: {path}")


@app.command(
    "add",
    examples=(
        "localprompt models add ./model.gguf",
        "localprompt models add ./model.gguf --name mine",
        "localprompt models add /srv/models/model-00001-of-00002.gguf --name large",
    ),
)
def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A GGUF file; it stays there.")],
    name: Annotated[str | None, typer.Option("--name", help="The name to use for it.")] = None,
    system: SystemOption = False,
) -> None:
    """Register a GGUF file where it lies."""
    from localprompt.files import for_all_users
    from localprompt.models.store import add_model
    from localprompt.views.messages import print_note
    from localprompt.views.progress import bytes_progress

    with for_all_users(system), bytes_progress() as progress:
        card = add_model(path, name=name, progress=progress)
    use = f"--lora {card.name}" if card.kind == "adapter" else f"-m {card.name}"
    print_note(f"{path} is called {card.name}; try:  localprompt ask {use} 'Hello.'")


@app.command(
    "verify",
    examples=(
        "localprompt models verify smollm2-135m",
        "localprompt models verify qwen2.5-coder-0.5b",
        "localprompt models verify smollm2-135m && localprompt ask 'Hello.'",
    ),
)
def verify(name: NameArgument) -> None:
    """Hash a model's weights anew and compare them with its card."""
    from localprompt.models.store import place_of, verify_model
    from localprompt.views.messages import print_note
    from localprompt.views.progress import bytes_progress

    with bytes_progress() as progress:
        card = verify_model(name, progress=progress)
    print_note(f"{card.name} is intact: sha256 {card.sha256}")
    if place_of(card.weights) == "shared":
        print_note(f"  in the shared store: {card.weights}")


@app.command(
    "quantize",
    examples=(
        "localprompt models quantize smollm2-135m --to q8_0",
        "localprompt models quantize ./model.gguf --to q4_k_m",
        "localprompt models quantize smollm2-135m --to q4_0 --threads 2",
    ),
)
def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL|PATH", help="A name or a GGUF file.")],
    to: Annotated[
        str, typer.Option("--to", metavar="TYPE", help="llama.cpp's name: q4_0, q4_k_m, q8_0, …")
    ],
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="By default the physical cores.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make it again.")] = False,
    system: SystemOption = False,
) -> None:
    """Make NAME-TYPE: the same model with its weights in another type."""
    from localprompt.files import for_all_users

    with for_all_users(system):
        _quantize(model, to, threads=threads, force=force)


def _quantize(model: str, to: str, *, threads: int | None, force: bool) -> None:
    import shlex

    from localprompt.models.quantize.job import prepare
    from localprompt.models.quantize.make import make
    from localprompt.units import format_bytes, format_seconds
    from localprompt.views.messages import print_note, print_warnings
    from localprompt.views.progress import bytes_progress

    with bytes_progress() as progress:
        job = prepare(model, to, force=force, progress=progress)
    print_warnings(job.warnings)
    with bytes_progress() as progress:
        made = make(job, n_threads=threads, progress=progress)
    print_warnings(made.warnings)
    before = f"{format_bytes(made.size_bytes_before)} ({job.source_type})"
    after = f"{format_bytes(made.size_bytes_after)} ({job.file_type})"
    print_note(f"{job.name} is here: {before} → {after}, in {format_seconds(made.seconds)}; try:")
    print_note(f"  localprompt ask -m {job.name} 'Hello.'")
    print_note(
        f"  localprompt bench --prefill 256 --decode 64 -m {shlex.quote(model)} -m {job.name}"
    )


@app.command(
    "quality",
    examples=(
        "localprompt models quality smollm2-135m-q4_0",
        "localprompt models quality mine --against smollm2-135m --text mine.txt",
        "localprompt models quality mine --suite benchmarks/sentiment.yaml",
    ),
)
def quality(
    model: Annotated[str, typer.Argument(metavar="MODEL|PATH", help="A name or a GGUF file.")],
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="MODEL|PATH", help="By default the model it was made from."
        ),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            "--text", metavar="FILE", help="Your own text instead of the built-in English."
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option("--suite", metavar="SUITE", help="Compare pass rates too, case by case."),
    ] = None,
    n_ctx: Annotated[int, typer.Option("--n-ctx", min=8, help="Tokens of a chunk.")] = 512,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="By default the physical cores.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Load even if it is predicted not to fit.")
    ] = False,
    no_log: Annotated[
        bool, typer.Option("--no-log", help="Do not record it in the history.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Measure perplexity on a text, and what a quantization lost against its parent."""
    from localprompt.cli.models_quality import measure, show, with_suite
    from localprompt.records.run import RequestedSettings

    settings = RequestedSettings(n_threads=threads)
    found = measure(
        model, against, text, n_ctx=n_ctx, settings=settings, force=force, log=not no_log
    )
    show(found, json=json)
    if suite is not None:
        with_suite(found, suite, settings, log=not no_log)


@app.command(
    "bundle",
    examples=(
        "localprompt models bundle smollm2-135m -o kit.tar",
        "localprompt models bundle smollm2-135m --with-wheels --cpu x86-64-v3",
        "localprompt models bundle smollm2-135m --prompts prompts --suites suites",
    ),
)
@takes(BundleFlags)
def bundle(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL|PATH]...", help="Models to include.")
    ] = None,
    *,
    flags: BundleFlags,
) -> None:
    """Write models, prompts and the program into one archive, for a machine without a network."""
    from localprompt.cli.bundle import create

    create(models or [], flags)


@app.command(
    "remove",
    examples=(
        "localprompt models remove smollm2-135m-q8_0",
        "localprompt models remove mine",
        "localprompt models list && localprompt models remove mine",
    ),
)
def remove(name: NameArgument, system: SystemOption = False) -> None:
    """Delete a model's weights from the store, or forget a file that was added.

    A file that another model uses, or that was added by you, stays where it is.
    """
    from localprompt.files import for_all_users
    from localprompt.models.store import remove_model
    from localprompt.units import format_bytes
    from localprompt.views.messages import print_note

    with for_all_users(system):
        removed = remove_model(name)
    card = removed.card
    freed = f"; freed {format_bytes(removed.freed_bytes)}" if removed.freed_bytes else ""
    which = "another file" if removed.weights_deleted else "its file"
    kept = f"; {which} stays, {removed.kept}: {card.weights}" if removed.kept else ""
    print_note(f"removed {card.name}{freed}{kept}")
