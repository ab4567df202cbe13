"""Which machine this is: the facts that make two results comparable, or not.

Only what explains speed and memory is read, and nothing that identifies a person or a device:
no host name, no serial number, no address. On Linux everything comes from small files, in a few
milliseconds and without starting a process; macOS is asked through ``sysctl`` and psutil.

What depends on llama.cpp's build (its version, the instruction sets that it uses) is known to the
engine and passed in.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import socket
import sys

import msgspec

from localprompt.measure import cgroup
from localprompt.measure.conditions import Conditions, governor, on_battery, throttled
from localprompt.measure.kernel import HOST, ON_LINUX, KernelFiles
from localprompt.records.run import Machine
from localprompt.units import GIB

_CPUS = "sys/devices/system/cpu"


def describe(
    *,
    llama_cpp_build: str | None = None,
    cpu_features: tuple[str, ...] = (),
    kernel: KernelFiles = HOST,
) -> Machine:
    """The machine as it is now; ``throttled`` is unknown until a run is over (:func:`after`)."""
    cpu = _cpu_name(kernel)
    physical, logical = _cores(kernel)
    usable = usable_cores(kernel)
    memory = _memory_bytes(kernel)
    limit = cgroup.limits(kernel).memory_limit_bytes
    return Machine(
        id=_digest(cpu, physical, logical, usable, memory),
        cpu=cpu,
        physical_cores=physical,
        logical_cores=logical,
        memory_bytes=memory,
        os=_os_name(kernel),
        kernel=f"{os.uname().sysname} {os.uname().release}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        llama_cpp_build=llama_cpp_build,
        cpu_features=cpu_features,
        governor=governor(kernel),
        on_battery=on_battery(kernel),
        throttled=None,
        usable_cores=usable if logical is None or usable < logical else None,
        memory_limit_bytes=limit if limit and memory and limit < memory else None,
    )


def after(machine: Machine, before: Conditions, end: Conditions) -> Machine:
    """The same machine with what the run between two readings has shown."""
    return msgspec.structs.replace(
        machine,
        throttled=throttled(before, end),
        governor=end.governor,
        on_battery=end.on_battery,
    )


def usable_cores(kernel: KernelFiles = HOST) -> float:
    """How many logical cores this process may keep busy: affinity and CPU quota, the smaller."""
    allowed = float(len(os.sched_getaffinity(0)) if ON_LINUX else os.cpu_count() or 1)
    quota = cgroup.limits(kernel).cpu_cores
    return allowed if quota is None else min(allowed, quota)


def listening_on(port: int) -> str | None:
    """``python (process 4711)``: who takes connections there; None where that cannot be told."""
    import psutil

    try:
        found = psutil.net_connections("tcp")
        listening = (one for one in found if one.status == psutil.CONN_LISTEN)
        pid = next(one.pid for one in listening if getattr(one.laddr, "port", None) == port)
        return None if pid is None else f"{psutil.Process(pid).name()} (process {pid})"
    except (psutil.Error, OSError, StopIteration):
        return None


def addresses() -> tuple[str, ...]:
    """The IPv4 addresses under which other machines may reach this one."""
    import psutil

    every = (one for found in psutil.net_if_addrs().values() for one in found)
    known = dict.fromkeys(one.address for one in every if one.family == socket.AF_INET)
    return tuple(address for address in known if not address.startswith("127."))


def default_threads(kernel: KernelFiles = HOST) -> int:
    """One thread per physical core that this process may use: llama.cpp's own default, which
    leaves out hyper-threads because they share what decoding waits for."""
    physical, logical = _cores(kernel)
    return max(1, min(physical or logical or 1, int(usable_cores(kernel))))


def cpu_flags(kernel: KernelFiles = HOST) -> frozenset[str] | None:
    """What the first CPU can do, by the kernel's names (``avx2``, ``asimddp``); None: unknown."""
    for line in (kernel.text("proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in {"flags", "features"}:
            return frozenset(value.split())
    return None


def cpu_identity(kernel: KernelFiles = HOST) -> tuple[str | None, frozenset[str] | None]:
    """The first CPU's name and :func:`cpu_flags`, from one look at it.

    Not even all of that file is read: the kernel writes it anew for every reader, CPU by CPU, and
    on a large machine that takes longer than anything else here.
    """
    if not ON_LINUX:
        return _cpu_name(kernel), None
    facts: dict[str, str] = {}
    for line in (kernel.text("proc/cpuinfo", most_bytes=_ONE_CPU_BYTES) or "").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip().lower(), value.strip())
    named = ("vendor_id", "cpu family", "model", "stepping", "model name")
    parts = ("cpu implementer", "cpu architecture", "cpu variant", "cpu part", "cpu revision")
    name = "/".join(facts[key] for key in (*named, *parts) if key in facts)
    flags = facts.get("flags") or facts.get("features")
    return name or None, None if flags is None else frozenset(flags.split())


_ONE_CPU_BYTES = 8192


def on_rotating_disk(device: int, kernel: KernelFiles = HOST) -> bool | None:
    """Whether a device (``st_dev``) is a disk that seeks; None: nobody tells.

    Virtual machines call every disk of theirs rotating, so there it is unknown.
    """
    flags = cpu_flags(kernel)
    if not ON_LINUX or (flags and "hypervisor" in flags):
        return None
    block = f"sys/dev/block/{os.major(device)}:{os.minor(device)}"
    for queue in (f"{block}/queue", f"{block}/../queue"):  # a disk's own, or its partition's
        if (rotational := kernel.number(f"{queue}/rotational")) is not None:
            return rotational == 1
    return None


def last_level_cache_bytes(kernel: KernelFiles = HOST) -> int | None:
    """The largest cache of the first core, as far as the machine tells."""
    sizes = [
        int(text[:-1]) * 1024
        for index in kernel.names(f"{_CPUS}/cpu0/cache")
        if (text := kernel.text(f"{_CPUS}/cpu0/cache/{index}/size")) and text[:-1].isdecimal()
    ]
    return max(sizes, default=None)


def _digest(
    cpu: str | None, physical: int | None, logical: int | None, usable: float, memory: int | None
) -> str:
    """Twelve hex digits of what speed depends on.

    Left out is what may change without making results incomparable: versions of the kernel, of
    Python and of this package. Memory counts in steps of 2 GiB, because what the firmware and
    the kernel keep for themselves varies.
    """
    steps = None if memory is None else math.ceil(memory / (2 * GIB))
    facts = [platform.system(), os.uname().machine, cpu, physical, logical, usable, steps]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:12]


def _cpu_name(kernel: KernelFiles) -> str | None:
    if not ON_LINUX:
        return _sysctl("machdep.cpu.brand_string")
    facts: dict[str, str] = {}
    for line in (kernel.text("proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    # ARM kernels give part numbers instead of a name; boards say in the device tree what they are.
    board = kernel.text("proc/device-tree/model")
    model = facts.get("model name") or facts.get("cpu model") or facts.get("cpu")
    if model:
        return " ".join(model.split())
    part = [facts[key] for key in ("CPU implementer", "CPU part") if key in facts]
    return board or (f"{os.uname().machine} {'/'.join(part)}" if part else None)


def _cores(kernel: KernelFiles) -> tuple[int | None, int | None]:
    """(physical, logical) cores that are online."""
    if not ON_LINUX:
        import psutil

        return psutil.cpu_count(logical=False), psutil.cpu_count()
    # Logical cores of one physical core list the same siblings.
    siblings = [
        text
        for cpu in kernel.names(_CPUS)
        if cpu.removeprefix("cpu").isdecimal()
        if (text := kernel.text(f"{_CPUS}/{cpu}/topology/thread_siblings_list"))
    ]
    if siblings:
        return len(set(siblings)), len(siblings)
    return None, os.cpu_count()


def _memory_bytes(kernel: KernelFiles) -> int | None:
    if ON_LINUX:
        return kernel.amounts("proc/meminfo").get("MemTotal")
    import psutil

    return int(psutil.virtual_memory().total)


def _os_name(kernel: KernelFiles) -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    for path in ("etc/os-release", "usr/lib/os-release"):
        for line in (kernel.text(path) or "").splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip("\"'")
    return platform.system()


def _sysctl(name: str) -> str | None:
    """A value of the kernel where it has no files for it."""
    import subprocess

    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
