"""From events and the kernel's counters to figures: times, memory, the machine, statistics.

``timeline``, ``statistics``, ``paired``, ``warnings`` and ``roofline`` are pure; ``memory``,
``machine``, ``conditions`` and ``probe`` look at the machine, through the files of ``kernel`` and
``cgroup``. Only this package imports psutil, and only where the kernel has no such files.
"""
