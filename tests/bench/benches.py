"""Benches of scripted models, planned by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from localprompt.bench.spec import key_of
from localprompt.measure import machine
from localprompt.records.bench import Experiment, PlannedCell, Repetitions
from localprompt.records.cell import BenchRequest, Cell
from localprompt.records.ids import new_run_id
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import RequestedSettings, Sampling


def model_file(folder: Path, content: bytes = b"weights") -> Path:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return path


def request(
    model: Path, text: str = "say something", *, prefill: int = 0, decode: int = 0
) -> BenchRequest:
    """A request for a prompt of that text, or for synthetic work."""
    from localprompt.models.checksum import sha256_of

    status = model.stat()
    cell = Cell(
        kind="bench",
        model=ModelRecord(
            name="scripted",
            path=str(model),
            sha256=sha256_of(model, fresh=True),
            size_bytes=status.st_size,
        ),
        template=PromptTemplate(name="test", body=f"user:\n{text}"),
        params={},
        sampling=Sampling(max_tokens=4),
        settings=RequestedSettings(n_threads=1, n_threads_batch=1),
    )
    return BenchRequest(cell, prefill, decode, status.st_size, status.st_mtime_ns)


def experiment(requests: Sequence[BenchRequest], repetitions: Repetitions | int = 2) -> Experiment:
    cells = tuple(
        PlannedCell(
            key=key_of(one),
            labels={"cell": str(number)},
            workload=f"pp{one.prefill}" if one.prefill else one.cell.template.name,
            request=msgspec.to_builtins(one),
            estimated_seconds=None,
        )
        for number, one in enumerate(requests)
    )
    return Experiment(
        id=new_run_id(),
        kind="bench",
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        localprompt_version="0.1.0",
        title="a scripted bench",
        cells=cells,
        refused=(),
        repetitions=(
            Repetitions(fixed=repetitions) if isinstance(repetitions, int) else repetitions
        ),
        machine=machine.describe(),
    )
