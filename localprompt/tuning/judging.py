"""What a candidate loses: perplexity beside the parent, and the user's suite beside the usual.

Both are kept in the history as measurements of their own. The suite is answered anew each time,
because how fast that goes is a figure of the tuning as well.
"""

from __future__ import annotations

import shlex

import msgspec

from localprompt.errors import InputError
from localprompt.evaluate.comparing import compare_evaluations
from localprompt.evaluate.models import Models
from localprompt.evaluate.opening import evaluate_model
from localprompt.models.quality.measure import Text, measure_quality
from localprompt.records.evaluation import EvalResult
from localprompt.records.model import ModelRecord
from localprompt.records.quality import Quality
from localprompt.records.run import RequestedSettings
from localprompt.records.tuning import Bounds, SuiteOutcome
from localprompt.stats.paired import PassComparison, mcnemar, paired_rate_interval
from localprompt.store.history import History
from localprompt.tuning.candidates import Candidate

_NUMERIC = frozenset({"type_k", "type_v"})
"""Settings that change what is computed by more than rounding."""


class Judge:
    """Measures losses against one model with the usual settings.

    Args:
        parent: that model.
        settings: the usual ones.
        suite: None: there is none, and only perplexity counts.
    """

    def __init__(
        self,
        parent: ModelRecord,
        settings: RequestedSettings,
        suite: str | None,
        text: Text,
        bounds: Bounds,
        *,
        store: History,
        force: bool = False,
    ) -> None:
        self._parent = parent
        self._settings = settings
        self._suite = suite
        self._text = text
        self._bounds = bounds
        self._store = store
        self._force = force
        self._usual: EvalResult | None = None

    def usual(self) -> SuiteOutcome | None:
        """The suite with the usual settings: what everything else is beside.

        Raises:
            InputError: not a single case passes, so that no loss could ever show.
        """
        if self._suite is None:
            return None
        self._usual = self._evaluated(self._parent, {})
        outcome = _outcome(self._usual, None)
        if outcome.passed == 0:
            raise InputError(
                "no case of the suite passes with the usual settings: no loss would ever show",
                where=self._suite,
                expected="a suite that this model passes in part",
                found=f"0 of {outcome.scored} passed",
                next_step=f"localprompt eval {shlex.quote(self._suite)} -m {self._parent.name}",
            )
        return outcome

    def read(self, candidate: Candidate) -> Quality | None:
        """Perplexity beside the parent; None for what computes the same as the parent does."""
        same = candidate.model.sha256 == self._parent.sha256
        if same and not _NUMERIC & candidate.changes.keys():
            return None
        found = measure_quality(
            candidate.model,
            self._parent,
            self._text,
            settings=msgspec.structs.replace(self._settings, **candidate.changes),
            hopeless=1 + self._bounds.perplexity,
            force=self._force,
        )
        self._store.keep(found)
        return found

    def too_far(self, quality: Quality | None) -> str | None:
        """Why its perplexity is outside the bound; None: it is inside."""
        if quality is None or quality.divergence is None:
            return None
        rise = quality.divergence.ratio - 1
        if rise <= self._bounds.perplexity:
            return None
        most = f"{self._bounds.perplexity * 100:+.1f} %"
        return f"perplexity {rise * 100:+.1f} %; at most {most} is allowed"

    def pass_rate(self, candidate: Candidate) -> SuiteOutcome | None:
        """The suite beside the usual settings, case by case; None where there is no suite."""
        if self._suite is None or self._usual is None:
            return None
        result = self._evaluated(candidate.model, candidate.changes)
        with History(self._store.path) as store:
            pairs = compare_evaluations(self._usual.evaluation, result.evaluation, store).pairs
        return _outcome(result, _added([pair.passes for pair in pairs if pair.passes]))

    def worse(self, outcome: SuiteOutcome | None) -> str | None:
        """Why its pass rate counts as shown to be worse; None: it does not."""
        if outcome is None or outcome.against is None:
            return None
        found = outcome.against
        if found.difference >= 0 or found.p_value >= self._bounds.p_value:
            return None
        return f"pass rate {found.difference * 100:+.1f} points, p {found.p_value:.3f}"

    def _evaluated(self, model: ModelRecord, changes: dict[str, object]) -> EvalResult:
        with History(self._store.path) as store, Models() as models:
            return evaluate_model(
                model,
                self._suite or "",
                msgspec.structs.replace(self._settings, **changes),
                store,
                models,
                lambda _: None,
                cached=False,
                force=self._force,
            )


def _outcome(result: EvalResult, against: PassComparison | None) -> SuiteOutcome:
    rates = [target.passes for target in result.targets]
    seconds = sum(use.wall_seconds for use in result.uses)
    answered = sum(use.answered for use in result.uses)
    return SuiteOutcome(
        evaluation=result.evaluation.id,
        passed=sum(rate.passed for rate in rates),
        scored=sum(rate.passed + rate.failed for rate in rates),
        cases_per_second=answered / seconds if answered and seconds > 0 else None,
        against=against,
    )


def _added(pairs: list[PassComparison]) -> PassComparison | None:
    """The prompts of a suite put together: each prompt's answer to a case is a pair."""
    if not pairs:
        return None
    n = sum(pair.n for pair in pairs)
    only_a, only_b = sum(pair.only_a for pair in pairs), sum(pair.only_b for pair in pairs)
    return PassComparison(
        n=n,
        passed_a=sum(pair.passed_a for pair in pairs),
        passed_b=sum(pair.passed_b for pair in pairs),
        only_a=only_a,
        only_b=only_b,
        difference=(only_b - only_a) / n,
        interval=paired_rate_interval(only_a, only_b, n),
        p_value=mcnemar(only_a, only_b),
    )
