"""What is expected of an answer, and what became of it."""

from __future__ import annotations

from typing import Any

import msgspec


class Script(msgspec.Struct, frozen=True):
    """Code of a suite: an assertion, or a transform of an answer or of variables."""

    source: str
    """JavaScript: a function's body, or a file that exports a function; or a file of Python."""
    file: bool = False
    name: str | None = None
    """The export; None: the file's only one. In Python the function."""
    python: str | None = None
    """The path of a file of Python, which runs where that was allowed."""

    @property
    def anywhere(self) -> Script:
        """The same, wherever its file lies."""
        return self if self.python is None else msgspec.structs.replace(self, python="")


class Expectation(msgspec.Struct, frozen=True):
    """One assertion about one answer."""

    type: str
    """Its name without ``not-``: equals, contains, rouge-n, …"""
    value: Any = None
    """What is expected: a text, a list of texts, a schema, a range, code or a rubric."""
    negated: bool = False
    """True for ``not-`` of the type."""
    threshold: float | None = None
    """What a graded type has to reach; its meaning belongs to the type."""
    weight: float = 1.0
    """Its part in the case's score; 0 only records the metric and cannot fail the case."""
    metric: str | None = None
    """Scores with the same metric are summed up together."""
    config: dict[str, Any] = {}
    """Handed to Python code as ``context["config"]``."""
    normalize_unicode: str | None = None
    """NFC, NFD, NFKC or NFKD: applied to both sides of ``equals``."""
    judge: str | None = None
    """The model that should judge a rubric; None for the suite's default."""
    rubric_prompt: str | None = None
    """The suite's own prompt for the judge: Nunjucks over ``output``, ``rubric`` and the variables;
    a text, or a JSON list of messages."""
    script: Script | None = None
    """A file's function, where JavaScript stands in one; otherwise it is the value."""
    transform: Script | None = None
    """What becomes of the answer before this assertion sees it."""
    where: str | None = None
    """File, line and key it came from."""

    @property
    def name(self) -> str:
        """As it is written in a suite: ``not-contains``."""
        return f"not-{self.type}" if self.negated else self.type


class ExpectationSet(msgspec.Struct, frozen=True):
    """``assert-set``: several expectations that count as one."""

    members: tuple[Expectation, ...]
    threshold: float | None = None
    """The members' weighted mean that is enough; None: each of them has to pass."""
    weight: float = 1.0
    metric: str | None = None
    where: str | None = None


AnyExpectation = Expectation | ExpectationSet


class Answer(msgspec.Struct, frozen=True):
    """What a model said, and the facts about the run that assertions may ask for."""

    text: str
    finish_reason: str | None = None
    """stop, length, …; None where it is unknown."""
    latency_seconds: float | None = None
    """Request submitted → last token; None: unknown, as for a cached answer."""
    prompt: str | None = None
    """The rendered prompt."""
    vars: dict[str, Any] = {}
    """The case's variables."""
    output: Any = None
    """What code sees instead of the text: a value that is no text, as calls of tools."""
    tools: tuple[dict[str, Any], ...] = ()
    """The definitions that the model was given."""
    choices: tuple[str, ...] = ()
    """The closed set that it was taken from, where the case brought its own."""
    log_probabilities: dict[str, float] = {}
    """Of each of those."""
    greedy: tuple[str, ...] = ()
    """Those that the model would have written by itself."""


class Score(msgspec.Struct, frozen=True):
    """What one expectation made of one answer."""

    type: str
    """As in the suite, ``not-`` included; ``assert-set`` for a set."""
    score: float | None
    """0 to 1, or what JavaScript of the suite made of it; None: unscored."""
    passed: bool | None
    """None: unscored."""
    reason: str
    """What was found, in words; for an unscored one, what prevented it."""
    metric: str | None = None
    weight: float = 1.0
    members: tuple[Score, ...] = ()
    """The scores inside an ``assert-set``."""
    where: str | None = None


class MetricTotal(msgspec.Struct, frozen=True):
    """One named metric of one case, kept so that sums over cases stay exact."""

    weighted_sum: float
    """Sum of score × weight over its scored assertions."""
    weight: float
    """Sum of their weights."""
    unscored: int = 0

    @property
    def mean(self) -> float | None:
        return self.weighted_sum / self.weight if self.weight > 0 else None


class CaseScore(msgspec.Struct, frozen=True):
    """What all expectations of one case made of one answer."""

    score: float | None
    """Weighted mean of its scores, 0 to 1; None where one that counts is unscored."""
    passed: bool | None
    """None: undecided, because something that counts could not be scored."""
    reason: str
    scores: tuple[Score, ...]
    metrics: dict[str, MetricTotal] = {}
