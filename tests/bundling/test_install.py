"""What a bundle has for the home arrives whole, or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from localprompt.bundling.check import read_bundle
from localprompt.bundling.install import install
from localprompt.bundling.make import Made
from localprompt.bundling.rules import MANIFEST
from localprompt.errors import ChecksumError, InputError, MachineError, NotEnoughDiskError
from localprompt.evaluate.loading import _suite_file
from localprompt.files import for_all_users
from localprompt.models.store import add_model, verify_model
from localprompt.records.bundle import BundledModel
from localprompt.records.model import Licence
from localprompt.sources.prompt.search import load_named_prompt
from tests.bundling.archives import GOOD, manifest_of, packed
from tests.bundling.test_make import _Usage
from tests.models.tiny_gguf import METADATA, tiny_gguf


def _files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] != "cache"
    }


def test_models_prompts_and_suites_can_be_used(far: Path, made: Made) -> None:
    done = install(made.path)
    assert done.models == ("tiny",)
    assert done.unchanged == 0
    assert verify_model("tiny").weights == far / "models" / "tiny.gguf"
    assert load_named_prompt("say").path == str(far / "prompts" / "say.prompty")
    assert _suite_file("colours.yaml") == far / "benchmarks" / "colours.yaml"
    assert _files(far) == set(done.new)


def test_installing_again_changes_nothing(far: Path, made: Made) -> None:
    first = install(made.path)
    again = install(made.path)
    assert (again.new, again.unchanged) == ((), len(first.new))


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
def test_in_the_store_for_all_it_can_be_read_by_all_whatever_the_umask(
    far: Path, made: Made, tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = tmp_path / "common"
    monkeypatch.setenv("LOCALPROMPT_SHARED", str(common))
    before = os.umask(umask)
    try:
        with for_all_users(True):
            done = install(made.path)
    finally:
        os.umask(before)
    assert "models/tiny.gguf" in done.new
    for place in done.new:
        assert (common / place).stat().st_mode & 0o777 == 0o644, place
        assert (common / place).parent.stat().st_mode & 0o777 == 0o755, place
    assert verify_model("tiny").weights == common / "models" / "tiny.gguf"
    assert not far.exists() or not (far / "models").exists()


def test_an_unpacked_bundle_is_as_good(far: Path, made: Made, tmp_path: Path) -> None:
    shutil.unpack_archive(made.path, tmp_path / "unpacked")
    assert install(tmp_path / "unpacked" / "kit").models == ("tiny",)
    assert "models/tiny.gguf" in _files(far)


def test_a_file_of_the_user_is_not_overwritten_unless_they_say_so(far: Path, made: Made) -> None:
    mine = far / "prompts" / "say.prompty"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match="would be overwritten") as caught:
        install(made.path)
    assert caught.value.where == str(mine)
    assert _files(far) == {"prompts/say.prompty"}
    install(made.path, replace=True)
    assert load_named_prompt("say").name == "say"


def test_weights_of_another_model_are_not_overwritten(far: Path, made: Made) -> None:
    theirs = far / "models" / "tiny.gguf"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(tiny_gguf(METADATA | {"general.name": "Mine"}))
    before = theirs.read_bytes()
    add_model(theirs, name="mine")
    with pytest.raises(InputError, match="would overwrite the weights of mine"):
        install(made.path, replace=True)
    assert theirs.read_bytes() == before


def test_weights_that_are_the_users_are_not_overwritten_under_any_name(
    far: Path, made: Made
) -> None:
    install(made.path)
    weights = far / "models" / "tiny.gguf"
    (far / "models" / "tiny.toml").unlink()
    weights.write_bytes(tiny_gguf({**METADATA, "general.name": "My own"}))
    before = weights.read_bytes()
    add_model(weights, name="tiny")
    with pytest.raises(InputError, match="weights of tiny, which are yours"):
        install(made.path, replace=True)
    assert weights.read_bytes() == before
    assert verify_model("tiny").weights == weights


def test_one_flipped_bit_is_named_with_its_file_and_nothing_is_installed(
    far: Path, made: Made
) -> None:
    data = bytearray(made.path.read_bytes())
    at = data.index(b"Say {{ text }}", data.index(b"name: say"))
    data[at] ^= 4
    made.path.write_bytes(data)
    with pytest.raises(ChecksumError, match="damaged") as caught:
        install(made.path)
    assert str(caught.value.where).endswith("kit.tar: home/prompts/say.prompty")
    assert _files(far) == set()


@pytest.mark.parametrize("kept", [0, 100, 600, 5000, -1, -1024])
def test_a_bundle_that_was_cut_off_installs_nothing(far: Path, made: Made, kept: int) -> None:
    made.path.write_bytes(made.path.read_bytes()[:kept])
    with pytest.raises(MachineError):
        install(made.path)
    assert _files(far) == set()


def test_a_licence_has_to_be_accepted_on_this_side_too(
    far: Path, made: Made, tmp_path: Path
) -> None:
    strict = Licence(name="Strict", notice="Do no harm.", needs_acceptance=True)
    bundle = tmp_path / "strict.tar"
    models = (BundledModel("tiny", strict),)
    bundle.write_bytes(packed((MANIFEST, manifest_of(GOOD, models=models)), *GOOD.items()))
    with pytest.raises(InputError, match="have to accept first") as caught:
        install(bundle)
    assert caught.value.found == "Do no harm."
    assert _files(far) == set()


def test_no_room_is_noticed_before_anything_is_unpacked(
    far: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(10, 9, 1))
    with pytest.raises(NotEnoughDiskError, match="for this bundle"):
        install(made.path)
    assert _files(far) == set()


CARD = """name = "tiny"
file = "{file}"
sha256 = "{sha}"
size_bytes = 3
{more}[licence]
name = "MIT"
"""


@pytest.mark.parametrize(("sha", "more"), [("0" * 64, ""), ("{right}", 'path = "/etc/passwd"\n')])
def test_a_card_that_points_elsewhere_is_refused(
    far: Path, made: Made, tmp_path: Path, sha: str, more: str
) -> None:
    import hashlib

    right = hashlib.sha256(b"abc").hexdigest()
    card = CARD.format(file="tiny.gguf", sha=sha.format(right=right), more=more)
    files = {"home/models/tiny.gguf": b"abc", "home/models/tiny.toml": card.encode()}
    models = (BundledModel("tiny", Licence(name="MIT")),)
    bundle = tmp_path / "other.tar"
    bundle.write_bytes(packed((MANIFEST, manifest_of(files, models=models)), *files.items()))
    with pytest.raises(ChecksumError, match="does not match its weights"):
        install(bundle)
    assert _files(far) == set()


def test_a_card_that_belongs_to_no_model_of_the_bundle_is_refused(
    far: Path, made: Made, tmp_path: Path
) -> None:
    files = {"home/models/smollm2-135m.toml": b"name = 'x'"}
    bundle = tmp_path / "hidden.tar"
    bundle.write_bytes(packed((MANIFEST, manifest_of(files)), *files.items()))
    with pytest.raises(MachineError, match="model that it does not list"):
        install(bundle)
    assert _files(far) == set()


def test_a_link_in_an_unpacked_bundle_is_refused(far: Path, made: Made, tmp_path: Path) -> None:
    shutil.unpack_archive(made.path, tmp_path / "unpacked")
    kit = tmp_path / "unpacked" / "kit"
    (kit / "home" / "prompts" / "more.txt").symlink_to("/etc/passwd")
    with pytest.raises(MachineError, match="not an ordinary file") as caught:
        read_bundle(kit)
    assert caught.value.found == "a symbolic link"


def test_a_file_too_many_in_an_unpacked_bundle_is_refused(made: Made, tmp_path: Path) -> None:
    shutil.unpack_archive(made.path, tmp_path / "unpacked")
    kit = tmp_path / "unpacked" / "kit"
    (kit / "more.txt").write_text("more")
    with pytest.raises(MachineError, match="does not list"):
        read_bundle(kit)


def test_nothing_at_the_path_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        read_bundle(tmp_path / "none.tar")
