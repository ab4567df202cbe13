"""Profiles where they are followed: runs, benches and evaluations of the starter model."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from localprompt.bench.planning import plan_bench
from localprompt.bench.spec import BenchSpec
from localprompt.errors import ModelMissingError
from localprompt.evaluate.opening import begin
from localprompt.measure import machine
from localprompt.records.cell import BenchRequest
from localprompt.records.evaluation import EvalRequest
from localprompt.records.run import RequestedSettings
from localprompt.running.assemble import RunChoices, ask_cell
from localprompt.running.profiles import Profile, write_profile
from localprompt.store.history import History

STARTER = "smollm2-135m"


@pytest.fixture
def written(lab_home: Path, starter_sha256: str) -> Profile:
    profile = Profile(
        name="narrow",
        created_at="2026-11-22T12:00:00.000+00:00",
        localprompt_version="0.1.0",
        model=STARTER,
        model_sha256=starter_sha256,
        machine_id=machine.describe().id,
        uses=STARTER,
        uses_sha256=starter_sha256,
        settings={"n_ubatch": 64},
        tuning="01M82JX2HESX5MKTF1BFH3V4R7",
        speed_up=1.5,
    )
    write_profile(profile)
    return profile


def test_a_run_follows_the_profile_of_its_model(written: Profile) -> None:
    cell = ask_cell("Hello", RunChoices(profile="default"))
    assert cell.settings.n_ubatch == 64
    assert cell.profile is not None
    assert cell.profile.name == "narrow"


def test_a_run_that_wants_no_profile_has_none(written: Profile) -> None:
    cell = ask_cell("Hello", RunChoices(profile="none"))
    assert cell.settings.n_ubatch is None
    assert cell.profile is None


def test_an_explicit_setting_wins(written: Profile) -> None:
    choices = RunChoices(
        settings=RequestedSettings(n_ubatch=256), given=("n_ubatch",), profile="narrow"
    )
    assert ask_cell("Hello", choices).settings.n_ubatch == 256


def test_a_profile_whose_weights_were_removed_is_followed_only_when_named(
    written: Profile,
) -> None:
    write_profile(msgspec.structs.replace(written, uses_sha256="0" * 64))
    assert ask_cell("Hello", RunChoices(profile="default")).profile is None
    with pytest.raises(ModelMissingError, match="different weights"):
        ask_cell("Hello", RunChoices(profile="narrow"))


@pytest.mark.slow
def test_a_bench_has_the_profile_in_its_plan_and_in_its_keys(written: Profile) -> None:
    spec = BenchSpec(models=(STARTER,), prefill=(8,), profile="default")
    plain = msgspec.structs.replace(spec, profile="none")
    with_it, without = (
        plan_bench(each, "", build="", count_tokens=lambda _: 8) for each in (spec, plain)
    )
    cell = msgspec.convert(with_it.cells[0].request, BenchRequest).cell
    assert cell.settings.n_ubatch == 64
    assert cell.profile is not None
    assert with_it.cells[0].key != without.cells[0].key


def test_an_evaluation_has_the_profile_in_its_targets(written: Profile, tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"prompts: ['Say {{{{ word }}}}.']\nproviders: [{STARTER}]\n"
        "tests:\n- vars: {word: yes-sir}\n"
    )
    with History(tmp_path / "history.db") as store:
        planned = begin(EvalRequest(suite=str(suite), profile="default"), store)
    target = planned.evaluation.targets[0]
    assert target.settings is not None
    assert target.settings.n_ubatch == 64
    assert target.profile is not None
    assert target.profile.model == STARTER
