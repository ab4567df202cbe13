"""The order of a tuning, with runs and qualities that a table says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from localprompt.errors import InputError, NotEnoughDiskError, WorkerError
from localprompt.records.cell import Cell
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.quality import Quality
from localprompt.records.run import RequestedSettings, Sampling
from localprompt.records.tuning import SuiteOutcome, Trial, Tuning
from localprompt.stats.paired import compare_passes
from localprompt.store.history import History
from localprompt.tuning.candidates import Candidate
from localprompt.tuning.judging import Judge
from localprompt.tuning.runs import Runs
from localprompt.tuning.search import Tuner, profile_of
from localprompt.tuning.weights import Weights
from tests.sample_tunings import USUAL, divergence, tuning

SECONDS = {"some-model": 1.0, "some-model-q4_0": 0.3, "some-model-q8_0": 0.5, "some-model-f32": 2.0}
RATIOS = {"some-model-q4_0": 1.15, "some-model-q8_0": 1.004}


class TableRuns:
    """Seconds by model; some settings take a share of that."""

    def __init__(self, shares: dict[str, float] | None = None, failing: str = "") -> None:
        self.failures: dict[str, str] = {}
        self.reference = None
        self.counts: dict[str, int] = {}
        self._shares = shares or {}
        self._failing = failing

    def seconds(self, candidate: Candidate) -> float:
        taken = SECONDS[candidate.model.name]
        for field, value in candidate.changes.items():
            taken *= self._shares.get(f"{field}={value}", 1.0)
        return taken

    def more(self, candidate: Candidate, times: int) -> list[float] | None:
        if candidate.model.name == self._failing:
            self.failures[candidate.key] = "it died"
            return None
        self.counts[candidate.key] = self.counts.get(candidate.key, 0) + times
        return [self.seconds(candidate)] * times

    def trial(self, candidate: Candidate) -> Trial:
        runs = self.counts.get(candidate.key, 0)
        seconds = self.seconds(candidate) if runs else None
        return Trial(candidate.key, candidate.model, candidate.changes, runs, seconds)


class TableJudge:
    """Perplexity by model, and a suite that some models fail."""

    def __init__(self, *, passing: int = 10, worse: str = "") -> None:
        self.read_by: list[str] = []
        self._passing = passing
        self._worse = worse

    def usual(self) -> SuiteOutcome:
        if not self._passing:
            raise InputError("no case of the suite passes")
        return SuiteOutcome("E", self._passing, 20, 5.0)

    def read(self, candidate: Candidate) -> Quality | None:
        self.read_by.append(candidate.name)
        ratio = RATIOS.get(candidate.model.name)
        if ratio is None:
            return None
        cache = {f: v for f, v in candidate.changes.items() if f in {"type_k", "type_v"}}
        settings = RequestedSettings(**cache)
        read = _Read(f"Q{len(self.read_by)}", divergence(ratio), candidate.model, settings)
        return cast("Quality", read)

    def too_far(self, quality: Quality) -> str | None:
        found = quality.divergence
        return "too far" if found is not None and found.ratio > 1.03 else None

    def pass_rate(self, candidate: Candidate) -> SuiteOutcome:
        verdicts = [True] * 10 + [False] * 10
        theirs = [False] * 20 if candidate.model.name == self._worse else verdicts
        return SuiteOutcome("E", sum(theirs), 20, 9.0, compare_passes(verdicts, theirs))

    def worse(self, outcome: SuiteOutcome) -> str | None:
        return "worse" if outcome.passed == 0 else None


class _Read(msgspec.Struct):
    id: str
    divergence: Any
    model: ModelRecord
    settings: RequestedSettings


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of weights that were made; those of q2_k find no room."""
    names: list[str] = []

    def of_type(_: Weights, file_type: str) -> ModelRecord:
        if file_type == "q2_k":
            raise NotEnoughDiskError("not enough disk space")
        names.append(f"some-model-{file_type}")
        return ModelRecord(name=names[-1], path="/x.gguf", sha256=names[-1])

    monkeypatch.setattr(Weights, "of_type", of_type)
    monkeypatch.setattr(Weights, "clean_up", lambda _, keep: [n for n in names if n not in keep])
    return names


def tuned(
    folder: Path,
    types: tuple[str, ...],
    runs: TableRuns | None = None,
    judge: TableJudge | None = None,
    notes: list[str] | None = None,
) -> Tuning:
    cell = Cell(
        kind="tune",
        model=USUAL,
        template=PromptTemplate(name="p", body="user:\nHello"),
        params={},
        sampling=Sampling(),
        settings=RequestedSettings(n_threads=2, n_threads_batch=2),
    )
    with History(folder / "history.db") as store:
        return Tuner(
            cell,
            tuning(trials=(), chosen=None, speed_up=None, profile=None, seconds=None),
            runs=cast("Runs", runs or TableRuns()),
            judge=cast("Judge", judge or TableJudge()),
            store=store,
            on_note=(notes if notes is not None else []).append,
        ).run(types)


def chosen(found: Tuning) -> str | None:
    trial = found.trial(found.chosen)
    return trial.model.name if trial else None


def test_the_fastest_weights_inside_the_bound_are_chosen(tmp_path: Path, made: list[str]) -> None:
    found = tuned(tmp_path, ("q4_0", "q8_0", "f32"))
    assert chosen(found) == "some-model-q8_0"
    assert found.speed_up == pytest.approx(2.0)
    reasons = {trial.model.name: trial.out for trial in found.trials if not trial.changes}
    assert reasons["some-model-q4_0"] == "too far"
    assert reasons["some-model-f32"] == "not faster than the usual"


def test_weights_that_the_suite_shows_to_be_worse_are_given_up(
    tmp_path: Path, made: list[str]
) -> None:
    found = tuned(tmp_path, ("q8_0",), judge=TableJudge(worse="some-model-q8_0"))
    assert found.chosen is None
    assert profile_of(found, "name") is None


def test_settings_that_pay_are_put_together(tmp_path: Path, made: list[str]) -> None:
    shares = {"use_mmap=False": 0.9, "flash_attn=False": 0.8, "repack=False": 3.0}
    found = tuned(tmp_path, ("q8_0",), TableRuns(shares))
    trial = found.trial(found.chosen)
    assert trial is not None
    assert trial.changes == {"flash_attn": False, "use_mmap": False}
    assert found.speed_up == pytest.approx(2 / 0.72)


def test_a_text_is_read_once_for_all_settings_that_compute_the_same(
    tmp_path: Path, made: list[str]
) -> None:
    judge = TableJudge()
    tuned(tmp_path, ("q8_0",), TableRuns({"use_mmap=False": 0.9}), judge)
    assert judge.read_by == ["some-model-q8_0"]
    judge = TableJudge()
    tuned(tmp_path, ("q8_0",), TableRuns({"type_k=q8_0": 0.9}), judge)
    assert judge.read_by == ["some-model-q8_0", "some-model-q8_0, type_k q8_0, type_v q8_0"]


def test_a_setting_that_saves_one_per_cent_is_not_taken(tmp_path: Path, made: list[str]) -> None:
    found = tuned(tmp_path, ("q8_0",), TableRuns({"use_mmap=False": 0.99}))
    trial = found.trial(found.chosen)
    assert trial is not None
    assert trial.changes == {}


def test_no_room_for_one_type_does_not_end_the_tuning(tmp_path: Path, made: list[str]) -> None:
    notes: list[str] = []
    found = tuned(tmp_path, ("q2_k", "q8_0"), notes=notes)
    assert chosen(found) == "some-model-q8_0"
    assert any("q2_k: not tried" in note and "space" in note for note in notes)


def test_weights_that_lost_are_removed(tmp_path: Path, made: list[str]) -> None:
    notes: list[str] = []
    tuned(tmp_path, ("q4_0", "q8_0"), notes=notes)
    assert "removed some-model-q4_0" in notes
    assert "removed some-model-q8_0" not in notes


def test_a_suite_that_cannot_pass_ends_the_tuning_before_any_run(
    tmp_path: Path, made: list[str]
) -> None:
    runs = TableRuns()
    with pytest.raises(InputError):
        tuned(tmp_path, ("q8_0",), runs, TableJudge(passing=0))
    assert not runs.counts
    assert not made


def test_usual_settings_that_do_not_run_are_an_error(tmp_path: Path, made: list[str]) -> None:
    with pytest.raises(WorkerError, match="do not run"):
        tuned(tmp_path, ("q8_0",), TableRuns(failing="some-model"))


def test_a_candidate_that_dies_is_out_with_its_cause(tmp_path: Path, made: list[str]) -> None:
    found = tuned(tmp_path, ("q4_0", "q8_0"), TableRuns(failing="some-model-q4_0"))
    assert chosen(found) == "some-model-q8_0"


class Dying(TableRuns):
    """Runs of one model that fail from some time on."""

    def __init__(self, name: str, after: int) -> None:
        super().__init__()
        self._name, self._left = name, after

    def more(self, candidate: Candidate, times: int) -> list[float] | None:
        if candidate.model.name == self._name:
            self._left -= 1
            if self._left < 0:
                self.failures[candidate.key] = "it died"
                return None
        return super().more(candidate, times)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_usual_settings_that_die_in_the_race_end_the_tuning(
    after: int, tmp_path: Path, made: list[str]
) -> None:
    with pytest.raises(WorkerError, match="do not run"):
        tuned(tmp_path, ("q4_0", "q8_0"), Dying("some-model", after))


@pytest.mark.parametrize("after", [0, 2, 3, 4, 10, 17, 19])
def test_weights_that_die_at_any_time_are_not_chosen(
    after: int, tmp_path: Path, made: list[str]
) -> None:
    runs = Dying("some-model-q8_0", after)
    found = tuned(tmp_path, ("q8_0",), runs)
    assert found.seconds is not None
    assert runs.failures
    assert chosen(found) is None


def test_the_profile_says_what_was_chosen_for_whom(tmp_path: Path, made: list[str]) -> None:
    found = tuned(tmp_path, ("q8_0",), TableRuns({"use_mmap=False": 0.9}))
    profile = profile_of(found, "fast")
    assert profile is not None
    assert (profile.model, profile.model_sha256) == ("some-model", USUAL.sha256)
    assert profile.uses == "some-model-q8_0"
    assert profile.settings == {"use_mmap": False}
    assert profile.machine_id == found.machine.id


class Watching(TableRuns):
    """Notes what is announced while a candidate runs."""

    def __init__(self, running: Path) -> None:
        super().__init__()
        self._running = running
        self.seen: list[str] = []

    def more(self, candidate: Candidate, times: int) -> list[float] | None:
        self.seen += [file.name.partition("-")[0] for file in self._running.iterdir()]
        return super().more(candidate, times)


def test_a_tuning_says_to_other_processes_that_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[str]
) -> None:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    running = tmp_path / "home" / "running"
    runs = Watching(running)
    tuned(tmp_path, ("q4_0",), runs)
    assert set(runs.seen) == {"tune"}
    assert list(running.iterdir()) == []
