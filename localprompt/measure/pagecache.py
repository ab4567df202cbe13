"""Whether a file lies in the page cache, and letting it go.

A *cold* load reads the weights from disk, a *warm* one finds them in memory: seconds against
milliseconds. To measure a cold one the kernel is asked to drop the file's pages
(``POSIX_FADV_DONTNEED``), which it does unless they are dirty or mapped by somebody; whether it
did is asked back from ``mincore``. Nothing of this needs privileges.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from localprompt.measure.kernel import ON_LINUX

_COLD_SHARE = 0.02
"""What may be left in memory of a file that counts as cold: its head, which was just read."""
_PROT_READ, _MAP_SHARED = 1, 1


def drop(path: Path) -> bool | None:
    """Let the kernel forget the file's pages.

    Returns:
        True: it is cold now. False: (nearly) all of it stayed. None: a part stayed, or that
        cannot be told here.
    """
    if not hasattr(os, "posix_fadvise"):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        share = _resident_share(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    if share is None or _COLD_SHARE < share < 1 - _COLD_SHARE:
        return None
    return share <= _COLD_SHARE


def _resident_share(descriptor: int, size: int) -> float | None:
    """How much of an open file is in the page cache, 0 to 1; None where nobody tells."""
    if not ON_LINUX or size == 0:
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    )
    address = libc.mmap(None, size, _PROT_READ, _MAP_SHARED, descriptor, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        return None
    try:
        pages = -(-size // os.sysconf("SC_PAGESIZE"))
        present = (ctypes.c_ubyte * pages)()
        if libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), present) != 0:
            return None
        return sum(page & 1 for page in present) / pages
    finally:
        libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
