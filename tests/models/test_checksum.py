from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from localprompt import paths
from localprompt.models import checksum
from localprompt.models.checksum import known_sha256, remember_sha256, sha256_of

CONTENT = b"weights" * 3_000_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def weights(store: Path, tmp_path: Path) -> Path:
    path = tmp_path / "w.gguf"
    path.write_bytes(CONTENT)
    return path


def _hashing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise AssertionError("the file was hashed again")

    monkeypatch.setattr(checksum, "_hash", refuse)


def test_a_file_is_hashed_once(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_sha256(weights) is None
    assert sha256_of(weights) == DIGEST
    _hashing_fails(monkeypatch)
    assert sha256_of(weights) == known_sha256(weights) == DIGEST


def test_progress_ends_at_the_size_of_the_file(weights: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert sha256_of(weights, progress=lambda *at: seen.append(at)) == DIGEST
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_a_changed_file_is_hashed_again(weights: Path) -> None:
    sha256_of(weights)
    weights.write_bytes(CONTENT[:-1] + b"!")
    assert known_sha256(weights) is None
    assert sha256_of(weights) != DIGEST


def test_a_replaced_file_of_the_same_size_and_time_is_hashed_again(weights: Path) -> None:
    import os

    sha256_of(weights)
    status = weights.stat()
    other = weights.with_name("other")
    other.write_bytes(CONTENT[:-1] + b"!")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(weights)
    assert sha256_of(weights) != DIGEST


def test_fresh_hashing_does_not_trust_what_is_remembered(weights: Path) -> None:
    remember_sha256(weights, "f" * 64)
    assert sha256_of(weights) == "f" * 64
    assert sha256_of(weights, fresh=True) == DIGEST
    assert sha256_of(weights) == DIGEST


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"a": 5}', b"\xff\xfe", b"null"])
def test_a_damaged_memory_costs_time_and_nothing_else(weights: Path, damage: bytes) -> None:
    sha256_of(weights)
    memory = paths.cache_folder() / "sha256.json"
    memory.write_bytes(damage)
    assert sha256_of(weights) == DIGEST
    assert known_sha256(weights) == DIGEST


def test_a_remembered_value_that_is_no_hash_is_not_believed(weights: Path) -> None:
    sha256_of(weights)
    memory = paths.cache_folder() / "sha256.json"
    memory.write_text(json.dumps(json.loads(memory.read_text())).replace(DIGEST, "nonsense"))
    assert known_sha256(weights) is None


def test_an_unwritable_home_does_not_keep_a_file_from_being_hashed(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "file" / "home"))
    assert sha256_of(weights) == DIGEST
    assert known_sha256(weights) is None
