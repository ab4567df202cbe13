"""A child process that measures: one cell in, JSON lines out.

A bench runs each cell in a process of its own, so that neither memory nor caches nor a crash of
one cell reach another. The parent writes one JSON object per line to stdin and reads one per line
from stdout::

    {"do": "open", "request": {…}, "phase": "memory"}    →  {"is": "opened", "cold": true}
    {"do": "run"}                                        →  {"is": "ran", "record": "{…}", …}
    (end of input)                                       →  the process ends

Anything that the cell cannot do is ``{"is": "failed", …}``, after which the process ends. Between
commands the process sleeps and takes no CPU. See :mod:`localprompt.processes` for the line itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from localprompt.engine.base import Engine
from localprompt.engine.synthetic import SyntheticEngine
from localprompt.errors import ChecksumError, EngineError, ModelMissingError
from localprompt.measure import memory, pagecache
from localprompt.models.predict import with_mapping_decided
from localprompt.processes import Parent, serve
from localprompt.records import json
from localprompt.records.cell import BenchRequest, Cell
from localprompt.running.execute import Execution, Session, open_session, render
from localprompt.running.synthetic import SyntheticSession

Phase = Literal["memory", "timing"]


class Open(msgspec.Struct, frozen=True, tag_field="do", tag="open"):
    """Open the cell's model. The timing pass warms up, the memory pass begins cold."""

    request: BenchRequest
    phase: Phase


class Run(msgspec.Struct, frozen=True, tag_field="do", tag="run"):
    """One repetition."""


class Opened(msgspec.Struct, frozen=True, tag_field="is", tag="opened"):
    cold: bool | None = None
    """Whether the weights were out of the page cache; None where that could not be told."""


class Ran(msgspec.Struct, frozen=True, tag_field="is", tag="ran"):
    record: str
    """A run record as JSON."""
    token_seconds: tuple[float, ...]


Command = Open | Run
Reply = Opened | Ran


class Engines(msgspec.Struct, frozen=True):
    """Where models come from; tests bring their own."""

    prompts: Callable[[Cell], Engine]
    synthetic: Callable[[BenchRequest], SyntheticEngine]


def main(engines: Engines | None = None) -> int:
    """Serve the parent on stdin and stdout.

    Args:
        engines: None: llama.cpp.

    Returns:
        the exit code.
    """
    chosen = engines or _llama_engines()
    return serve(Command, lambda parent: answer(parent, chosen))


def answer(parent: Parent[Command], engines: Engines) -> None:
    """Measure until the parent wants no more."""
    with ExitStack() as opened:
        bench: _Bench | None = None
        for command in parent.commands():
            if isinstance(command, Open):
                cold = _prepare_file(command)
                bench = opened.enter_context(_opened(command, engines))
                parent.say(Opened(cold))
            elif bench is None:
                raise EngineError("a run was asked for before a model was opened")
            else:
                ran = bench.run()
                parent.say(Ran(json.encode(ran.record).decode(), ran.samples.token_seconds))


class _Bench:
    """The open cell."""

    def __init__(self, request: BenchRequest, run_once: Callable[[], Execution]) -> None:
        self._request = request
        self._run_once = run_once
        self._loaded = False

    def run(self) -> Execution:
        check_file(self._request)
        ran = self._run_once()
        if self._loaded:  # the load belongs to the first repetition and happened once
            timing = msgspec.structs.replace(ran.record.timing, load_seconds=None)
            ran = Execution(msgspec.structs.replace(ran.record, timing=timing), ran.samples)
        self._loaded = True
        return ran


@contextmanager
def _opened(command: Open, engines: Engines) -> Iterator[_Bench]:
    request, warm = command.request, command.phase == "timing"
    if request.synthetic:
        baseline = memory.read()
        with engines.synthetic(request) as engine:
            synthetic = SyntheticSession(request, engine, baseline)
            if warm:
                synthetic.warm_up()
            yield _Bench(request, synthetic.run)
        return
    cell = request.cell
    with open_session(cell, render(cell), engines.prompts) as session:
        if warm:
            session.warm_up(cell, render(cell))
        yield _Bench(request, lambda: _run_prompt(session, cell))


def _run_prompt(session: Session, cell: Cell) -> Execution:
    return session.run(cell, render(cell))


def check_file(request: BenchRequest) -> None:
    """Is the model file still the one that was planned with? Costs a stat where it was left alone.

    Raises:
        ModelMissingError: it is gone.
        ChecksumError: it has another content.
    """
    path = Path(request.cell.model.path)
    try:
        status = path.stat()
    except OSError as error:
        raise ModelMissingError("the model's file is gone", where=str(path)) from error
    if request.size_bytes is None or (status.st_size, status.st_mtime_ns) == (
        request.size_bytes,
        request.mtime_ns,
    ):
        return
    from localprompt.models.checksum import sha256_of

    planned = request.cell.model.sha256
    found = sha256_of(path, fresh=True)
    if found != planned:
        raise ChecksumError(
            "the model's file was replaced during the bench",
            where=str(path),
            expected=f"sha256 {planned}",
            found=f"sha256 {found}",
        )


def _prepare_file(command: Open) -> bool | None:
    check_file(command.request)
    if command.phase == "memory":
        return pagecache.drop(Path(command.request.cell.model.path))
    return None


def _llama_engines() -> Engines:
    from localprompt.running.run import open_llama

    def synthetic(request: BenchRequest) -> SyntheticEngine:
        from localprompt.engine.llama.synthetic import LlamaSynthetic

        cell = request.cell
        most = max(request.prefill, request.decode)
        path = Path(cell.model.path)
        settings = with_mapping_decided(cell.settings, path)
        return LlamaSynthetic(path, settings, most_tokens=most, prove=not cell.force)

    return Engines(open_llama, synthetic)


if __name__ == "__main__":
    sys.exit(main())
