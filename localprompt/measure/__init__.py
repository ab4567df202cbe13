"""From events and the kernel's counters to figures: times, memory, energy, the machine.

``timeline`` and ``warnings`` are pure; the others look at the machine, ``memory``, ``machine`` and
``conditions`` through the files of ``kernel`` and ``cgroup``. Only this package imports psutil, and
only where the kernel has no such files.
"""
