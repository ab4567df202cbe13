"""Reading what kernels write, and surviving what they do not."""

from __future__ import annotations

from pathlib import Path

from tests.measure.machines import kernel_of


def test_amounts_in_kilobytes_become_bytes_and_counts_stay(tmp_path: Path) -> None:
    kernel = kernel_of(tmp_path, {"proc/x": "VmRSS:\t  12 kB\npages 7\nName: some thing\n\nodd"})
    assert kernel.amounts("proc/x") == {"VmRSS": 12 * 1024, "pages": 7}


def test_what_is_missing_is_unknown_and_not_an_error(tmp_path: Path) -> None:
    kernel = kernel_of(tmp_path, {"sys/limit": "max"})
    assert kernel.text("sys/none") is None
    assert kernel.text("sys") is None  # a folder
    assert kernel.number("sys/limit") is None
    assert kernel.amounts("sys/none") == {}
    assert kernel.names("sys/none") == []
    assert kernel.names("sys") == ["limit"]


def test_bytes_that_are_no_text_do_not_raise(tmp_path: Path) -> None:
    kernel = kernel_of(tmp_path, {})
    (tmp_path / "model").write_bytes(b"Board \xff\0")
    assert kernel.text("model") == "Board �"
