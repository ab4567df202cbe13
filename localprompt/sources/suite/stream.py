"""A suite's cases as a stream that can be opened again and again.

The first pass checks: it reads every row, renders every expectation, and collects what is wrong,
so that an evaluation does not stop in the middle for something that could have been known. Later
passes only yield. Neither holds the cases; of those with an id of their own the first pass keeps
eight bytes each, to find one that appears twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from localprompt.errors import DatasetError
from localprompt.sources.suite.assertions import AssertionReader
from localprompt.sources.suite.cases import CaseMaker
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.problems import Problems
from localprompt.sources.suite.records import CaseCounts, EvalCase
from localprompt.sources.suite.test import Outcome, Test
from localprompt.sources.suite.tests import TestReader

MOST_SKIPPED_SHOWN = 10

Outcomes = Callable[[TestReader], Iterator[Outcome]]
"""Reads the suite's tests, defaults applied, from the start."""


class CaseStream:
    """Opens passes over one suite's cases.

    Args:
        folder: that ``file://`` is relative to.
        outcomes: the tests, or what is wrong with the rows where they should be.
        env: what ``env.NAME`` stands for in templates.
        allow_code: whether assertions may be Python.
        skip_bad_rows: whether malformed rows are passed over.
        strict: whether keys that are not known are errors.
        stored: variables under which answers are kept for later cases; it may grow.
        providers: labels and ids of the suite's.
    """

    def __init__(
        self,
        folder: SuiteFolder,
        outcomes: Outcomes,
        env: Mapping[str, str],
        *,
        allow_code: bool,
        skip_bad_rows: bool,
        strict: bool = False,
        stored: Collection[str] = (),
        providers: frozenset[str] = frozenset(),
    ) -> None:
        self._folder = folder
        self._outcomes = outcomes
        self._env = env
        self._allow_code = allow_code
        self._skip_bad_rows = skip_bad_rows
        self._strict = strict
        self._stored = stored
        self._providers = providers

    def __call__(self) -> Iterator[EvalCase]:
        """The cases in order.

        Raises:
            DatasetError: something is wrong that was not when the suite was checked.
        """
        problems = Problems(strict=self._strict)
        maker = self._maker()
        for outcome in self._outcomes(self._reader(problems)):
            problems.raise_if_any()
            if isinstance(outcome, Test):
                yield from maker.cases(outcome)
            elif not self._skip_bad_rows:
                raise outcome
        problems.raise_if_any()

    def check(
        self, problems: Problems, objections: Callable[[EvalCase, Problems], None]
    ) -> tuple[CaseCounts, AssertionReader]:
        """A pass that adds all that is wrong to ``problems``.

        Args:
            objections: looks at each case for what else may be wrong with it.

        Returns:
            what was counted, and the reader that knows what the assertions need.
        """
        reader = self._reader(problems)
        maker = self._maker(with_ids=False)
        skipped: list[str] = []
        skipped_rows = 0
        ids: set[int] = set()
        for outcome in self._outcomes(reader):
            if isinstance(outcome, DatasetError):
                if self._skip_bad_rows:
                    skipped_rows += 1
                    skipped += [str(outcome)] if len(skipped) < MOST_SKIPPED_SHOWN else []
                else:
                    problems.add_error(outcome, "")
                continue
            if outcome.id is not None:
                if hash(outcome.id) in ids:
                    problems.add(outcome.at, f"the id {outcome.id!r} appears twice")
                ids.add(hash(outcome.id))
            try:
                for case in maker.cases(outcome):
                    objections(case, problems)
            except DatasetError as error:
                problems.add_error(error, outcome.at)
        if maker.ran_code:
            reader.assertions.needs.add("code")
        return CaseCounts(maker.index, skipped_rows, tuple(skipped)), reader.assertions

    def _maker(self, *, with_ids: bool = True) -> CaseMaker:
        return CaseMaker(
            self._folder,
            self._env,
            self._stored,
            allow_code=self._allow_code,
            with_ids=with_ids,
        )

    def _reader(self, problems: Problems) -> TestReader:
        assertions = AssertionReader(self._folder, problems, allow_code=self._allow_code)
        return TestReader(self._folder, assertions, self._providers)
