"""Keeping, finding, evicting and deleting, with whatever else lies in the folder."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import signal
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from localprompt.errors import InputError, LocalPromptError, MachineError, NotEnoughDiskError
from localprompt.running.prefix import store as store_module
from localprompt.running.prefix.seal import SEAL_BYTES
from localprompt.running.prefix.store import (
    DEFAULT_LIMIT_BYTES,
    LIMIT_VARIABLE,
    PrefixStore,
    limit_bytes,
    prune,
)

KEYS = tuple(f"{n:02x}" * 32 for n in range(8))
STATE = b"state" * 20
ENTRY_BYTES = len(STATE) + SEAL_BYTES


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "home" / "cache" / "prefixes"


def _keep(store: PrefixStore, key: str, state: bytes = STATE) -> None:
    draft = store.draft(key, len(state))
    draft.path.write_bytes(state)
    draft.keep()


def _names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def test_what_was_kept_is_found_by_its_key_alone(place: Path) -> None:
    store = PrefixStore(place)
    assert store.find(KEYS[0]) is None
    _keep(store, KEYS[0])
    found = PrefixStore(place).find(KEYS[0])
    assert found is not None
    assert found.read_bytes().startswith(STATE)
    assert store.find(KEYS[1]) is None
    assert _names(place) == {f"{KEYS[0]}.state"}


def test_only_the_user_can_read_it(place: Path) -> None:
    place.mkdir(parents=True, mode=0o755)
    _keep(PrefixStore(place), KEYS[0])
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE((place / f"{KEYS[0]}.state").stat().st_mode) == 0o600


def test_a_draft_is_not_found_until_it_is_kept_and_gone_when_it_is_discarded(place: Path) -> None:
    store = PrefixStore(place)
    draft = store.draft(KEYS[0], 10)
    draft.path.write_bytes(STATE)
    assert store.find(KEYS[0]) is None
    assert stat.S_IMODE(draft.path.stat().st_mode) == 0o600
    draft.discard()
    assert _names(place) == set()


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "copied"])
def test_a_broken_file_is_ignored_and_removed(place: Path, damage: str) -> None:
    store = PrefixStore(place)
    _keep(store, KEYS[0])
    path = place / f"{KEYS[0]}.state"
    whole = path.read_bytes()
    key = KEYS[1] if damage == "copied" else KEYS[0]
    broken = {
        "flipped": bytes([whole[0] ^ 1]) + whole[1:],
        "cut": whole[:-1],
        "empty": b"",
        "copied": whole,
    }[damage]
    (place / f"{key}.state").write_bytes(broken)
    assert store.find(key) is None
    assert not (place / f"{key}.state").exists()


def test_what_is_not_a_file_of_ours_is_left_alone(place: Path, tmp_path: Path) -> None:
    store = PrefixStore(place)
    _keep(store, KEYS[0])
    elsewhere = tmp_path / "elsewhere"
    shutil.copy(place / f"{KEYS[0]}.state", elsewhere)
    (place / f"{KEYS[1]}.state").symlink_to(elsewhere)
    (place / f"{KEYS[2]}.state").mkdir()
    os.mkfifo(place / f"{KEYS[3]}.state")
    (place / "notes.txt").write_text("mine")
    for key in KEYS[1:4]:
        assert store.find(key) is None
    assert prune(place=place).prefixes == 1
    assert elsewhere.exists()
    assert len(_names(place)) == 4


def test_the_least_recently_used_go_first(place: Path) -> None:
    store = PrefixStore(place, most_bytes=3 * ENTRY_BYTES)
    for age, key in enumerate(KEYS[:3]):
        _keep(store, key)
        os.utime(place / f"{key}.state", (1000 + age, 1000 + age))
    assert store.find(KEYS[0]) is not None
    _keep(store, KEYS[3])
    assert {key for key in KEYS if store.find(key)} == {KEYS[0], KEYS[2], KEYS[3]}


def test_a_state_that_is_larger_than_the_limit_is_refused_and_evicts_nothing(place: Path) -> None:
    store = PrefixStore(place, most_bytes=2 * ENTRY_BYTES)
    _keep(store, KEYS[0])
    with pytest.raises(NotEnoughDiskError):
        store.draft(KEYS[1], 2 * ENTRY_BYTES + 1)
    grown = store.draft(KEYS[1], 1)
    grown.path.write_bytes(STATE * 4)
    with pytest.raises(NotEnoughDiskError):
        grown.keep()
    assert _names(place) == {f"{KEYS[0]}.state"}


def test_a_disk_that_is_nearly_full_is_not_filled(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearly = shutil.disk_usage("/")._replace(free=store_module.KEPT_FREE_BYTES + 5)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: nearly)
    store = PrefixStore(place)
    store.draft(KEYS[0], 5).discard()
    with pytest.raises(NotEnoughDiskError, match="not enough disk space"):
        store.draft(KEYS[0], 6)


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(place: Path) -> None:
    place.parent.parent.mkdir()
    place.parent.write_text("a file where the folder should be")
    store = PrefixStore(place)
    assert store.find(KEYS[0]) is None
    with pytest.raises(MachineError, match="cannot write"):
        store.draft(KEYS[0], 1)


def _keep_many_times(place: Path, times: int) -> None:
    store = PrefixStore(place)
    for _ in range(times):
        _keep(store, KEYS[0])


def _write_and_die(place: Path) -> None:
    draft = PrefixStore(place).draft(KEYS[0], 10)
    draft.path.write_bytes(STATE)
    os.kill(os.getpid(), signal.SIGKILL)


def test_two_processes_that_keep_the_same_state_do_not_disturb_each_other(place: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_keep_many_times, args=(place, 200)) for _ in range(2)]
    for other in others:
        other.start()
    store = PrefixStore(place)
    found = 0
    while any(other.is_alive() for other in others):
        path = store.find(KEYS[0])
        found += path is not None
        assert path is not None or not found  # once there, it is never gone or broken
        time.sleep(0.0005)
    assert found  # the others were still writing when it was there
    assert [other.exitcode for other in others] == [0, 0]
    assert _names(place) == {f"{KEYS[0]}.state"}


def test_a_draft_that_is_taken_for_abandoned_before_it_is_locked_is_begun_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, lock = PrefixStore(place), fcntl.flock
    removed: list[int] = []

    def late(descriptor: int, how: int) -> None:
        if not removed:
            removed.append(0)
            removed[0] = PrefixStore(place).remove_abandoned() or len(list(place.iterdir()))
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    _keep(store, KEYS[0])
    assert removed == [0]  # an empty file, and nothing beside it
    assert store.find(KEYS[0]) is not None
    assert _names(place) == {f"{KEYS[0]}.state"}


def test_a_kill_leaves_nothing_that_is_found_and_the_next_one_cleans_up(place: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    killed = spawn.Process(target=_write_and_die, args=(place,))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    (left,) = _names(place)
    assert left.endswith(".part")
    store = PrefixStore(place)
    assert store.find(KEYS[0]) is None
    writing = store.draft(KEYS[1], 10)
    assert _names(place) == {writing.path.name}
    store.draft(KEYS[2], 10).discard()  # does not take what is being written for abandoned
    assert _names(place) == {writing.path.name}
    writing.discard()


def test_pruning_deletes_all_or_what_was_not_used_since(place: Path) -> None:
    store = PrefixStore(place)
    for key in KEYS[:3]:
        _keep(store, key)
    long_ago = datetime.now(UTC) - timedelta(days=40)
    os.utime(place / f"{KEYS[0]}.state", (long_ago.timestamp(),) * 2)
    since = datetime.now(UTC) - timedelta(days=30)
    tried = prune(older_than=since, dry_run=True, place=place)
    assert (tried.prefixes, tried.prefixes_left, tried.freed_bytes) == (1, 2, ENTRY_BYTES)
    assert len(_names(place)) == 3
    assert prune(older_than=since, place=place) == tried
    assert prune(place=place).prefixes == 2
    assert _names(place) == set()
    assert prune(place=place).prefixes == 0


def test_the_limit_is_a_size_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    assert limit_bytes() == DEFAULT_LIMIT_BYTES
    monkeypatch.setenv(LIMIT_VARIABLE, "64MiB")
    assert limit_bytes() == 64 * 1024**2
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    with pytest.raises(InputError) as caught:
        limit_bytes()
    assert isinstance(caught.value, LocalPromptError)
    assert caught.value.where == LIMIT_VARIABLE
