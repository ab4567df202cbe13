from __future__ import annotations

import os
from pathlib import Path

import pytest

from localprompt.measure import pagecache
from localprompt.measure.kernel import ON_LINUX

pytestmark = pytest.mark.skipif(not ON_LINUX, reason="only Linux tells what is in its page cache")


def resident(path: Path) -> float | None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return pagecache._resident_share(descriptor, path.stat().st_size)
    finally:
        os.close(descriptor)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Four MiB on disk and in memory."""
    path = tmp_path / "weights"
    with path.open("wb") as stream:
        stream.write(os.urandom(4 << 20))
        stream.flush()
        os.fsync(stream.fileno())
    return path


def test_a_file_that_was_just_read_is_resident(file: Path) -> None:
    file.read_bytes()
    assert resident(file) == 1.0


def test_what_is_called_cold_is_out_of_memory(file: Path) -> None:
    file.read_bytes()
    cold = pagecache.drop(file)
    # On a file system without a disk the pages are all there is, and stay.
    share = resident(file)
    assert share is not None
    assert cold is (share < 0.5)


def test_a_file_that_is_not_there_is_neither_cold_nor_warm(tmp_path: Path) -> None:
    assert pagecache.drop(tmp_path / "nothing") is None
