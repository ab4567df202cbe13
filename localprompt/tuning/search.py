"""A tuning, from the first run to the profile.

    1  the usual settings: the suite, and the prompt's own time
    2  types of weights race against each other; the usual settings run along
    3  from the fastest: is its quality inside the bound? The first that is, stays
    4  settings race on those weights; changes that pay are put together
    5  what came out is judged as a whole, and runs in turn with the usual settings once more

Everything is stored as soon as it is there. Nothing is chosen that did not beat the usual settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import localprompt
from localprompt.engine.llama.library import build, cpu_features
from localprompt.errors import InputError, MachineError, WorkerError
from localprompt.measure import machine
from localprompt.models.predict import with_mapping_decided
from localprompt.records.cell import Cell
from localprompt.records.ids import new_run_id
from localprompt.records.quality import Quality
from localprompt.records.run import RequestedSettings
from localprompt.records.tuning import Bounds, SuiteOutcome, Trial, Tuning
from localprompt.running.attention_model import measure_model
from localprompt.running.profiles import Profile
from localprompt.stats.samples import compare
from localprompt.store.history import History
from localprompt.store.under_way import Notice, announced
from localprompt.tuning.candidates import Candidate, Changes, together, variations
from localprompt.tuning.judging import Judge
from localprompt.tuning.race import race
from localprompt.tuning.runs import Runs
from localprompt.tuning.weights import Weights

_WORTH_IT = 0.98
"""A change of settings stays where it leaves at most this share of the time."""
_DUEL = 6
"""Runs of each side in the end: the fewest that give an interval of a median."""

OnNote = Callable[[str], None]


class Tuner:
    """One tuning under way.

    Args:
        cell: the prompt to tune for, with the model and the usual settings.
        tuning: its record, begun and stored.
    """

    def __init__(
        self,
        cell: Cell,
        tuning: Tuning,
        *,
        runs: Runs,
        judge: Judge,
        store: History,
        on_note: OnNote,
    ) -> None:
        self._cell = cell
        self._tuning = tuning
        self._runs = runs
        self._judge = judge
        self._store = store
        self._note = on_note
        self._began = time.monotonic()
        self._weights = Weights(cell.model)
        self._usual = Candidate(cell.model, {})
        self._candidates: dict[str, Candidate] = {}
        self._qualities: dict[str, Quality] = {}
        self._suites: dict[str, SuiteOutcome] = {}
        self._out: dict[str, str] = {}
        self._made = 0
        self._notice: Notice
        self._add(self._usual)

    def run(self, types: Sequence[str]) -> Tuning:
        """Search; the record with the outcome, stored.

        Raises:
            InputError: no case of the suite passes with the usual settings.
            WorkerError: the usual settings do not run, or fail later on.
            MachineError: the history cannot be written.
        """
        with announced("tune", self._tuning.title, self._tuning.id) as self._notice:
            return self._run(types)

    def _run(self, types: Sequence[str]) -> Tuning:
        # Requests are chosen by it from here on, those of this tuning included.
        measured = measure_model(self._cell.model, self._cell.settings, self._note)
        if isinstance(measured, str):
            self._note(f"attention of {self._cell.model.name} is not measured: {measured}")
        usual = self._judge.usual()
        if usual is not None:
            self._suites[self._usual.key] = usual
            self._note(f"usual settings: {usual.passed} of {usual.scored} passed")
        if self._more(self._usual, 1) is None:
            raise self._usual_fails()
        self._save()
        best = self._best_weights(types)
        self._save()
        best = self._best_settings(best)
        return self._finish(best)

    def _more(self, candidate: Candidate, times: int) -> list[float] | None:
        """Run a candidate so many times, and let others see it."""
        self._notice.tell(candidate.name, self._made)
        self._made += times
        return self._runs.more(candidate, times)

    def _best_weights(self, types: Sequence[str]) -> Candidate:
        """The fastest weights whose quality is inside the bound.

        Raises:
            WorkerError: the usual settings fail in the race.
        """
        for file_type in types:
            try:
                candidate = Candidate(self._weights.of_type(file_type), {})
            except (InputError, MachineError) as error:
                self._note(f"{file_type}: not tried: {error}")
                continue
            self._add(candidate)
        standings = race(self._candidates, self._more, kept=self._usual.key)
        if standings[self._usual.key].failed:
            raise self._usual_fails()
        usual = standings[self._usual.key].median
        ran = {key: standing for key, standing in standings.items() if not standing.failed}
        best = self._usual
        for key in sorted(ran, key=lambda key: ran[key].median):
            candidate = self._candidates[key]
            if key == self._usual.key:
                continue
            if ran[key].median >= usual:
                self._out[key] = "not faster than the usual"
            elif best != self._usual:
                self._out[key] = f"slower than {best.name}"
            elif self._inside(candidate):
                best = candidate
        return best

    def _best_settings(self, weights: Candidate) -> Candidate:
        """The weights with the settings that pay on them; as they are if they fail in the race."""
        reference = self._runs.reference
        prompt_tokens = reference.tokens.prompt if reference else 0
        described = machine.describe()
        threads = self._cell.settings.n_threads or machine.default_threads()
        logical = int(described.usable_cores or described.logical_cores or threads)
        usual = with_mapping_decided(self._cell.settings, Path(weights.model.path))
        mapped = usual.use_mmap is not False
        tried = [
            Candidate(weights.model, changes)
            for changes in variations(threads, logical, prompt_tokens, mapped=mapped)
        ]
        for candidate in tried:
            self._add(candidate)
        field = {one.key: one for one in (weights, *tried)}
        standings = race(field, self._more, kept=weights.key, seed=1)
        if standings[weights.key].failed:
            return weights
        base = standings[weights.key].median
        paying = [
            field[key]
            for key, standing in standings.items()
            if standing.rounds > 1 and not standing.failed and standing.median <= _WORTH_IT * base
        ]
        for candidate in tried:
            if candidate not in paying:
                self._out.setdefault(candidate.key, "does not pay")
        paying = [one for one in paying if self._acceptable_cache(one)]
        return self._proved(weights, paying, base)

    def _proved(self, weights: Candidate, paying: list[Candidate], base: float) -> Candidate:
        """Changes that pay, put together, if they pay together; else the best of them."""
        if not paying:
            return weights
        merged: Changes = together([one.changes for one in paying])
        whole = Candidate(weights.model, merged)
        self._add(whole)
        field = {one.key: one for one in (weights, paying[0], whole)}
        standings = race(field, self._more, kept=weights.key, rounds=(3, 3), seed=2)
        best = min(
            (key for key in field if not standings[key].failed),
            key=self._median,
            default=weights.key,
        )
        return field[best] if self._median(best) <= _WORTH_IT * base else weights

    def _acceptable_cache(self, candidate: Candidate) -> bool:
        """Whether its KV cache's types leave the quality inside the bound."""
        return "type_k" not in candidate.changes or self._perplexity_inside(candidate)

    def _inside(self, candidate: Candidate) -> bool:
        if not self._perplexity_inside(candidate):
            return False
        outcome = self._judge.pass_rate(candidate)
        if outcome is not None:
            self._suites[candidate.key] = outcome
            self._note(f"{candidate.name}: {outcome.passed} of {outcome.scored} passed")
        return self._accepted(candidate, self._judge.worse(outcome))

    def _perplexity_inside(self, candidate: Candidate) -> bool:
        quality = self._quality_of(candidate)
        if quality is None:
            quality = self._judge.read(candidate)
            if quality is None:
                return True
            self._qualities[candidate.key] = quality
            if quality.divergence is not None:
                rise = (quality.divergence.ratio - 1) * 100
                self._note(f"{candidate.name}: perplexity {rise:+.2f} %")
        return self._accepted(candidate, self._judge.too_far(quality))

    def _quality_of(self, candidate: Candidate) -> Quality | None:
        """What was measured of weights and KV types that compute the same."""
        return next((q for q in self._qualities.values() if _computes(q, candidate)), None)

    def _accepted(self, candidate: Candidate, reason: str | None) -> bool:
        if reason is not None:
            self._out[candidate.key] = reason
            self._note(f"{candidate.name}: given up: {reason}")
        return reason is None

    def _finish(self, best: Candidate) -> Tuning:
        """The last duel, and the record."""
        if best.key != self._usual.key and best.changes and not self._inside(best):
            best = Candidate(best.model, {})
        chosen = None
        if best.key != self._usual.key:
            ours, theirs = self._duel(best)
            ran = bool(ours and theirs) and best.key not in self._runs.failures
            # The ratio: how many times as long the usual settings take as the best.
            compared = compare(ours, theirs) if ran else None
            if compared is not None and compared.ratio is not None and compared.ratio > 1:
                chosen = best.key
                self._tuning = msgspec.structs.replace(
                    self._tuning, speed_up=compared.ratio, speed_up_interval=compared.ratio_interval
                )
        self._tuning = msgspec.structs.replace(
            self._tuning, chosen=chosen, seconds=time.monotonic() - self._began
        )
        self._save()
        used = [self._candidates[chosen].model.name] if chosen else []
        for name in self._weights.clean_up(used):
            self._note(f"removed {name}")
        return self._tuning

    def _usual_fails(self) -> WorkerError:
        cause = self._runs.failures[self._usual.key]
        return WorkerError("the usual settings do not run", found=cause)

    def _duel(self, best: Candidate) -> tuple[list[float], list[float]]:
        """Seconds of the best and of the usual, in turn; what fails has none."""
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(_DUEL // 2):
            theirs += self._more(self._usual, 2) or []
            ours += self._more(best, 2) or []
        return ours, theirs

    def _median(self, key: str) -> float:
        return self._runs.trial(self._candidates[key]).seconds or float("inf")

    def _add(self, candidate: Candidate) -> None:
        self._candidates.setdefault(candidate.key, candidate)

    def _save(self) -> None:
        reference = self._runs.reference
        self._tuning = msgspec.structs.replace(
            self._tuning,
            trials=tuple(self._trial(one) for one in self._candidates.values()),
            prompt_tokens=reference.tokens.prompt if reference else None,
            answer_tokens=reference.tokens.completion if reference else None,
        )
        self._store.keep(self._tuning)

    def _trial(self, candidate: Candidate) -> Trial:
        quality = self._quality_of(candidate)
        trial = self._runs.trial(candidate)
        return msgspec.structs.replace(
            trial,
            quality=quality.id if quality else None,
            divergence=quality.divergence if quality else None,
            suite=self._suites.get(candidate.key),
            out=trial.out or self._out.get(candidate.key),
        )


def _computes(quality: Quality, candidate: Candidate) -> bool:
    """Whether it is of the same weights and KV types: the rest changes no more than rounding."""
    settings, changes = quality.settings, candidate.changes
    usual = RequestedSettings()
    return (
        quality.model.sha256 == candidate.model.sha256
        and settings.type_k == changes.get("type_k", usual.type_k)
        and settings.type_v == changes.get("type_v", usual.type_v)
    )


def begun(cell: Cell, suite: str | None, bounds: Bounds, title: str) -> Tuning:
    """The record of a tuning that has not run yet."""
    return Tuning(
        id=new_run_id(),
        kind="tune",
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        localprompt_version=localprompt.__version__,
        title=title,
        model=cell.model,
        prompt=cell.template.name,
        prompt_tokens=None,
        answer_tokens=None,
        suite=suite,
        bounds=bounds,
        machine=machine.describe(llama_cpp_build=build(), cpu_features=cpu_features()),
    )


def profile_of(tuning: Tuning, name: str) -> Profile | None:
    """The profile that a finished tuning leads to; None: it chose nothing."""
    chosen = tuning.trial(tuning.chosen)
    model = tuning.model
    if chosen is None or model.sha256 is None or chosen.model.sha256 is None:
        return None
    return Profile(
        name=name,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        localprompt_version=localprompt.__version__,
        model=model.name,
        model_sha256=model.sha256,
        machine_id=tuning.machine.id,
        uses=chosen.model.name,
        uses_sha256=chosen.model.sha256,
        settings=chosen.changes,
        tuning=tuning.id,
        speed_up=tuning.speed_up or 1.0,
        build=tuning.machine.llama_cpp_build,
    )
