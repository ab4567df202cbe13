"""How fast this machine's memory and arithmetic are, found out in about two seconds.

*Bandwidth*: threads read a buffer that no cache holds, each its own part, again and again for
a fraction of a second. Decoding streams the weights in just that way, so reading is what counts,
not copying. The reader is the C library's ``memchr``, looking for a byte that is not there: on
common systems a vectorized loop that does nothing but load. It needs no library, ctypes lets go
of the interpreter lock during the call, and it read faster than numpy's reductions did.

*Arithmetic*: operations per second of matrix multiplication depend on llama.cpp's build and on
the type of the weights, so the engine brings the multiplication and this module only times it.

The result is kept per machine, as one JSON file in the cache folder. It is the best that was
seen: a limit is what the machine can do, not what it did while something else was running.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from localprompt import paths
from localprompt.errors import NotEnoughMemoryError
from localprompt.files import replace_file
from localprompt.measure import machine, memory
from localprompt.records.json import decode_as
from localprompt.records.run import Machine
from localprompt.units import MIB, format_bytes

Multiply = Callable[[int], float]
"""Multiplies two matrices with that many threads and returns the operations that it took:
2 · rows · columns · depth. Tens of milliseconds, so that calling it costs nothing."""

_LEAST_BUFFER_BYTES = 256 * MIB
_CACHE_MULTIPLE = 4
"""Buffer over last-level cache: at most a quarter of a pass can come out of the cache."""
_CHUNK_BYTES = 4 * MIB
_WINDOW_SECONDS = 0.15
_WINDOWS = 3
_ARITHMETIC_SECONDS = 0.5
_MOST_THREAD_COUNTS = 6
_PRESENT, _ABSENT = 1, 0


class BandwidthSample(msgspec.Struct, frozen=True):
    threads: int
    bytes_per_second: float
    """Read from memory, all threads together; the best of a few windows."""


class ArithmeticSample(msgspec.Struct, frozen=True):
    weight_type: str
    """llama.cpp's name: q4_0, q8_0, f16, …"""
    llama_cpp_build: str
    threads: int
    operations_per_second: float
    """Multiplications and additions; the best of repeated calls."""


class ProbeResult(msgspec.Struct, frozen=True):
    machine_id: str
    measured_at: str
    """UTC, ISO 8601; of the bandwidth."""
    buffer_bytes: int
    bandwidth: tuple[BandwidthSample, ...]
    """By number of threads, fewest first."""
    arithmetic: tuple[ArithmeticSample, ...] = ()

    @property
    def best_bandwidth(self) -> BandwidthSample:
        return max(self.bandwidth, key=lambda sample: sample.bytes_per_second)

    def best_arithmetic(self, weight_type: str, llama_cpp_build: str) -> ArithmeticSample | None:
        """The best for a type of weights in a build; None where it was not measured."""
        found = [
            sample
            for sample in self.arithmetic
            if (sample.weight_type, sample.llama_cpp_build) == (weight_type, llama_cpp_build)
        ]
        return max(found, key=lambda sample: sample.operations_per_second, default=None)

    def with_arithmetic(self, sample: ArithmeticSample) -> ProbeResult:
        """With this sample in place of an earlier one of the same type, build and threads."""
        others = tuple(s for s in self.arithmetic if _key(s) != _key(sample))
        return msgspec.structs.replace(self, arithmetic=(*others, sample))


def probe(facts: Machine, *, fresh: bool = False) -> ProbeResult:
    """This machine's kept result, or a new one, which is then kept.

    Raises:
        NotEnoughMemoryError: there is no room for a buffer that the cache does not hold.
    """
    kept = None if fresh else load(facts.id)
    if kept is not None:
        return kept
    size = _buffer_bytes()
    result = ProbeResult(
        machine_id=facts.id,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        buffer_bytes=size,
        bandwidth=measure_bandwidth(thread_counts(facts.physical_cores), size),
    )
    save(result)
    return result


def thread_counts(physical_cores: int | None) -> tuple[int, ...]:
    """Powers of two up to what this process may use, with that number and the physical cores.

    At most six, the largest ones and 1: memory is saturated by many threads, not by few.
    """
    usable = max(1, math.floor(machine.usable_cores()))
    counts = {2**power for power in range(usable.bit_length()) if 2**power <= usable}
    counts |= {usable, min(physical_cores or usable, usable)}
    ordered = sorted(counts)
    return (1, *ordered[1:][-(_MOST_THREAD_COUNTS - 1) :])


def measure_bandwidth(threads: Sequence[int], buffer_bytes: int) -> tuple[BandwidthSample, ...]:
    """Read bandwidth with each number of threads, over one buffer of that size."""
    with mmap.mmap(-1, buffer_bytes) as buffer:
        view = (ctypes.c_char * buffer_bytes).from_buffer(buffer)
        address = ctypes.addressof(view)
        # Pages that were never written all show one page of zeros, which stays in the cache.
        ctypes.memset(address, _PRESENT, buffer_bytes)
        samples = tuple(_best_window(address, buffer_bytes, count) for count in threads)
        del view  # the mapping cannot be closed while it is looked at
    return samples


def measure_arithmetic(
    multiply: Multiply, *, weight_type: str, llama_cpp_build: str, threads: int
) -> ArithmeticSample:
    """Time a multiplication for half a second, after one call that warms it up."""
    multiply(threads)
    best, deadline = 0.0, time.perf_counter() + _ARITHMETIC_SECONDS
    while True:
        start = time.perf_counter()
        operations = multiply(threads)
        end = time.perf_counter()
        best = max(best, operations / (end - start))
        if end >= deadline:
            return ArithmeticSample(weight_type, llama_cpp_build, threads, best)


def load(machine_id: str) -> ProbeResult | None:
    """The kept result; None where there is none, or none that can be read."""
    try:
        return decode_as(_path(machine_id).read_bytes(), ProbeResult)
    except (OSError, msgspec.DecodeError):
        return None


def save(result: ProbeResult) -> bool:
    """Keep a result, whole or not at all; False where the cache folder cannot be written."""
    path = _path(result.machine_id)
    try:
        replace_file(path, msgspec.json.format(msgspec.json.encode(result)))
    except OSError:
        return False
    return True


def _path(machine_id: str) -> Path:
    return paths.cache_folder() / f"probe-{machine_id}.json"


def _key(sample: ArithmeticSample) -> tuple[str, str, int]:
    return sample.weight_type, sample.llama_cpp_build, sample.threads


def _buffer_bytes() -> int:
    """Several times the last-level cache, and at most a quarter of the memory that is free."""
    cache = machine.last_level_cache_bytes() or 0
    wanted = max(_LEAST_BUFFER_BYTES, _CACHE_MULTIPLE * cache)
    free = memory.available().available_bytes
    if free is not None and wanted > free // 4:
        raise NotEnoughMemoryError(
            "the bandwidth probe needs a buffer that the CPU's cache cannot hold",
            expected=f"{format_bytes(4 * wanted)} of free memory, to take a quarter of it",
            found=f"{format_bytes(free)}",
            next_step="close other programs and repeat",
        )
    return wanted


def _best_window(address: int, size: int, threads: int) -> BandwidthSample:
    rates = [_read_window(address, size, threads) for _ in range(_WINDOWS)]
    return BandwidthSample(threads=threads, bytes_per_second=max(rates))


def _read_window(address: int, size: int, threads: int) -> float:
    """Bytes per second that so many threads read in one window of time."""
    memchr = ctypes.CDLL(None).memchr
    memchr.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    memchr.restype = ctypes.c_void_p
    part = size // threads
    rates = [0.0] * threads
    together = threading.Barrier(threads)

    def read(index: int) -> None:
        start, offset, total = address + index * part, 0, 0
        together.wait()
        begin = now = time.perf_counter()
        while now - begin < _WINDOW_SECONDS:
            chunk = min(_CHUNK_BYTES, part - offset)
            memchr(start + offset, _ABSENT, chunk)
            total += chunk
            offset = (offset + chunk) % part
            now = time.perf_counter()
        rates[index] = total / (now - begin)

    workers = [threading.Thread(target=read, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(rates)
