"""For which machines the wheels are: from what was asked, and from the wheels themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.bundling.target import glibc_minor, target_of, wanted_target
from localprompt.errors import InputError
from tests.bundling.wheelhouse import write_wheel


@pytest.mark.parametrize(
    ("tag", "minor"),
    [
        ("py3-none-any", None),
        ("cp311-cp311-manylinux_2_28_x86_64", 28),
        ("cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64", 17),
        ("cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64", 27),
        ("cp36-abi3-manylinux1_x86_64", 5),
        ("cp311-cp311-macosx_11_0_arm64", None),
    ],
)
def test_a_wheel_s_tags_say_which_c_library_it_needs(
    tmp_path: Path, tag: str, minor: int | None
) -> None:
    assert glibc_minor(write_wheel(tmp_path, "some", tag=tag)) == minor


def test_a_wheel_that_was_compiled_here_says_it_by_its_symbols(tmp_path: Path) -> None:
    library = b"\x7fELF...GLIBC_2.17\0GLIBC_2.34\0GLIBC_2.2.5\0GLIBCXX_3.4.30"
    wheel = write_wheel(
        tmp_path, "some", files={"some/lib/libx.so": library}, tag="py3-none-linux_x86_64"
    )
    assert glibc_minor(wheel) == 34


def test_the_target_is_what_all_wheels_run_on(tmp_path: Path) -> None:
    wheels = [
        write_wheel(tmp_path, "one", tag="cp312-cp312-manylinux_2_28_aarch64"),
        write_wheel(tmp_path, "two", tag="cp312-cp312-manylinux_2_17_aarch64"),
        write_wheel(tmp_path, "three"),
    ]
    target = target_of(wanted_target("3.12", ["manylinux_2_28_aarch64"]), wheels)
    assert (target.system, target.machine) == ("linux", "aarch64")
    assert (target.python, target.glibc) == ("3.12", "2.28")


def test_nothing_asked_is_this_machine() -> None:
    assert wanted_target(None, ()).is_here


@pytest.mark.parametrize(
    ("python", "platforms"),
    [("4", ()), ("3.11.7", ()), (None, ("windows",)), (None, ("linux_x86_64", "linux_aarch64"))],
)
def test_what_is_no_target_is_refused(python: str | None, platforms: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        wanted_target(python, platforms)
