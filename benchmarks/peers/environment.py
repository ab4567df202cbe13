"""Where and when something was measured, and the result that this becomes a part of."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

import localprompt
from benchmarks.peers.markdown import to_markdown
from benchmarks.peers.results import Environment, PeerResult, Section, write_json
from localprompt.engine.llama.library import build, cpu_features
from localprompt.measure import machine
from localprompt.running.assemble import model_record

Load = tuple[float, float, float]


class Began(NamedTuple):
    """The moment before the first measurement."""

    moment: datetime
    load_average: Load | None

    @classmethod
    def now(cls) -> Began:
        return cls(datetime.now(UTC), load_average())

    @property
    def day(self) -> str:
        return f"{self.moment:%Y-%m-%d}"

    @property
    def measured_at(self) -> str:
        return self.moment.isoformat(timespec="seconds")


def environment(
    model: str,
    before: Load | None,
    tools: str = "none, localprompt is on both sides",
    libraries: str = "the installed package's own libraries",
) -> Environment:
    """This machine, this checkout, and a model by its name or file."""
    record = model_record(model)
    return Environment(
        machine=machine.describe(llama_cpp_build=build(), cpu_features=cpu_features()),
        localprompt_version=localprompt.__version__,
        revision=_revision(),
        model=msgspec.structs.replace(record, path=Path(record.path).name),
        tools=tools,
        libraries=libraries,
        load_average_before=before,
        load_average_after=load_average(),
    )


def both_sides(
    sections: Sequence[Section], *, began: Began, model: str, rounds: int, threads: int | None
) -> PeerResult:
    """A result of rounds with localprompt on both sides.

    Args:
        threads: None for the default.
    """
    return PeerResult(
        measured_at=began.measured_at,
        pairs=rounds,
        repetitions=1,
        threads=threads or machine.default_threads(),
        environment=environment(model, began.load_average),
        sections=tuple(sections),
    )


def publish(result: PeerResult, title: str, stem: Path | None) -> None:
    """Markdown to stdout, and with JSON beside it to STEM.md and STEM.json."""
    text = to_markdown(result, title)
    if stem is not None:
        stem.parent.mkdir(parents=True, exist_ok=True)
        write_json(result, stem.with_name(f"{stem.name}.json"))
        stem.with_name(f"{stem.name}.md").write_text(text, encoding="utf-8")
    print(text)


def load_average() -> Load | None:
    return os.getloadavg() if hasattr(os, "getloadavg") else None


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
