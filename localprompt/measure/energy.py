"""Energy: what the processor's own counters say, and what stands in where none can be read.

Linux shows the counters of Intel's and AMD's processors (RAPL) under ``/sys/class/powercap``. Each
counts microjoules up to a range and begins anew, which a package under load reaches within the
hour, so a :class:`Meter` has to be read more often than that. Counted are the packages and the
memory beside them, for everything that runs on the machine; what else it has is in no counter.

Since 2020 only root may read them (they can give secrets away), and virtual machines have none:
then there is no energy, never zero. What answers cost can still be estimated from CPU time.
"""

from __future__ import annotations

import re

from localprompt.measure.kernel import HOST, KernelFiles
from localprompt.stats.ranges import Range

JOULES_PER_WATT_HOUR = 3600.0
WATTS_PER_BUSY_CORE = Range(3.0, 8.0, 20.0)
"""From an efficient laptop to an older desktop."""
USD_PER_KWH = Range(0.08, 0.20, 0.45)

_FOLDER = "sys/class/powercap"
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")


class Meter:
    """Adds up the energy from when it is made.

    Args:
        files: the machine whose counters are read.
    """

    def __init__(self, files: KernelFiles = HOST) -> None:
        self._files = files
        read = {zone: self._read(zone) for zone in _zones(files)}
        self._last = {zone: value for zone, value in read.items() if value is not None}
        self._microjoules = 0

    def read(self) -> float | None:
        """Joules so far; None: there is no counter that can be read."""
        for zone, before in self._last.items():
            now = self._read(zone)
            if now is None:
                return None
            if now < before:
                self._microjoules += (
                    self._files.number(f"{_FOLDER}/{zone}/max_energy_range_uj") or 0
                )
            self._microjoules += now - before
            self._last[zone] = now
        return self._microjoules / 1e6 if self._last else None

    def _read(self, zone: str) -> int | None:
        return self._files.number(f"{_FOLDER}/{zone}/energy_uj")


def _zones(files: KernelFiles) -> list[str]:
    """Packages, and memory, which packages do not count; ``psys`` would count both once more."""
    zones = []
    for zone in files.names(_FOLDER):
        name = files.text(f"{_FOLDER}/{zone}/name") or ""
        if _ZONE.fullmatch(zone) and (name.startswith("package") or name == "dram"):
            zones.append(zone)
    return zones


def usd_of(cpu_seconds: float, usd_per_kwh: Range = USD_PER_KWH) -> Range:
    """The electricity of so many seconds of one busy core: an estimate."""
    kwh = cpu_seconds / 3600 / 1000
    return Range(
        kwh * WATTS_PER_BUSY_CORE.low * usd_per_kwh.low,
        kwh * WATTS_PER_BUSY_CORE.typical * usd_per_kwh.typical,
        kwh * WATTS_PER_BUSY_CORE.high * usd_per_kwh.high,
    )
