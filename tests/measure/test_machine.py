"""What a machine is, and what happens on it meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import psutil
import pytest

from localprompt.measure import conditions, machine
from localprompt.measure.kernel import KernelFiles
from tests.measure.machines import LAPTOP, UNIFIED, kernel_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="describes Linux machines")


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelFiles:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    return kernel_of(tmp_path, LAPTOP)


def test_a_laptop_is_described_by_its_files(laptop: KernelFiles) -> None:
    found = machine.describe(
        llama_cpp_build="llama-cpp-python 1.2.3", cpu_features=("AVX2",), kernel=laptop
    )
    assert found.cpu == "Some CPU @ 2.00GHz"
    assert (found.physical_cores, found.logical_cores) == (2, 4)
    assert found.memory_bytes == 16_000_000 * 1024
    assert found.os == "Some OS 12 (name)"
    assert found.llama_cpp_build == "llama-cpp-python 1.2.3"
    assert found.cpu_features == ("AVX2",)
    assert found.governor == "powersave"
    assert found.on_battery is True
    assert found.throttled is None
    assert found.usable_cores is None
    assert found.memory_limit_bytes is None


def test_the_id_survives_what_does_not_change_the_speed(laptop: KernelFiles) -> None:
    again = machine.describe(llama_cpp_build="another", kernel=laptop)
    assert again.id == machine.describe(kernel=laptop).id
    assert len(again.id) == 12


def test_another_cpu_and_fewer_usable_cores_are_other_machines(
    laptop: KernelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {machine.describe(kernel=laptop).id}
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    pinned = machine.describe(kernel=laptop)
    assert pinned.usable_cores == 1
    ids.add(pinned.id)
    (tmp_path / "proc/cpuinfo").write_text("model name : Other CPU\n", encoding="utf-8")
    ids.add(machine.describe(kernel=laptop).id)
    assert len(ids) == 3


def test_a_quota_restricts_the_usable_cores(laptop: KernelFiles, tmp_path: Path) -> None:
    group = "sys/fs/cgroup/work.slice"
    kernel_of(
        tmp_path, {**UNIFIED, f"{group}/cpu.max": "150000 100000", f"{group}/memory.max": "4096"}
    )
    found = machine.describe(kernel=laptop)
    assert found.usable_cores == 1.5
    assert found.memory_limit_bytes == 4096


def test_an_arm_board_is_named_by_its_device_tree(tmp_path: Path) -> None:
    cpuinfo = "processor : 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b"
    kernel = kernel_of(tmp_path, {"proc/cpuinfo": cpuinfo})
    unnamed = machine.describe(kernel=kernel).cpu
    assert unnamed is not None
    assert unnamed.endswith("0x41/0xd0b")
    kernel_of(tmp_path, {"proc/device-tree/model": "Some Board 5"})
    assert machine.describe(kernel=kernel).cpu == "Some Board 5"


def test_a_machine_that_tells_nothing_is_unknown_not_wrong(tmp_path: Path) -> None:
    found = machine.describe(kernel=kernel_of(tmp_path, {}))
    assert (found.cpu, found.physical_cores, found.memory_bytes) == (None, None, None)
    assert (found.governor, found.on_battery) == (None, None)
    assert found.os == "Linux"


def test_the_record_holds_no_host_name(
    laptop: KernelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.uname_result(("Linux", "annas-laptop", "6.1.0", "#1 SMP", "x86_64"))
    monkeypatch.setattr("os.uname", lambda: name)
    found = machine.describe(kernel=laptop)
    assert found.kernel == "Linux 6.1.0"
    assert b"annas-laptop" not in msgspec.json.encode(found)


def test_the_largest_cache_is_the_last_level(laptop: KernelFiles, tmp_path: Path) -> None:
    assert machine.last_level_cache_bytes(laptop) == 8 << 20
    (tmp_path / "sys/devices/system/cpu/cpu0/cache/index3/size").unlink()
    assert machine.last_level_cache_bytes(laptop) == 32 << 10


@pytest.mark.parametrize(
    ("line", "busy", "stolen"),
    [("cpu 1000 200 300 9 50 10 20 70", 15.3, 0.7), ("cpu 1000 200 300 9 50 10 20", None, None)],
)
def test_a_kernel_that_counts_no_guests_tells_who_was_busy_and_an_older_one_does_not(
    laptop: KernelFiles, tmp_path: Path, line: str, busy: float | None, stolen: float | None
) -> None:
    (tmp_path / "proc/stat").write_text(line)
    found = conditions.read(laptop)
    assert found.busy_seconds == pytest.approx(busy)
    assert found.stolen_seconds == pytest.approx(stolen)


@pytest.mark.parametrize(
    ("said", "hertz"),
    [("Unknown", None), ("0.000", None), ("", None), ("2900.000", 2.9e9)],
)
def test_a_kernel_that_does_not_know_a_cpus_frequency_leaves_it_unknown(
    laptop: KernelFiles, tmp_path: Path, said: str, hertz: float | None
) -> None:
    """Linux 6.15 and later write ``cpu MHz : Unknown`` for a CPU that idles or tells nothing."""
    shutil.rmtree(tmp_path / "sys/devices/system/cpu/cpufreq")
    (tmp_path / "proc/cpuinfo").write_text(f"cpu MHz\t\t: {said}\n")
    assert conditions.read(laptop).frequency_hertz == hertz


def test_one_reading_of_a_laptop(laptop: KernelFiles) -> None:
    found = conditions.read(laptop)
    assert found.busy_seconds == pytest.approx(15.3)
    assert found.stolen_seconds == pytest.approx(0.7)
    assert found.throttle_count == 14
    assert found.frequency_hertz == 3.6e9
    assert found.swap_traffic_bytes is not None
    assert found.swap_traffic_bytes % 8 == 0
    assert found.swap_traffic_bytes > 0
    assert found.governor == "powersave"
    assert found.on_battery is True
    assert found.own_seconds > 0


def test_without_cpufreq_the_frequency_is_the_one_of_cpuinfo(tmp_path: Path) -> None:
    kernel = kernel_of(tmp_path, {"proc/cpuinfo": LAPTOP["proc/cpuinfo"]})
    assert conditions.frequency_hertz(kernel) == pytest.approx(1.995e9)
    assert conditions.governor(kernel) is None


def test_mains_beat_a_battery_and_a_mouse_is_no_laptop(tmp_path: Path) -> None:
    supply = "sys/class/power_supply"
    mouse = {
        f"{supply}/hid/type": "Battery",
        f"{supply}/hid/scope": "Device",
        f"{supply}/hid/status": "Discharging",
    }
    kernel = kernel_of(tmp_path, mouse)
    assert conditions.on_battery(kernel) is False
    kernel_of(tmp_path, {f"{supply}/BAT0/type": "Battery", f"{supply}/BAT0/status": "Discharging"})
    assert conditions.on_battery(kernel) is True
    kernel_of(tmp_path, {f"{supply}/AC/type": "Mains", f"{supply}/AC/online": "1"})
    assert conditions.on_battery(kernel) is False


def test_throttling_is_the_growth_of_the_counter(laptop: KernelFiles, tmp_path: Path) -> None:
    before = conditions.read(laptop)
    assert conditions.throttled(before, conditions.read(laptop)) is False
    counter = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    kernel_of(tmp_path, {counter: "5"})
    hot = conditions.read(laptop)
    assert conditions.throttled(before, hot) is True
    assert machine.after(machine.describe(kernel=laptop), before, hot).throttled is True


def test_a_machine_without_counters_does_not_know_whether_it_was_throttled(tmp_path: Path) -> None:
    found = conditions.read(kernel_of(tmp_path, {}))
    assert conditions.throttled(found, found) is None


def test_this_machine_is_described_without_heavy_imports_or_child_processes() -> None:
    script = (
        "import sys\n"
        "from localprompt.measure import conditions, machine, memory, timeline, warnings\n"
        "machine.describe(); conditions.read(); memory.read(); memory.available()\n"
        "print(sorted({'numpy', 'scipy', 'psutil', 'subprocess', 'statistics'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_elsewhere_psutil_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "ON_LINUX", False)
    found = conditions.read()
    assert found.busy_seconds is not None
    assert found.busy_seconds > 0
    assert found.stolen_seconds is None


def test_what_the_cpu_can_do_is_read_from_its_flags(tmp_path: Path) -> None:
    assert machine.cpu_flags(KernelFiles(tmp_path)) is None
    for text in ("flags\t: fpu avx2\n", "Features\t: fpu avx2\nFeatures : other\n"):
        kernel = kernel_of(tmp_path, {"proc/cpuinfo": text})
        assert machine.cpu_flags(kernel) == frozenset({"fpu", "avx2"})


def test_a_partition_is_on_its_disk_and_virtual_disks_are_unknown(tmp_path: Path) -> None:
    rotational = {"sys/dev/block/8:1/start": "1", "sys/dev/block/queue/rotational": "1"}
    device = os.makedev(8, 1)
    assert machine.on_rotating_disk(device, KernelFiles(tmp_path)) is None
    kernel = kernel_of(tmp_path, rotational)
    assert machine.on_rotating_disk(device, kernel) is True
    kernel_of(tmp_path, {"sys/dev/block/8:1/queue/rotational": "0"})
    assert machine.on_rotating_disk(device, kernel) is False
    kernel_of(tmp_path, {"proc/cpuinfo": "flags : hypervisor\n"})
    assert machine.on_rotating_disk(device, kernel) is None


def test_who_listens_on_a_port_is_not_who_merely_talks_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one(status: str, port: int, pid: int | None) -> SimpleNamespace:
        return SimpleNamespace(status=status, laddr=SimpleNamespace(port=port), pid=pid)

    talking, other = one(psutil.CONN_ESTABLISHED, 8000, 1), one(psutil.CONN_LISTEN, 8001, 1)
    listening = one(psutil.CONN_LISTEN, 8000, os.getpid())
    monkeypatch.setattr("psutil.net_connections", lambda kind: [talking, other, listening])
    found = machine.listening_on(8000)
    assert found == f"{psutil.Process().name()} (process {os.getpid()})"
    assert machine.listening_on(8002) is None
