"""What a container or a service manager allows this process: memory and CPU.

In a container the machine's own figures promise too much: what counts is the control group.
A process is in a chain of groups, from its own up to the root, and the tightest one binds.
Version 2 has one hierarchy, version 1 one for each controller, and both may be mounted at once;
where they are mounted stands in ``/proc/self/mountinfo`` and which group is ours in
``/proc/self/cgroup``. (Kernel documentation: admin-guide/cgroup-v2, admin-guide/cgroup-v1.)
"""

from __future__ import annotations

from typing import Literal

import msgspec

from localprompt.measure.kernel import HOST, KernelFiles, as_number

Controller = Literal["memory", "cpu"]

# Version 1 writes "no limit" as the largest multiple of a page: more than any machine has.
_NO_LIMIT = 2**60


class Limits(msgspec.Struct, frozen=True):
    """What the control groups allow; None where nothing is limited."""

    memory_limit_bytes: int | None = None
    memory_available_bytes: int | None = None
    """The limit, less what is charged to the group, plus the page cache in it that the kernel
    would give up: the same idea as MemAvailable."""
    cpu_cores: float | None = None
    """CPU time per time that the quota allows: 1.5 is one and a half cores."""


class _Group(msgspec.Struct, frozen=True):
    folder: str
    version: Literal[1, 2]


def limits(kernel: KernelFiles = HOST) -> Limits:
    """The tightest limits on the way from this process's group to the root."""
    memory = [room for group in _chain(kernel, "memory") if (room := _memory(kernel, group))]
    quotas = [cores for group in _chain(kernel, "cpu") if (cores := _quota(kernel, group))]
    return Limits(
        memory_limit_bytes=min((limit for limit, _ in memory), default=None),
        memory_available_bytes=min((available for _, available in memory), default=None),
        cpu_cores=min(quotas, default=None),
    )


def quota_wait_seconds(kernel: KernelFiles = HOST) -> float | None:
    """How long the group's tasks have waited for the next period because the quota was spent.

    Grows for ever; compare two readings. None where no quota is set or the kernel does not say.
    """
    waits = []
    for group in _chain(kernel, "cpu"):
        if _quota(kernel, group) is None:
            continue
        stat = kernel.amounts(f"{group.folder}/cpu.stat")
        if group.version == 2 and "throttled_usec" in stat:
            waits.append(stat["throttled_usec"] / 1e6)
        elif group.version == 1 and "throttled_time" in stat:
            waits.append(stat["throttled_time"] / 1e9)
    return max(waits, default=None)


def _memory(kernel: KernelFiles, group: _Group) -> tuple[int, int] | None:
    """(limit, available) of one group, or None where it sets no limit."""
    # Version 2 counts a group with everything below it; version 1 has extra keys for that.
    if group.version == 2:
        limit_file, usage_file, prefix = "memory.max", "memory.current", ""
    else:
        limit_file, usage_file, prefix = (
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_",
        )
    limit = kernel.number(f"{group.folder}/{limit_file}")
    if limit is None or limit >= _NO_LIMIT:
        return None
    used = kernel.number(f"{group.folder}/{usage_file}") or 0
    stat = kernel.amounts(f"{group.folder}/memory.stat")
    cached = stat.get(f"{prefix}active_file", 0) + stat.get(f"{prefix}inactive_file", 0)
    return limit, max(0, min(limit, limit - used + cached))


def _quota(kernel: KernelFiles, group: _Group) -> float | None:
    if group.version == 2:
        text = kernel.text(f"{group.folder}/cpu.max") or ""
        quota, period = (*(as_number(word) for word in text.split()), None, None)[:2]
    else:
        quota = kernel.number(f"{group.folder}/cpu.cfs_quota_us")
        period = kernel.number(f"{group.folder}/cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _chain(kernel: KernelFiles, controller: Controller) -> list[_Group]:
    """This process's group and its parents, as folders, up to where they are mounted."""
    memberships = [
        line.split(":", 2)
        for line in (kernel.text("proc/self/cgroup") or "").splitlines()
        if line.count(":") >= 2
    ]
    # A controller is in one hierarchy only: in version 2 unless version 1 has claimed it.
    for _, names, path in memberships:
        if controller in names.split(","):
            return _folders(kernel, controller, path, version=1)
    for _, names, path in memberships:
        if not names:
            return _folders(kernel, controller, path, version=2)
    return []


def _folders(
    kernel: KernelFiles, controller: Controller, path: str, *, version: Literal[1, 2]
) -> list[_Group]:
    for line in (kernel.text("proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if version == 2 and kind[0] != "cgroup2":
            continue
        if version == 1 and (kind[0] != "cgroup" or controller not in kind[2].split(",")):
            continue
        mounted, mount_point = fields[3].rstrip("/"), fields[4].strip("/")
        # In a container the mount shows a part of the tree: what is above it cannot be seen,
        # and a path that is not below it means that the group itself is mounted.
        inside = f"{path}/".startswith(f"{mounted}/")
        below = path[len(mounted) :] if inside else ""
        parts = [part for part in below.split("/") if part]
        return [
            _Group("/".join([mount_point, *parts[:depth]]), version)
            for depth in range(len(parts), -1, -1)
        ]
    return []
