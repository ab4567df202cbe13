"""Machines to train on: named GPUs with their peak, and memory sizes that people have.

The GPU table ships in ``benchmarks/finetune/gpus.csv``: dense 16-bit tensor peak, not the figure
"with sparsity" that datasheets print larger.
"""

from __future__ import annotations

import csv
import difflib
from functools import cache
from typing import Literal

import msgspec

from localprompt.errors import UnknownNameError
from localprompt.finetune.memory import MemoryEstimate
from localprompt.home import shipped
from localprompt.units import GIB

Verdict = Literal["fits", "may fit", "does not fit"]


class Gpu(msgspec.Struct, frozen=True):
    """A GPU as its datasheet has it."""

    name: str
    memory_bytes: int
    peak_flops_per_second: float
    """Dense matrix products in 16 bit with 32-bit sums."""
    source: str


class Device(msgspec.Struct, frozen=True):
    """Memory of a common size."""

    name: str
    memory_bytes: int
    reserved_bytes: int
    """What is not there for training: the operating system, or the display and driver."""

    @property
    def usable_bytes(self) -> int:
        return self.memory_bytes - self.reserved_bytes


class Fit(msgspec.Struct, frozen=True):
    """Whether an estimated peak fits a device.

    ``fits``: even the high end does; ``may fit``: the low end does; ``does not fit``: not even
    that. Only memory is looked at, not whether training would end in a useful time, nor whether
    the software runs there: the kernels of ``qlora`` want a GPU, however large a laptop is.
    """

    device: str
    usable_bytes: int
    verdict: Verdict


DEVICES = tuple(Device(f"laptop {size} GiB", size * GIB, 2 * GIB) for size in (8, 16, 32)) + tuple(
    Device(f"GPU {size} GB", size * GIB, GIB // 2) for size in (8, 12, 16, 24, 48, 80)
)


@cache
def known_gpus() -> dict[str, Gpu]:
    """The shipped GPUs by name."""
    return {gpu.name: gpu for gpu, _ in _table()}


def find_gpu(name: str) -> Gpu:
    """A GPU by name or alias (``a100``, ``H100 SXM 80GB``, ``rtx-4090``).

    Raises:
        UnknownNameError: no such GPU; the error lists those that are known.
    """
    wanted = _key(name)
    for gpu, aliases in _table():
        if wanted in {_key(known) for known in (gpu.name, *aliases)}:
            return gpu
    names = tuple(known_gpus())
    near = difflib.get_close_matches(name, names, n=len(names), cutoff=0.0)
    raise UnknownNameError(f"no GPU is called {name!r}", nearest=tuple(near), where="gpu")


def fits(memory: MemoryEstimate, devices: tuple[Device, ...] = DEVICES) -> tuple[Fit, ...]:
    """The verdict for each device; with several GPUs each of them has to hold its share."""
    peak = memory.total_bytes
    return tuple(
        Fit(
            device=device.name,
            usable_bytes=device.usable_bytes,
            verdict="fits"
            if peak.high <= device.usable_bytes
            else "may fit"
            if peak.low <= device.usable_bytes
            else "does not fit",
        )
        for device in devices
    )


@cache
def _table() -> tuple[tuple[Gpu, tuple[str, ...]], ...]:
    path = shipped("benchmarks") / "finetune" / "gpus.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        return tuple(
            (
                Gpu(
                    name=row["name"],
                    memory_bytes=int(row["memory_gib"]) * GIB,
                    peak_flops_per_second=float(row["peak_tflops"]) * 1e12,
                    source=row["source"],
                ),
                tuple(row["aliases"].split(";")),
            )
            for row in csv.DictReader(lines)
        )


def _key(name: str) -> str:
    """What is compared of a GPU's name: letters and digits."""
    return "".join(c for c in name.lower() if c.isalnum())
