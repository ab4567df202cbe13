"""Measurements of quality and tunings, found again by their ids."""

from __future__ import annotations

from pathlib import Path

from localprompt.store.experiments import TuningStore
from tests.sample_tunings import tuning


def test_what_was_kept_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    kept = tuning()
    with TuningStore(tmp_path / "history.db") as store:
        store.keep(kept)
        assert store.kept(kept.id) == kept
        assert store.kept(kept.id[:6].lower()) == kept
        assert store.kept(kept.id[1:]) is None


def test_the_newer_record_takes_the_place_of_the_one_with_its_id(tmp_path: Path) -> None:
    with TuningStore(tmp_path / "history.db") as store:
        store.keep(tuning())
        store.keep(tuning(title="further"))
        found = store.kept(tuning().id)
    assert found is not None
    assert found.title == "further"


def test_a_beginning_that_two_ids_share_names_neither(tmp_path: Path) -> None:
    with TuningStore(tmp_path / "history.db") as store:
        store.keep(tuning())
        store.keep(tuning(id="01M82JX2HESX5MKTF1BFH3V4R8"))
        assert store.kept("01M82JX2HESX5MKTF1BFH3V4R") is None
        assert store.kept("") is None


def test_looking_does_not_make_a_history(tmp_path: Path) -> None:
    with TuningStore(tmp_path / "history.db", read_only=True) as store:
        assert store.kept("01M8") is None
    assert not (tmp_path / "history.db").exists()
