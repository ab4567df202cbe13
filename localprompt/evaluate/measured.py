"""What is known of a model on this machine when an evaluation begins, and what follows from it.

The table of attention and the times of small batches are read, or measured now where the
evaluation is long enough to be worth it; the first evaluation of a model waits for that some
seconds, and says so.
"""

from __future__ import annotations

from localprompt.engine.base import Engine
from localprompt.evaluate.room import MOST_APART, MOST_SHARING
from localprompt.evaluate.ways import Shape, Way, ways
from localprompt.records.model import ModelRecord
from localprompt.records.run import RequestedSettings
from localprompt.running.attention import OnNote, table_for
from localprompt.running.attention_costs import Costs

_WORTH_MEASURING = 2048
"""Tokens of an evaluation, below which measuring would take longer than it saves."""


class Measured:
    """Of one open model.

    Attributes:
        why_not: why nothing was chosen the last time; None: something was, or it was typed.
    """

    def __init__(
        self, model: ModelRecord, settings: RequestedSettings, engine: Engine, on_note: OnNote
    ) -> None:
        self._model = model
        self._settings = settings
        self._engine = engine
        self._on_note = on_note
        self._found: dict[tuple[Shape, bool], tuple[Way, ...]] = {}
        self.why_not: str | None = None

    def ways(self, shape: Shape, *, generating: bool) -> tuple[Way, ...]:
        """Ways for such requests, best first; none where llama.cpp's own choice stays."""
        if self._settings.flash_attn is not None:
            return ()
        key = shape, generating
        if key not in self._found:
            self._found[key] = self._counted(shape, generating=generating)
        return self._found[key]

    def _counted(self, shape: Shape, *, generating: bool) -> tuple[Way, ...]:
        tokens = shape.requests * (shape.own_tokens + shape.answer_tokens)
        worth_it = tokens >= _WORTH_MEASURING
        known = table_for(
            self._model.path,
            self._settings,
            self._engine,
            may_measure=worth_it,
            on_note=self._on_note,
        )
        if isinstance(known, str):
            self.why_not = known
            return ()
        self.why_not = None
        whole = known.table.whole_model
        steps = self._engine.steps() if worth_it and not whole else ()
        costs = Costs(known.table, known.info.n_layer, steps)
        return ways(shape, costs, generating=generating, usual=(MOST_APART, MOST_SHARING))
