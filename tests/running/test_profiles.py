from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.errors import InputError, NotEnoughDiskError, UnknownNameError
from localprompt.measure import machine
from localprompt.records.model import ModelRecord
from localprompt.records.run import RequestedSettings
from localprompt.running import profiles
from localprompt.running.profiles import (
    Profile,
    check_name,
    default_profile,
    follow,
    read_profile,
    write_profile,
)

MODEL = ModelRecord(name="some-model", path="/some-model.gguf", sha256="a" * 64)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path))


def profile(name: str = "fast", **changes: Any) -> Profile:
    made = Profile(
        name=name,
        created_at="2026-11-22T12:00:00.000+00:00",
        localprompt_version="0.1.0",
        model="some-model",
        model_sha256="a" * 64,
        machine_id=machine.describe().id,
        uses="some-model-q8_0",
        uses_sha256="b" * 64,
        settings={"n_ubatch": 128, "type_k": "q8_0"},
        tuning="01M82JX2HESX5MKTF1BFH3V4R7",
        speed_up=2.0,
    )
    return msgspec.structs.replace(made, **changes)


def test_what_is_written_is_read() -> None:
    path = write_profile(profile())
    assert read_profile("fast") == profile()
    assert path.stat().st_mode & 0o077 == 0


def test_a_model_has_no_profile_where_none_was_written() -> None:
    assert default_profile(MODEL) is None


def test_the_newest_profile_of_a_model_is_its_own() -> None:
    write_profile(profile("older"))
    write_profile(profile("newer", created_at="2026-11-23T12:00:00.000+00:00"))
    found = default_profile(MODEL)
    assert found is not None
    assert found.name == "newer"


def test_a_profile_of_another_machine_or_of_other_weights_is_not_followed() -> None:
    write_profile(profile("elsewhere", machine_id="another"))
    write_profile(profile("other", model_sha256="c" * 64))
    assert default_profile(MODEL) is None


def test_a_damaged_profile_is_passed_over_until_it_is_asked_for() -> None:
    write_profile(profile("sound"))
    (profiles.folder() / "torn.json").write_text('{"name": "torn"')
    found = default_profile(MODEL)
    assert found is not None
    assert found.name == "sound"
    with pytest.raises(InputError, match="not a profile") as caught:
        read_profile("torn")
    assert caught.value.where == str(profiles.folder() / "torn.json")


@pytest.mark.parametrize("settings", [{"n_batch": "many"}, {"speed": 1}, {"__class__": 1}])
def test_a_setting_that_does_not_exist_makes_no_profile(settings: dict[str, Any]) -> None:
    write_profile(profile(settings=settings))
    with pytest.raises(InputError):
        read_profile("fast")


def test_an_unknown_profile_is_an_error_with_the_nearest_names() -> None:
    write_profile(profile("fastest"))
    with pytest.raises(UnknownNameError) as caught:
        read_profile("fast")
    assert caught.value.nearest == ("fastest",)


@pytest.mark.parametrize("name", ["none", "default", "", "../up", "Upper", "a/b", "-x"])
def test_names_that_mean_something_else_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


def test_what_is_typed_wins_over_what_the_profile_says() -> None:
    typed = RequestedSettings(n_ubatch=64, n_threads=3)
    found = follow(profile(), "some-model", typed, given=("n_ubatch", "n_threads"))
    assert found.settings == RequestedSettings(n_ubatch=64, n_threads=3, type_k="q8_0")
    assert found.use.settings == ("type_k",)
    assert found.model == "some-model-q8_0"
    assert found.use.model == "some-model"


def test_a_full_disk_leaves_the_older_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    write_profile(profile())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(NotEnoughDiskError):
        write_profile(profile(speed_up=3.0))
