"""What appears under its name is whole, whatever happens while it is written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from localprompt import files
from localprompt.files import give_place, make_file, replace_file, written_whole


def test_a_file_is_as_it_was_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")
    with written_whole(path) as file:
        file.write("after")
        file.flush()
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("before", [None, "before"])
def test_what_is_interrupted_leaves_what_was_there(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "out.csv"
    if before is not None:
        path.write_text(before)

    def cut_off() -> None:
        with written_whole(path) as file:
            file.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert [one.read_text() for one in tmp_path.iterdir()] == ([] if before is None else [before])


def test_two_threads_of_a_process_replace_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cache.json"

    def between(draft: Path, target: Path) -> None:
        monkeypatch.setattr(files, "give_place", give_place)
        replace_file(path, b"the other's")
        give_place(draft, target)

    monkeypatch.setattr(files, "give_place", between)
    replace_file(path, b"one's")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {path.name: b"one's"}


def test_rights_stay_and_new_files_have_those_of_the_umask(tmp_path: Path) -> None:
    closed, new = tmp_path / "closed", tmp_path / "new"
    closed.touch(mode=0o640)
    closed.chmod(0o640)
    before = os.umask(0o027)
    try:
        for path in (closed, new):
            with written_whole(path) as file:
                file.write("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o640
    assert stat.S_IMODE(new.stat().st_mode) == 0o640


def test_a_link_stays_one_and_other_names_of_a_file_stay_its_names(tmp_path: Path) -> None:
    target, link, other = tmp_path / "target", tmp_path / "link", tmp_path / "other"
    target.write_text("before")
    link.symlink_to(target)
    with written_whole(link) as file:
        file.write("after")
    assert link.is_symlink()
    assert target.read_text() == "after"
    other.hardlink_to(target)
    with written_whole(other) as file:
        file.write("again")
    assert target.read_text() == "again"


def test_a_device_is_written_where_it_is(tmp_path: Path) -> None:
    with written_whole(Path("/dev/null")) as file:
        file.write("x")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(IsADirectoryError), written_whole(tmp_path):
        pytest.fail("a folder was opened")


def test_what_is_open_is_written_by_its_name(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with written_whole(Path(f"/dev/fd/{writing}")) as file:
        file.write("x")
    assert os.read(reading, 10) == b"x"
    for one in (reading, writing):
        os.close(one)
    there = tmp_path / "out"
    with there.open("w") as held:
        with written_whole(Path(f"/proc/self/fd/{held.fileno()}")) as file:
            file.write("x")
        assert os.fstat(held.fileno()).st_ino == there.stat().st_ino
    assert there.read_text() == "x"


def test_a_name_that_no_file_can_have_is_refused_by_the_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"), written_whole(tmp_path / ("a" * 300)):
        pytest.fail("it was opened")
    long = tmp_path / ("a" * 250)
    with written_whole(long) as file:
        file.write("x")
    assert long.read_text() == "x"


def test_a_new_file_takes_nobodys_place(tmp_path: Path) -> None:
    path = tmp_path / "made"
    make_file(path, b"one")
    with pytest.raises(FileExistsError):
        make_file(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_is_made_on_disks_without_second_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    make_file(tmp_path / "made", b"one")
    with pytest.raises(FileExistsError):
        make_file(tmp_path / "made", b"two")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"one"]
