"""What this process takes and what it could still take.

On Linux from ``/proc/self/status``: one small file that the kernel writes from its own counters,
so a reading costs about a tenth of a millisecond; the peak (``VmHWM``) is the kernel's own high
water mark and cannot be missed between two samples, which is why no thread samples here.
Elsewhere ``getrusage`` and psutil know the resident size and its peak, and the rest is ``None``.

``ru_maxrss`` is only the second choice because it survives ``exec``: a small program started by
a big one reports the big one's peak. ``VmHWM`` belongs to the address space and starts anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from localprompt.errors import NotEnoughMemoryError
from localprompt.measure import cgroup
from localprompt.measure.kernel import HOST, ON_LINUX, KernelFiles
from localprompt.units import MIB, format_bytes

KEPT_FREE_BYTES = 64 * MIB
"""Left to the rest of the system when a model is let in."""


class MemoryReading(msgspec.Struct, frozen=True):
    """This process's memory at one moment."""

    rss_bytes: int | None
    """Resident: anonymous, file-backed and shared together (VmRSS)."""
    peak_rss_bytes: int | None
    """The most that was resident since the process or :func:`reset_peak` began (VmHWM)."""
    anonymous_bytes: int | None = None
    """Private memory: heap, KV cache, compute buffers, repacked weights (RssAnon)."""
    file_backed_bytes: int | None = None
    """Pages of mapped files: libraries and mapped weights (RssFile)."""
    shared_bytes: int | None = None
    """Shared memory segments and tmpfs (RssShmem)."""
    swapped_bytes: int | None = None
    """Anonymous memory that was moved out to swap (VmSwap)."""


class AvailableMemory(msgspec.Struct, frozen=True):
    """What is left for this process."""

    total_bytes: int | None
    """Of the machine."""
    limit_bytes: int | None
    """What a container or service may use at most, where that is less than the machine has."""
    available_bytes: int | None
    """What can be allocated without swapping, container limits respected: the figure to check
    a model against."""
    swap_total_bytes: int | None
    swap_used_bytes: int | None


def read(kernel: KernelFiles = HOST) -> MemoryReading:
    """This process's memory now."""
    if not ON_LINUX:
        return _read_portably()
    status = kernel.amounts("proc/self/status")
    return MemoryReading(
        rss_bytes=status.get("VmRSS"),
        peak_rss_bytes=status.get("VmHWM"),
        anonymous_bytes=status.get("RssAnon"),
        file_backed_bytes=status.get("RssFile"),
        shared_bytes=status.get("RssShmem"),
        swapped_bytes=status.get("VmSwap"),
    )


def reset_peak() -> bool:
    """Let the peak start again from what is resident now; False where that is not possible.

    Then only a fresh process gives a peak of its own. (``5`` in ``/proc/self/clear_refs``,
    proc_pid_clear_refs(5); some containers forbid it and other systems have nothing like it.)
    """
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def require(
    needed_bytes: float,
    message: str,
    *,
    next_step: str,
    where: str | None = None,
    detail: str = "",
    kept_bytes: int = KEPT_FREE_BYTES,
    free_bytes: int | None = None,
) -> None:
    """Whether so much more can be taken, and something be left to the rest of the system. Where
    nobody knows what is free it is tried.

    Args:
        needed_bytes: estimated.
        message: the error's.
        detail: what the estimate rests on.
        kept_bytes: what has to be left.
        free_bytes: None looks now.

    Raises:
        NotEnoughMemoryError: it would not fit.
    """
    free = available().available_bytes if free_bytes is None else free_bytes
    if free is None or needed_bytes + kept_bytes <= free:
        return
    estimated = f"estimated, {detail}" if detail else "estimated"
    raise NotEnoughMemoryError(
        message,
        where=where,
        expected=f"{format_bytes(needed_bytes)} ({estimated})",
        found=f"{format_bytes(free)} free",
        next_step=next_step,
    )


def available(kernel: KernelFiles = HOST) -> AvailableMemory:
    """What the machine has, and what this process could still take of it."""
    if not ON_LINUX:
        return _available_portably()
    info = kernel.amounts("proc/meminfo")
    limits = cgroup.limits(kernel)
    total, limit = info.get("MemTotal"), limits.memory_limit_bytes
    swap_total, swap_free = info.get("SwapTotal"), info.get("SwapFree")
    return AvailableMemory(
        total_bytes=total,
        limit_bytes=limit if limit is not None and limit < (total or limit + 1) else None,
        available_bytes=_smaller(info.get("MemAvailable"), limits.memory_available_bytes),
        swap_total_bytes=swap_total,
        swap_used_bytes=None if swap_total is None or swap_free is None else swap_total - swap_free,
    )


def _smaller(first: int | None, second: int | None) -> int | None:
    return min((n for n in (first, second) if n is not None), default=None)


def _read_portably() -> MemoryReading:
    import resource

    import psutil

    # The unit of ru_maxrss: bytes on macOS, KiB on the BSDs and Linux.
    unit = 1 if sys.platform == "darwin" else 1024
    return MemoryReading(
        rss_bytes=psutil.Process().memory_info().rss,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    )


def _available_portably() -> AvailableMemory:
    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return AvailableMemory(
        total_bytes=memory.total,
        limit_bytes=None,
        available_bytes=memory.available,
        swap_total_bytes=swap.total,
        swap_used_bytes=swap.used,
    )
