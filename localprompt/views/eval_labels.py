"""Closed answers: which label was taken for which, and how sure the model was of it."""

from __future__ import annotations

from collections.abc import Iterator

from localprompt.records.evaluation import Classification, EvalResult
from localprompt.units import UNKNOWN
from localprompt.views.eval_text import target_name
from localprompt.views.sections import Column, Row, Table, Value
from localprompt.views.translation import translated


def label_tables(result: EvalResult) -> Iterator[Table]:
    for summary in result.targets:
        found = summary.classification
        if found is not None:
            yield _confusion(target_name(summary), found)
            if found.calibration is not None:
                yield _calibration(target_name(summary), found)


def _confusion(name: str, found: Classification) -> Table:
    others = any(row[-1] for row in found.matrix)
    answered = (*found.labels, *(["another answer"] if others else []))
    headings = (*(f"→ {label}" for label in answered), "precision", "recall", "F1")
    rows = (
        Row(
            score.label,
            (
                Value(score.label, score.label),
                *(Value(str(n), n) for n in (counts if others else counts[:-1])),
                *map(_share, (score.precision, score.recall, score.f1)),
            ),
        )
        for score, counts in zip(found.scores, found.matrix, strict=True)
    )
    caption = translated(
        "A row is what was expected, a column with → what was answered. "
        f"Accuracy {found.accuracy:.3f}, macro-F1 {found.macro_f1:.3f}."
    )
    columns = (Column("expected"), *(Column(text, numeric=True) for text in headings))
    return Table(caption, columns, tuple(rows), title=name)


def _calibration(name: str, found: Classification) -> Table:
    calibration = found.calibration
    bins = calibration.bins if calibration is not None else ()
    error = calibration.expected_error if calibration is not None else 0.0
    rows = [
        Row(
            f"{confidence:.3f}",
            (Value(f"{confidence:.3f}", f"{confidence:.3f}"), _share(right), Value(str(n), n)),
        )
        for confidence, right, n in bins
    ]
    caption = translated(
        "How probable the chosen answer was, and how often it was right, in ten bins of "
        f"equal width. Expected calibration error {error:.3f}; 0 would be exact."
    )
    columns = (Column("mean probability"), Column("share right", True), Column("answers", True))
    return Table(caption, columns, tuple(rows), title=name)


def _share(value: float | None) -> Value:
    return Value(UNKNOWN if value is None else f"{value:.3f}", value)
