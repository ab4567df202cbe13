"""A sealed file is whole, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.running.prefix import seal
from localprompt.running.prefix.seal import SEAL_BYTES, Verdict, append_seal, examine

KEY, OTHER_KEY = "ab" * 32, "cd" * 32


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seal") / "one.state"


def _verdict(path: Path, key: str = KEY) -> Verdict:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return examine(descriptor, key)
    finally:
        os.close(descriptor)


def _sealed(path: Path, state: bytes) -> bytes:
    path.write_bytes(state)
    append_seal(path, KEY)
    return path.read_bytes()


@given(state=st.binary(max_size=200))
def test_what_was_sealed_is_whole_and_begins_with_the_state(path: Path, state: bytes) -> None:
    data = _sealed(path, state)
    assert data[:-SEAL_BYTES] == state
    assert _verdict(path) is Verdict.WHOLE
    assert _verdict(path, OTHER_KEY) is Verdict.BROKEN


@given(state=st.binary(min_size=1, max_size=200), data=st.data())
def test_one_flipped_bit_is_found(path: Path, state: bytes, data: st.DataObject) -> None:
    whole = bytearray(_sealed(path, state))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    path.write_bytes(whole)
    assert _verdict(path) is Verdict.BROKEN


@given(state=st.binary(max_size=200), data=st.data())
def test_a_file_cut_off_anywhere_or_with_more_behind_it_is_broken(
    path: Path, state: bytes, data: st.DataObject
) -> None:
    whole = _sealed(path, state)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert _verdict(path) is Verdict.BROKEN
    path.write_bytes(whole + b"x")
    assert _verdict(path) is Verdict.BROKEN


def test_a_state_of_many_chunks_is_read_to_its_end(path: Path) -> None:
    whole = bytearray(_sealed(path, bytes(3 * 1024**2 + 5)))
    assert _verdict(path) is Verdict.WHOLE
    whole[3 * 1024**2 + 4] = 1
    path.write_bytes(whole)
    assert _verdict(path) is Verdict.BROKEN


def test_a_file_of_another_format_version_is_not_called_broken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "FORMAT_VERSION", 2)
    _sealed(path, b"from the future")
    monkeypatch.undo()
    assert _verdict(path) is Verdict.OTHER_VERSION
