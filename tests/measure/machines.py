"""Machines that the tests do not run on, as the files that their kernels would show."""

from __future__ import annotations

from pathlib import Path

from localprompt.measure.kernel import KernelFiles


def kernel_of(root: Path, files: dict[str, str]) -> KernelFiles:
    """A machine with these files; paths without the leading slash."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n", encoding="utf-8")
    return KernelFiles(root)


UNIFIED = {
    "proc/self/cgroup": "0::/work.slice/bench.scope",
    "proc/self/mountinfo": "35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
}

SPLIT = {
    "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/docker/abc",
    "proc/self/mountinfo": "\n".join(
        [
            "33 32 0:28 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory",
            "34 32 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct",
        ]
    ),
}

LAPTOP = {
    "proc/cpuinfo": "processor : 0\nmodel name\t: Some CPU   @ 2.00GHz\ncpu MHz\t\t: 1995.000",
    "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n"
    "SwapTotal: 2000000 kB\nSwapFree: 1500000 kB",
    "proc/stat": "cpu  1000 200 300 90000 50 10 20 70 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0",
    "proc/vmstat": "pswpin 3\npswpout 5",
    "etc/os-release": 'NAME="Some OS"\nPRETTY_NAME="Some OS 12 (name)"',
    "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0,2",
    "sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "1,3",
    "sys/devices/system/cpu/cpu2/topology/thread_siblings_list": "0,2",
    "sys/devices/system/cpu/cpu3/topology/thread_siblings_list": "1,3",
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "4",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "10",
    "sys/devices/system/cpu/cpu0/cache/index0/size": "32K",
    "sys/devices/system/cpu/cpu0/cache/index3/size": "8192K",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "powersave",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1800000",
    "sys/devices/system/cpu/cpufreq/policy1/scaling_governor": "powersave",
    "sys/devices/system/cpu/cpufreq/policy1/scaling_cur_freq": "3600000",
    "sys/class/power_supply/AC/type": "Mains",
    "sys/class/power_supply/AC/online": "0",
    "sys/class/power_supply/BAT0/type": "Battery",
    "sys/class/power_supply/BAT0/status": "Discharging",
}
