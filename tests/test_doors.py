"""What comes in from outside is bounded before it is read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from localprompt import doors
from localprompt.errors import DatasetError, InputError

LONG = "a" * 300


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full", "/dev/null"])
def test_a_device_is_not_a_file(path: str) -> None:
    with pytest.raises(InputError, match="only files are read") as caught:
        doors.read_text(path)
    assert caught.value.found == "a device, not a file"


def test_a_pipe_is_refused_without_waiting_for_its_writer(pipe: Path) -> None:
    with pytest.raises(InputError) as caught:
        doors.read_text(pipe)
    assert caught.value.found == "a pipe, not a file"


def test_stdin_by_its_name_is_read() -> None:
    reading, writing = os.pipe()
    before = os.dup(0)
    os.dup2(reading, 0)
    try:
        os.write(writing, b"text")
        os.close(writing)
        assert doors.read_bytes("/dev/stdin") == b"text"
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reading)


def test_what_is_wrong_with_a_file_is_said_with_the_error_that_was_asked_for(
    tmp_path: Path,
) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(11))
    latin = tmp_path / "latin"
    latin.write_bytes(b"one\ncaf\xe9")
    for path, words in (
        (tmp_path / "absent", "no such file"),
        (tmp_path, "a folder"),
        (large, "too large"),
        (latin, "not UTF-8"),
        (tmp_path / LONG, "cannot read"),
        (Path("nul\0byte"), "only files"),
    ):
        with pytest.raises(DatasetError, match=words):
            doors.read_text(path, raises=DatasetError, most_bytes=10)


@pytest.mark.parametrize("name", [LONG, "x" * 5000, "nul\0byte", "~nobody-of-that-name/x"])
def test_names_that_no_file_can_have_are_just_not_there(name: str) -> None:
    assert not doors.is_file(name)
    assert not doors.is_folder(name)
    assert not doors.exists(name)
    assert str(doors.expand_user(name)) == name


@pytest.mark.parametrize("deep", ["[" * 101 + "]" * 101, '{"a":' * 101 + "1" + "}" * 101,
                                  "[" * 100_000])  # fmt: skip
def test_json_is_not_deeper_than_its_bound(deep: str) -> None:
    with pytest.raises(ValueError, match=r"deeper|Expecting"):
        doors.parse_json(deep)


def test_json_of_many_siblings_is_not_deep() -> None:
    value = [[number] for number in range(1000)]
    assert doors.parse_json(json.dumps(value)) == value
    assert doors.parse_json("[" * 100 + "]" * 100)


def test_numbers_of_thousands_of_digits_are_not_read() -> None:
    with pytest.raises(ValueError, match="digits"):
        doors.parse_json("1" * 4301)


def test_patterns_stand_for_regular_files_in_their_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "deep/er/c.txt", ".hidden.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.mkfifo(tmp_path / "pipe.txt")

    def found(pattern: str) -> list[str]:
        paths = doors.matching(tmp_path, pattern, where="suite.yaml")
        return [path.relative_to(tmp_path).as_posix() for path in paths]

    assert found("*.txt") == ["a.txt", "b.txt"]
    assert found("./**/*.txt") == ["a.txt", "b.txt", "deep/er/c.txt"]
    assert found("deep/*/c.txt") == ["deep/er/c.txt"]
    assert found(f"{tmp_path}/[ab].txt") == ["a.txt", "b.txt"]
    assert found("*" * 300) == ["a.txt", "b.txt"]
    assert found("nothing*") == []


def test_a_pattern_over_too_much_of_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "_MOST_VISITED", 50)
    for number in range(60):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(InputError, match="too many files") as caught:
        doors.matching(tmp_path, "**/*.md", where="suite.yaml:3")
    assert caught.value.where == "suite.yaml:3"
