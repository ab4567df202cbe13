"""Doing a quantization: is there room, let a child work, put the result into the store.

llama.cpp's quantization cannot be interrupted and may end its process, so :class:`Quantizer` has it
done in another one; see :mod:`localprompt.models.quantize.worker`.

At every moment the store has the complete new model under its name, or none. The child writes
into a folder where nobody looks; the file is checked and hashed there, renamed into the store, and
only then gets the card by which it is found. Where an older one of the same name is replaced, its
card goes first: for an instant there is none, never the old card with the new weights.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec

from localprompt import paths, processes
from localprompt.errors import (
    EngineError,
    LocalPromptError,
    MachineError,
    NotEnoughDiskError,
)
from localprompt.files import check_free_disk, disk_errors_explained, give_place, staging, sync
from localprompt.measure import machine, memory
from localprompt.models.cards import ModelCard
from localprompt.models.checksum import remember_sha256, sha256_of
from localprompt.models.inspect import inspect_model
from localprompt.models.ownership import claimed
from localprompt.models.quantize import worker
from localprompt.models.quantize.job import FILE_TYPE_IDS, Job
from localprompt.models.quantize.worker import Planned, Request
from localprompt.models.receiver import Progress, no_progress
from localprompt.models.store import add_model
from localprompt.records.run import RunWarning
from localprompt.units import MIB, format_bytes

WORKER_COMMAND = processes.worker_command("localprompt.models.quantize.worker")
_BUFFER_BYTES = 64 * MIB
"""The pieces in which llama.cpp works through a tensor; larger ones are not faster."""
_PROCESS_BYTES = 32 * MIB
"""Python and llama.cpp's libraries: 22 MB measured, rounded up."""
_ALIGNMENT = 32
_HEADER_GROWTH_BYTES = 64 * 1024
"""Keys that llama.cpp adds, and the rounding of the sizes that it logs."""


class Quantized(msgspec.Struct, frozen=True):
    """What :func:`make` made."""

    card: ModelCard
    size_bytes_before: int
    size_bytes_after: int
    seconds: float
    """From the start of the child to the finished card."""
    warnings: tuple[RunWarning, ...]
    """What only llama.cpp could know; those of the job are not repeated."""


class Quantizer:
    """One quantization in a process of its own. Leaving the context ends the process.

    Args:
        request: what to make.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._child = processes.Child[worker.Reply](WORKER_COMMAND, worker.Reply)

    def plan(self) -> Planned:
        """What would come out.

        Raises:
            EngineError: llama.cpp refuses, or died.
        """
        self._child.send(self._request)
        reply = self._receive()
        if isinstance(reply, Planned):
            return reply
        raise self._error(self._child.out_of_turn(reply))

    def make(self) -> Iterator[str]:
        """Do it; the name of each tensor as its turn comes. Complete when the iterator ends.

        Raises:
            EngineError: llama.cpp failed, or died.
        """
        self._child.send(worker.Make())
        while not isinstance(reply := self._receive(), worker.Made):
            if isinstance(reply, worker.Tensor):
                yield reply.name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Either it is done, or nobody wants what it does any more.
        self._child.kill()

    def _receive(self) -> worker.Reply:
        try:
            return self._child.receive()
        except LocalPromptError as error:
            raise self._error(error) from error

    def _error(self, error: LocalPromptError) -> EngineError:
        return EngineError(
            "llama.cpp did not quantize the model",
            where=self._request.source,
            found=error.found or error.message,
        )


def make(job: Job, *, n_threads: int | None = None, progress: Progress = no_progress) -> Quantized:
    """Quantize, and register the new model.

    Args:
        job: what was prepared.
        n_threads: None takes the physical cores.
        progress: told bytes of the source's tensors, stage ``quantize``, then of the hashing,
            stage ``verify``.

    Raises:
        EngineError: llama.cpp refused (with its reason), failed or died.
        NotEnoughDiskError, NotEnoughMemoryError: there is no room; with the figures.
        MachineError: the store cannot be written, or another quantization is running.
    """
    began = time.monotonic()
    store = paths.weights_folder()
    with disk_errors_explained(store), staging(store, "quantize", "quantization") as folder:
        staged = folder / "work" / job.target.name
        planned = _run(job, staged, n_threads or machine.default_threads(), progress)
        inspect_model(staged)
        sync(staged)
        card = _publish(job, staged, progress)
    return Quantized(
        card=card,
        size_bytes_before=job.head.size_bytes,
        size_bytes_after=card.size_bytes,
        seconds=time.monotonic() - began,
        warnings=_fallback_warnings(job, planned),
    )


def _run(job: Job, staged: Path, n_threads: int, progress: Progress) -> Planned:
    sizes = {tensor.name: tensor.n_bytes for tensor in job.head.tensors}
    done, total, current = 0, sum(sizes.values()), 0
    request = Request(
        source=str(job.source),
        target=str(staged),
        file_type=FILE_TYPE_IDS[job.file_type],
        n_threads=n_threads,
        buffer_bytes=_BUFFER_BYTES,
    )
    needed = 0
    try:
        with Quantizer(request) as quantizer:
            planned = quantizer.plan()
            needed = _file_bytes(job, planned)
            check_free_disk(staged.parent, needed, job.name, estimated=True)
            memory.require(
                memory_needed(job),
                f"not enough free memory to make {job.name}",
                where=str(job.source),
                next_step="end other programs, or quantize on a machine with more memory",
            )
            for name in quantizer.make():
                done += current
                current = sizes.get(name, 0)
                progress("quantize", done, total)
    except EngineError as error:
        raise _explained(error, job, staged.parent, needed) from error
    progress("quantize", total, total)
    return planned


def _publish(job: Job, staged: Path, progress: Progress) -> ModelCard:
    sha256 = sha256_of(staged, progress=lambda done, total: progress("verify", done, total))
    job.target.with_suffix(".toml").unlink(missing_ok=True)
    with claimed(staged, job.target):
        give_place(staged, job.target)
        remember_sha256(job.target, sha256)
        return add_model(job.target, name=job.name, parent=job.parent)


def _file_bytes(job: Job, planned: Planned) -> int:
    """Estimated size of the new file: tensors from llama.cpp's dry run, and the old header."""
    padding = len(job.head.tensors) * _ALIGNMENT
    return planned.tensor_bytes + padding + job.head.data_offset + _HEADER_GROWTH_BYTES


def memory_needed(job: Job) -> int:
    """Estimated bytes that the child takes beside the mapped file, which gives way to others.

    One piece of a tensor, in the source's type, as 32-bit floats and quantized (at most 32 bit);
    twice, because a growing buffer exists twice for a moment. The header is held twice as well:
    as it was read and as it will be written.
    """
    largest = max((t.n_bytes + 2 * 4 * t.n_elements for t in job.head.tensors), default=0)
    return _PROCESS_BYTES + 2 * job.head.data_offset + 2 * min(_BUFFER_BYTES, largest)


def _explained(error: EngineError, job: Job, folder: Path, needed: int) -> MachineError:
    """llama.cpp's reason, with what helps where that is known."""
    reason = error.found or ""
    if "iostream" in reason:  # all that the C++ library says where the disk refuses a write
        return NotEnoughDiskError(
            "the new model could not be written completely: the disk, a quota or a limit is full",
            where=str(folder),
            expected=f"room for {format_bytes(needed)} (estimated)",
            found=f"{format_bytes(shutil.disk_usage(folder).free)} free now",
            next_step="free some space, or set LOCALPROMPT_HOME to a folder on a larger disk",
        )
    if "imatrix" in reason:
        error.next_step = "a type that needs none, as --to q4_0, q4_k_m or q8_0"
    error.message = f"llama.cpp did not quantize {job.parent.name} to {job.file_type}"
    return error


def _fallback_warnings(job: Job, planned: Planned) -> tuple[RunWarning, ...]:
    if not planned.fallback_tensors:
        return ()
    return (
        RunWarning(
            "fallback_types",
            f"rows of {job.parent.name} do not divide into the blocks of {job.file_type}: "
            f"{planned.fallback_tensors} of {len(job.head.tensors)} tensors got another type",
            f"see which: localprompt models show {job.name}",
        ),
    )
