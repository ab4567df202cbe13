"""``localprompt bench``: latency and memory, many times."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
import typer

from localprompt.cli.options import (
    REFERENCE_HELP,
    LoraOption,
    OutputOption,
    adapters,
    format_option,
    takes,
)
from localprompt.cli.output import check_output, console, format_of, output_file
from localprompt.cli.spreading import ClusterFlags, check_cluster_flags, hands_of
from localprompt.errors import EXIT_INTERRUPTED, EXIT_MACHINE, InputError

if TYPE_CHECKING:
    from localprompt.bench.spec import BenchSpec
    from localprompt.records.bench import BenchResult, Experiment

DETAILS = (
    "Settings take lists and ranges: 1,2 or 1-8 or 128-1024*2 or f16,q8_0 or on,off. Every "
    "combination is a cell; the plan is printed before it runs. A suite (a .yaml file) sets the "
    "same things as flags; flags given with it win. Every repetition is stored as it ends."
)
EXAMPLES = (
    "localprompt bench summarize -p text=@notes.txt -m smollm2-135m",
    "localprompt bench --prefill 128,512 --decode 64 -m smollm2-135m --threads 1-4",
    "localprompt bench benchmarks/laptop.yaml -o bench.csv",
)
FORMATS = ("table", "md", "csv", "json", "jsonl")

_AXIS_FLAGS = {
    "n_ctx": "--n-ctx",
    "n_batch": "--n-batch",
    "n_ubatch": "--n-ubatch",
    "n_threads": "--threads",
    "n_threads_batch": "--threads-batch",
    "type_k": "--type-k",
    "type_v": "--type-v",
    "flash_attn": "--flash-attn",
    "use_mmap": "--mmap",
    "repack": "--repack",
}

Values = str | None


def _axis(flag: str, help_text: str) -> Any:
    return typer.Option(flag, metavar="VALUES", help=help_text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchFlags(ClusterFlags):
    """What ``bench`` takes beside prompts and suites."""

    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="MODEL|PATH", help="A model; repeatable."),
    ] = None
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param", "-p", metavar="NAME=VALUE|NAME=@FILE", help="A parameter of the prompts."
        ),
    ] = None
    prefill: Annotated[
        Values, typer.Option(metavar="VALUES", help="Synthetic: tokens to prefill, as 128,512.")
    ] = None
    decode: Annotated[
        Values, typer.Option(metavar="VALUES", help="Synthetic: tokens to decode, as 64.")
    ] = None
    n_threads: Annotated[Values, _axis("--threads", "Threads for decoding.")] = None
    n_threads_batch: Annotated[Values, _axis("--threads-batch", "Threads for prefill.")] = None
    n_ctx: Annotated[Values, _axis("--n-ctx", "KV cache cells.")] = None
    n_batch: Annotated[Values, _axis("--n-batch", "Logical batch.")] = None
    n_ubatch: Annotated[Values, _axis("--n-ubatch", "Physical batch.")] = None
    type_k: Annotated[Values, _axis("--type-k", "Type of the keys in the KV cache.")] = None
    type_v: Annotated[Values, _axis("--type-v", "Type of the values.")] = None
    flash_attn: Annotated[Values, _axis("--flash-attn", "on, off or both.")] = None
    use_mmap: Annotated[Values, _axis("--mmap", "Map the weights: on, off or both.")] = None
    repack: Annotated[Values, _axis("--repack", "Lay weights out for this CPU.")] = None
    lora: LoraOption = None
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Most tokens to generate.")
    ] = None
    temperature: Annotated[float | None, typer.Option(min=0.0, help="0 is greedy.")] = None
    seed: Annotated[
        int | None, typer.Option(min=0, help="Same seed, same text (temperature > 0).")
    ] = None
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME|none", help="By default each model's own on this machine."),
    ] = None
    repetitions: Annotated[
        int | None,
        typer.Option(
            "--repetitions", "-r", min=1, help="Repetitions; by default until the median is known."
        ),
    ] = None
    prefix_store: Annotated[
        bool | None,
        typer.Option(
            "--prefix-store/--no-prefix-store",
            help="Reuse constant beginnings of prompts from disk; off by default.",
        ),
    ] = None
    resume: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Finish a bench that was cut off. " + REFERENCE_HELP),
    ] = None
    plan_only: Annotated[bool, typer.Option("--plan-only", help="Print the plan and exit.")] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start without asking.")] = False
    format: Annotated[
        str | None,
        format_option(
            "table, md, csv, json or jsonl; by default what -o FILE ends in, or a table."
        ),
    ] = None
    output: OutputOption = None
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No plan and no progress.")] = False


@takes(BenchFlags)
def command(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT|SUITE...", help="Prompts, or one suite (a .yaml file)."),
    ] = None,
    *,
    flags: BenchFlags,
) -> None:
    """Measure latency and memory of prompts, models and settings."""
    from localprompt.bench.comparing import load_bench
    from localprompt.store.history import History
    from localprompt.views.messages import print_note

    wanted = format_of(flags.format, flags.output, FORMATS)
    check_output(flags.output)
    if not flags.plan_only:
        check_cluster_flags(flags)
    experiment = (
        _resumed(flags.resume, flags.cluster) if flags.resume else _planned(what or [], flags)
    )
    if not flags.quiet or flags.plan_only:
        from localprompt.views.bench import print_plan

        _print_profiles(experiment)
        print_plan(experiment, console(stderr=not flags.plan_only))
    if flags.plan_only:
        return
    if not experiment.cells:
        raise InputError("no cell of this plan can run", next_step="see the reasons above")
    if not flags.resume and not flags.yes and not flags.quiet:
        _ask_whether_to_begin(experiment)
    if flags.cluster is None:
        interrupted = _execute(experiment, flags)
    else:
        experiment, interrupted = _execute_elsewhere(experiment, flags)
    with History(read_only=True) as history:
        result = load_bench(experiment.id, history)
    write_bench(result, wanted, flags.output)
    if interrupted:
        resume = f"localprompt bench --resume {experiment.id} {flags.typed}".rstrip()
        print_note(f"interrupted; go on with:  {resume}")
        raise typer.Exit(EXIT_INTERRUPTED)
    if result.cells and all(cell.failure for cell in result.cells):
        raise typer.Exit(EXIT_MACHINE)


def write_bench(result: BenchResult, wanted: str, output: Path | None) -> None:
    """The figures, in one of FORMATS, to stdout or a file."""
    from localprompt.views.bench import print_bench
    from localprompt.views.files.bench import write_bench as export
    from localprompt.views.files.rows import ExportFormat
    from localprompt.views.terminal import Terminal

    with output_file(output) as stream:
        if wanted == "table":
            print_bench(result, console() if output is None else Terminal(file=stream, width=120))
        else:
            export(result, cast("ExportFormat", wanted), stream)


def spec_from_flags(what: list[str], flags: BenchFlags) -> BenchSpec:
    """What the arguments ask for; a suite among them comes first, and flags replace parts of it.

    Raises:
        InputError: a value is not what its flag takes, or a suite stands beside prompts.
    """
    from localprompt.bench.spec import BenchSpec, PromptAsk, axis_values
    from localprompt.bench.suite import SUFFIXES, read_bench_suite
    from localprompt.bench.value_lists import whole_numbers

    suites = [name for name in what if name.lower().endswith(SUFFIXES)]
    if suites and len(what) > 1:
        raise InputError(
            "a suite cannot be mixed with prompts or other suites",
            expected="one suite, or prompts",
            found=", ".join(what),
        )
    spec = read_bench_suite(Path(suites[0])) if suites else BenchSpec(models=())
    given: dict[str, Any] = {}
    if not suites:
        params = tuple(flags.param or ())
        given["prompts"] = tuple(PromptAsk(name, params) for name in dict.fromkeys(what))
    elif flags.param:
        raise InputError("a suite sets its own parameters", where="--param")
    if flags.model:
        given["models"] = tuple(dict.fromkeys(flags.model))
    for field in ("prefill", "decode"):
        if (text := getattr(flags, field)) is not None:
            given[field] = whole_numbers(text, f"--{field}")
    axes = {
        field: axis_values(field, text, flag)
        for field, flag in _AXIS_FLAGS.items()
        if (text := getattr(flags, field)) is not None
    }
    if axes:
        given["axes"] = {**spec.axes, **axes}
    if flags.lora:
        given["adapters"] = adapters(flags.lora)
    if flags.prefix_store is not None:
        given["prefix_store"] = flags.prefix_store
    if flags.repetitions is not None:
        given["repetitions"] = msgspec.structs.replace(spec.repetitions, fixed=flags.repetitions)
    sampling = {
        name: value
        for name in ("max_tokens", "temperature", "seed")
        if (value := getattr(flags, name)) is not None
    }
    if sampling:
        given["sampling"] = msgspec.structs.replace(spec.sampling, **sampling)
    return msgspec.structs.replace(spec, **given, profile=flags.profile or "default")


def _planned(what: list[str], flags: BenchFlags) -> Experiment:
    from localprompt.bench.planning import count_with_llama, plan_bench
    from localprompt.engine.llama.library import build, cpu_features
    from localprompt.store.history import History

    spec = spec_from_flags(what, flags)
    with History(read_only=True) as history:
        return plan_bench(
            spec,
            title=_title(what),
            build=build(),
            cpu_features=cpu_features(),
            count_tokens=count_with_llama,
            earlier_runs=history.earlier_runs,
        )


def _title(what: list[str]) -> str:
    """The command as it was typed, or the suite's name."""
    if len(what) == 1 and what[0].lower().endswith((".yaml", ".yml")):
        return Path(what[0]).stem
    return "bench " + shlex.join(argument for argument in sys.argv[2:])


def _resumed(reference: str, cluster: str | None) -> Experiment:
    from localprompt.bench.planning import check_resumable
    from localprompt.store.history import History

    with History(read_only=True) as history:
        experiment = history.bench(reference)
    check_resumable(experiment)
    if bool(experiment.machines) != (cluster is not None):
        raise InputError(
            "this bench was started on a cluster"
            if experiment.machines
            else "this bench was not started on a cluster",
            where=f"--resume {reference}",
            next_step="--cluster ADDRESS" if experiment.machines else "without --cluster",
        )
    return experiment


def _print_profiles(experiment: Experiment) -> None:
    """Which profiles chose models and settings, on stderr."""
    from localprompt.records.cell import BenchRequest
    from localprompt.views.messages import print_note, profile_note

    cells = [msgspec.convert(cell.request, BenchRequest).cell for cell in experiment.cells]
    notes = [profile_note(cell.profile, cell.model.name) for cell in cells if cell.profile]
    for note in dict.fromkeys(notes):
        print_note(note)


def _ask_whether_to_begin(experiment: Experiment) -> None:
    """Only where somebody sits at the terminal, and only for what takes more than a minute."""
    from localprompt.views.bench import estimate_line

    seconds = sum(cell.estimated_seconds or 0 for cell in experiment.cells)
    times = experiment.repetitions.fixed or experiment.repetitions.least
    if sys.stdin.isatty() and sys.stderr.isatty() and seconds * times > 60:
        typer.confirm(f"{estimate_line(experiment)}. Begin?", default=True, abort=True, err=True)


def _execute(experiment: Experiment, flags: BenchFlags) -> bool:
    """Run what is missing; True where the user interrupted it.

    Raises:
        HistoryError: the history cannot be written; nothing measured before is lost.
    """
    from localprompt.bench.neighbours import running_now
    from localprompt.bench.runner import run_bench
    from localprompt.store.history import History
    from localprompt.views.messages import print_warnings
    from localprompt.views.progress import bench_progress

    print_warnings(running_now())
    with History(read_only=True) as reader:
        runs = [run for run, _ in reader.runs_of(experiment.id)]
    with History() as history:
        if not flags.resume:
            history.begin(experiment)
        try:
            with bench_progress(quiet=flags.quiet) as on_step:
                run_bench(experiment, history, runs=runs, on_step=on_step)
        except KeyboardInterrupt:
            return True
    return False


def _execute_elsewhere(experiment: Experiment, flags: BenchFlags) -> tuple[Experiment, bool]:
    """The plan with the cluster's machines, and whether the user interrupted it.

    Raises:
        HistoryError: the history cannot be written; nothing measured before is lost.
        MachineError: no machine can do it, or the cluster is gone.
    """
    from localprompt.bench.elsewhere import on_each, open_for_bench, run_elsewhere
    from localprompt.store.history import History
    from localprompt.views.progress import bench_progress

    with hands_of(flags, quiet=flags.quiet) as hands, History() as history:
        ready = open_for_bench(experiment, hands)
        if flags.resume:
            runs = [run for run, _ in history.runs_of(experiment.id)]
        else:
            experiment, runs = on_each(experiment, ready), []
            history.begin(experiment)
        try:
            with bench_progress(quiet=flags.quiet) as on_step:
                run_elsewhere(
                    experiment,
                    history,
                    hands,
                    runs=runs,
                    own_threads=flags.n_threads is None,
                    on_step=on_step,
                )
        except KeyboardInterrupt:
            return experiment, True
    return experiment, False
