"""Limits of containers, on kernels with one hierarchy and with many."""

from __future__ import annotations

from pathlib import Path

from localprompt.measure.cgroup import Limits, limits, quota_wait_seconds
from tests.measure.machines import SPLIT, UNIFIED, kernel_of

GROUP = "sys/fs/cgroup/work.slice/bench.scope"
PARENT = "sys/fs/cgroup/work.slice"


def test_a_machine_without_groups_limits_nothing(tmp_path: Path) -> None:
    assert limits(kernel_of(tmp_path, {})) == Limits()
    assert quota_wait_seconds(kernel_of(tmp_path, {})) is None


def test_version_two_counts_page_cache_as_available(tmp_path: Path) -> None:
    kernel = kernel_of(
        tmp_path,
        {
            **UNIFIED,
            f"{GROUP}/memory.max": "1000000",
            f"{GROUP}/memory.current": "700000",
            f"{GROUP}/memory.stat": "anon 300000\nactive_file 150000\ninactive_file 250000",
            f"{GROUP}/cpu.max": "150000 100000",
            f"{GROUP}/cpu.stat": "usage_usec 9\nthrottled_usec 2500000",
        },
    )
    assert limits(kernel) == Limits(1_000_000, 700_000, 1.5)
    assert quota_wait_seconds(kernel) == 2.5


def test_the_tightest_group_on_the_way_to_the_root_binds(tmp_path: Path) -> None:
    kernel = kernel_of(
        tmp_path,
        {
            **UNIFIED,
            f"{GROUP}/memory.max": "max",
            f"{GROUP}/cpu.max": "max 100000",
            f"{PARENT}/memory.max": "5000",
            f"{PARENT}/memory.current": "4000",
            f"{PARENT}/cpu.max": "50000 100000",
        },
    )
    assert limits(kernel) == Limits(5000, 1000, 0.5)


def test_version_one_in_a_container_that_sees_only_its_own_group(tmp_path: Path) -> None:
    memory, cpu = "sys/fs/cgroup/memory", "sys/fs/cgroup/cpu"
    kernel = kernel_of(
        tmp_path,
        {
            **SPLIT,
            f"{memory}/memory.limit_in_bytes": "2000000",
            f"{memory}/memory.usage_in_bytes": "1500000",
            f"{memory}/memory.stat": "active_file 1\ntotal_active_file 100000\n"
            "total_inactive_file 200000",
            f"{cpu}/cpu.cfs_quota_us": "200000",
            f"{cpu}/cpu.cfs_period_us": "100000",
            f"{cpu}/cpu.stat": "nr_throttled 4\nthrottled_time 1500000000",
        },
    )
    assert limits(kernel) == Limits(2_000_000, 800_000, 2.0)
    assert quota_wait_seconds(kernel) == 1.5


def test_version_ones_largest_number_means_no_limit(tmp_path: Path) -> None:
    kernel = kernel_of(
        tmp_path,
        {
            **SPLIT,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )
    assert limits(kernel) == Limits()


def test_a_group_above_its_limit_has_nothing_left_rather_than_less(tmp_path: Path) -> None:
    kernel = kernel_of(
        tmp_path,
        {**UNIFIED, f"{GROUP}/memory.max": "1000", f"{GROUP}/memory.current": "1200"},
    )
    assert limits(kernel).memory_available_bytes == 0


def test_a_mount_of_another_group_with_a_similar_name_is_taken_as_it_is(tmp_path: Path) -> None:
    kernel = kernel_of(
        tmp_path,
        {
            "proc/self/cgroup": "0::/docker2/x",
            "proc/self/mountinfo": "35 24 0:30 /docker /mnt/cg rw - cgroup2 cgroup2 rw",
            "mnt/cg/memory.max": "77",
            "mnt/cg/2/x/memory.max": "1",
        },
    )
    assert limits(kernel).memory_limit_bytes == 77


def test_a_group_whose_hierarchy_is_not_mounted_limits_nothing(tmp_path: Path) -> None:
    elsewhere = "35 24 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs rw"
    kernel = kernel_of(tmp_path, {**UNIFIED, "proc/self/mountinfo": elsewhere})
    assert limits(kernel) == Limits()
    assert quota_wait_seconds(kernel) is None
