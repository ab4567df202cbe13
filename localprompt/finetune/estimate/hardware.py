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
from localprompt.paths import shipped
from localprompt.stats.ranges import Range
from localprompt.units import GIB

Verdict = Literal["fits", "may fit", "does not fit"]

GPU_RESERVED_BYTES = GIB // 2
LAPTOP_RESERVED_BYTES = 2 * GIB


class Gpu(msgspec.Struct, frozen=True):
    """A GPU as its datasheet has it."""

    name: str
    memory_bytes: int
    peak_flops_per_second: float
    """Dense matrix products in 16 bit with 32-bit sums."""
    source: str

    @property
    def device(self) -> Device:
        """The GPU as something that an estimate fits or does not fit."""
        return Device(self.name, self.memory_bytes, GPU_RESERVED_BYTES)


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


LAPTOPS = tuple(
    Device(f"laptop {size} GiB", size * GIB, LAPTOP_RESERVED_BYTES) for size in (8, 16, 32)
)
GPU_SIZES = tuple(
    Device(f"GPU {size} GB", size * GIB, GPU_RESERVED_BYTES) for size in (8, 12, 16, 24, 48, 80)
)
DEVICES = LAPTOPS + GPU_SIZES


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
    raise UnknownNameError(
        f"no GPU is called {name!r}",
        nearest=tuple(near),
        where="gpu",
        next_step="name one of these; short forms like a100 or rtx-4090 work, too",
    )


def fits(peak_bytes: Range, devices: tuple[Device, ...] = DEVICES) -> tuple[Fit, ...]:
    """The verdict for each device; with several GPUs each of them has to hold its share."""
    return tuple(
        Fit(
            device=device.name,
            usable_bytes=device.usable_bytes,
            verdict="fits"
            if peak_bytes.high <= device.usable_bytes
            else "may fit"
            if peak_bytes.low <= device.usable_bytes
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
