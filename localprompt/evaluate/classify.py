"""Answers from a closed set: who was taken for whom, how well, and how sure it was."""

from __future__ import annotations

import math
from collections import Counter

from localprompt.records.evaluation import Calibration, CaseResult, Classification, LabelScore

MOST_LABELS = 20
"""More different answers are no closed set but free text."""
_BINS = 10


class Tally:
    """Counts expected and given answers as results come.

    Args:
        choices: the closed set, where the prompt declares it; otherwise the expected answers are
            taken for one if there are few of them and they come again and again.
    """

    def __init__(self, choices: tuple[str, ...]) -> None:
        self._choices = choices
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._expected: Counter[str] = Counter()
        self._without = 0
        self._sure = [(0.0, 0, 0)] * _BINS

    def add(self, result: CaseResult) -> None:
        if result.expected is None:
            self._without += 1
            return
        if not self._choices and len(self._expected) > MOST_LABELS:
            return  # free text: nothing comes of it
        self._expected[result.expected] += 1
        self._pairs[result.expected, result.answer.strip()] += 1
        if result.probabilities:
            self._add_probability(result.probabilities, result.expected)

    def classification(self) -> Classification | None:
        """None where the answers are not from a closed set."""
        labels = self._labels()
        if not labels:
            return None
        matrix = tuple(
            (*(self._pairs[row, column] for column in labels), self._others(row, labels))
            for row in labels
        )
        total = sum(map(sum, matrix))
        scores = tuple(_label_score(matrix, at, label) for at, label in enumerate(labels))
        counted = [s.f1 for s in scores if s.precision is not None or s.recall is not None]
        return Classification(
            labels=labels,
            matrix=matrix,
            accuracy=sum(matrix[at][at] for at in range(len(labels))) / total,
            macro_f1=math.fsum(counted) / len(counted),
            scores=scores,
            calibration=self._calibration(),
        )

    def only_answer(self) -> str | None:
        """The one answer that all cases got, where they expect several: such a pass rate says how
        often that label is expected, and nothing about the model."""
        answers = {given for _, given in self._pairs}
        if len(answers) != 1 or len(self._expected) < 2 or not self._labels():
            return None
        return answers.pop()

    def _labels(self) -> tuple[str, ...]:
        total = self._expected.total()
        if not total:
            return ()
        if self._choices:
            return self._choices if self._expected.keys() <= set(self._choices) else ()
        few = 2 <= len(self._expected) <= min(MOST_LABELS, total // 2)
        return tuple(sorted(self._expected)) if few and not self._without else ()

    def _others(self, row: str, labels: tuple[str, ...]) -> int:
        return sum(n for (e, given), n in self._pairs.items() if e == row and given not in labels)

    def _add_probability(self, probabilities: dict[str, float], expected: str) -> None:
        chosen, sure = max(probabilities.items(), key=lambda item: item[1])
        at = min(_BINS - 1, max(0, int(sure * _BINS)))
        total, right, n = self._sure[at]
        self._sure[at] = (total + sure, right + (chosen == expected), n + 1)

    def _calibration(self) -> Calibration | None:
        bins = [(total / n, right / n, n) for total, right, n in self._sure if n]
        count = sum(n for *_, n in bins)
        if not count:
            return None
        error = math.fsum(abs(right - sure) * n for sure, right, n in bins) / count
        return Calibration(count, error, tuple(bins))


def _label_score(matrix: tuple[tuple[int, ...], ...], at: int, label: str) -> LabelScore:
    right = matrix[at][at]
    expected, answered = sum(matrix[at]), sum(row[at] for row in matrix)
    both = expected + answered
    return LabelScore(
        label=label,
        precision=right / answered if answered else None,
        recall=right / expected if expected else None,
        f1=2 * right / both if both else 0.0,
    )
