"""What happens around a measurement: clocks, other load, throttling, swap, battery.

One reading says little; the difference of two, taken right before and right after the work by
the process that does it, says whether the figures between them can be trusted.
:mod:`localprompt.measure.warnings` turns the difference into words. A reading costs well below
a millisecond on a laptop and must lie outside what is timed.
"""

from __future__ import annotations

import resource
import time

import msgspec

from localprompt.measure import cgroup
from localprompt.measure.kernel import HOST, ON_LINUX, KernelFiles, as_number

_CPUS = "sys/devices/system/cpu"
_SUPPLIES = "sys/class/power_supply"
_JIFFIES_PER_SECOND = 100
"""USER_HZ, the unit of /proc/stat: 100 on every architecture that llama.cpp runs on."""


class Conditions(msgspec.Struct, frozen=True):
    """The machine at one moment. Counters grow from boot on; None where they cannot be read."""

    monotonic_seconds: float
    """The clock by which the readings are ordered; stands still while the machine sleeps."""
    slept_seconds: float | None
    """How long the machine has been suspended since boot."""
    busy_seconds: float | None
    """CPU time spent by everybody, over all cores; the whole host's, even in a container."""
    stolen_seconds: float | None
    """CPU time that a hypervisor gave to other guests while this one wanted to run."""
    own_seconds: float
    """CPU time of this process and of those children that it has waited for."""
    throttle_count: int | None
    """How often cores and packages were slowed down because of heat."""
    quota_wait_seconds: float | None
    """How long a container's CPU quota has kept its tasks waiting."""
    frequency_hertz: float | None
    """Of the fastest core, now."""
    swap_traffic_bytes: int | None
    """Moved between memory and swap, by everybody."""
    governor: str | None
    on_battery: bool | None


def read(kernel: KernelFiles = HOST) -> Conditions:
    """The conditions now."""
    busy, stolen = _cpu_times(kernel)
    return Conditions(
        monotonic_seconds=time.monotonic(),
        slept_seconds=_slept_seconds(),
        busy_seconds=busy,
        stolen_seconds=stolen,
        own_seconds=_own_seconds(),
        throttle_count=_throttle_count(kernel),
        quota_wait_seconds=cgroup.quota_wait_seconds(kernel),
        frequency_hertz=frequency_hertz(kernel),
        swap_traffic_bytes=_swap_traffic_bytes(kernel),
        governor=governor(kernel),
        on_battery=on_battery(kernel),
    )


def throttled(before: Conditions, after: Conditions) -> bool | None:
    """Whether the kernel counted thermal throttling in between; None where it does not count.

    Intel processors are counted; AMD and ARM ones, most virtual machines and macOS are not.
    """
    if before.throttle_count is None or after.throttle_count is None:
        return None
    return after.throttle_count > before.throttle_count


def governor(kernel: KernelFiles = HOST) -> str | None:
    """The frequency governor, several joined by ``+`` where cores differ; None without cpufreq."""
    found = {
        name
        for policy in kernel.names(f"{_CPUS}/cpufreq")
        if (name := kernel.text(f"{_CPUS}/cpufreq/{policy}/scaling_governor"))
    }
    return "+".join(sorted(found)) or None


def frequency_hertz(kernel: KernelFiles = HOST) -> float | None:
    """The fastest core's frequency now, idle ones being no measure for a running one.

    In most virtual machines the kernel only knows a nominal figure, which never changes.
    """
    if not ON_LINUX:
        import psutil

        found = psutil.cpu_freq()
        return found.current * 1e6 if found and found.current else None
    kilohertz = [
        value
        for policy in kernel.names(f"{_CPUS}/cpufreq")
        if (value := kernel.number(f"{_CPUS}/cpufreq/{policy}/scaling_cur_freq"))
    ]
    if kilohertz:
        return max(kilohertz) * 1e3
    megahertz = [
        known
        for line in (kernel.text("proc/cpuinfo") or "").splitlines()
        if line.startswith("cpu MHz") and (known := _positive(line.rpartition(":")[2]))
    ]
    return max(megahertz) * 1e6 if megahertz else None


def _positive(text: str) -> float | None:
    """A number above 0; None for anything else, as the kernel's ``Unknown``."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value > 0 else None


def on_battery(kernel: KernelFiles = HOST) -> bool | None:
    """True while a battery feeds the machine; False on mains, or where there is no battery."""
    if not ON_LINUX:
        import psutil

        battery = psutil.sensors_battery()
        return None if battery is None else battery.power_plugged is False
    if not kernel.exists(_SUPPLIES):
        return None
    discharging = False
    for name in kernel.names(_SUPPLIES):
        supply = f"{_SUPPLIES}/{name}"
        if kernel.text(f"{supply}/scope") == "Device":
            continue  # the battery of a mouse
        kind = kernel.text(f"{supply}/type")
        if kind in ("Mains", "USB") and kernel.number(f"{supply}/online"):
            return False
        discharging |= kind == "Battery" and kernel.text(f"{supply}/status") == "Discharging"
    return discharging


def _cpu_times(kernel: KernelFiles) -> tuple[float | None, float | None]:
    """(busy, stolen) seconds of all cores since boot."""
    if not ON_LINUX:
        import psutil

        times = psutil.cpu_times()
        return times.user + times.system + times.nice, None
    # cpu  user nice system idle iowait irq softirq steal …; a guest's time is in user already.
    words = (kernel.text("proc/stat") or "").partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return None, None
    ticks = [as_number(word) for word in words[1:9]]
    known = [number for number in ticks if number is not None]
    if len(known) < len(ticks):
        return None, None
    user, nice, system, _idle, _iowait, irq, softirq, steal = known
    busy = user + nice + system + irq + softirq
    return busy / _JIFFIES_PER_SECOND, steal / _JIFFIES_PER_SECOND


def _own_seconds() -> float:
    usages = (
        resource.getrusage(resource.RUSAGE_SELF),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _slept_seconds() -> float | None:
    """The clock that counts suspension less the one that does not."""
    if hasattr(time, "CLOCK_BOOTTIME"):  # Linux
        asleep_too, awake = time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC
    elif hasattr(time, "CLOCK_UPTIME_RAW"):  # macOS
        asleep_too, awake = time.CLOCK_MONOTONIC_RAW, time.CLOCK_UPTIME_RAW
    else:
        return None
    return time.clock_gettime(asleep_too) - time.clock_gettime(awake)


def _throttle_count(kernel: KernelFiles) -> int | None:
    counts = [
        count
        for cpu in kernel.names(_CPUS)
        if cpu.removeprefix("cpu").isdecimal()
        for what in ("core", "package")
        if (count := kernel.number(f"{_CPUS}/{cpu}/thermal_throttle/{what}_throttle_count"))
        is not None
    ]
    return sum(counts) if counts else None


def _swap_traffic_bytes(kernel: KernelFiles) -> int | None:
    if not ON_LINUX:
        import psutil

        swap = psutil.swap_memory()
        return int(swap.sin + swap.sout)
    pages = kernel.amounts("proc/vmstat")
    if "pswpin" not in pages or "pswpout" not in pages:
        return None
    return (pages["pswpin"] + pages["pswpout"]) * resource.getpagesize()
