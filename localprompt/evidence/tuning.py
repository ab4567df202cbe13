"""Tunings that experiments share: each is made once, and found again by what it was made from.

A tuning of the starter model in 32 bit takes minutes on 2 cores, an experiment takes seconds. So
experiments name the tunings that they need, and the same tuning serves all of them. Its recipe is
that of ``localprompt finetune measure`` with what :class:`TuningPlan` says; the name of the tuned
model ends in a digest of the recipe, so another recipe is another model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from localprompt.evidence import data
from localprompt.files import replace_file
from localprompt.records import json
from localprompt.records.json import decode_as
from localprompt.records.model import ModelRecord
from localprompt.records.training import TrainingProgress, TrainingRequest, TrainingResult

_KEY = 16
"""Hexadecimal digits of a recipe's key in the name of its file."""

Tune = Callable[[TrainingRequest, Callable[[TrainingProgress], None]], TrainingResult]
"""As :func:`localprompt.finetune.training.run.tune`."""


class TuningPlan(msgspec.Struct, frozen=True):
    """One tuning."""

    name: str
    prompt: Path
    """The template that examples are rendered with, and answered with afterwards."""
    train: Path
    examples: int | None
    """The first so many of the file; None: all."""
    epochs: int
    seconds: float
    """How long it takes with the starter model on 2 cores: estimated."""
    learning_rate: float = 2e-5
    max_minutes: float = 15.0
    """Then it stops, and what it has reached is what it is."""

    def key(self, model: ModelRecord) -> str:
        """What decides the outcome, seconds aside."""
        decides = (
            model.sha256,
            data.digest(self.prompt, self.train),
            self.examples,
            self.epochs,
            self.learning_rate,
            self.max_minutes,
        )
        return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()

    def model_name(self, model: ModelRecord) -> str:
        """What the tuned model is called in the store."""
        return f"{model.name}-evidence-{self.name}-{self.key(model)[:8]}"


class Tunings:
    """Makes tunings, or finds those that were made.

    Args:
        tune: makes one.
        folder: where their results are kept.
    """

    def __init__(self, model: ModelRecord, folder: Path, tune: Tune) -> None:
        self._model = model
        self._folder = folder
        self._tune = tune

    def kept(self, plan: TuningPlan) -> TrainingResult | None:
        """The tuning, if one of that recipe was made before, under whatever name, and its models
        are still here."""
        for path in sorted(self._folder.glob(f"*-{plan.key(self._model)[:_KEY]}.json")):
            try:
                found = decode_as(path.read_bytes(), TrainingResult)
            except (OSError, msgspec.DecodeError):
                continue
            if all(Path(made.path).is_file() for made in (found.tuned, found.full)):
                return found
        return None

    def make(
        self, plan: TuningPlan, on_progress: Callable[[TrainingProgress], None]
    ) -> TrainingResult:
        """The tuning, made now unless it is kept; one that was cut off goes on.

        Raises:
            LocalPromptError: the model cannot be trained here.
        """
        found = self.kept(plan)
        if found is not None:
            return found
        result = self._tune(self._request(plan), on_progress)
        replace_file(self._path(plan), json.encode(result))
        return result

    def _request(self, plan: TuningPlan) -> TrainingRequest:
        train = plan.train
        if plan.examples is not None:
            train = data.first_examples(plan.train, plan.examples, self._folder, plan.name)
        return TrainingRequest(
            model=self._model.path,
            train=str(train),
            prompt=str(plan.prompt),
            name=plan.model_name(self._model),
            holdout_fraction=0.0,  # the held-out cases are another file, and are scored, not read
            epochs=plan.epochs,
            learning_rate=plan.learning_rate,
            max_minutes=plan.max_minutes,
            log=False,  # the user's history is for what the user did
        )

    def _path(self, plan: TuningPlan) -> Path:
        return self._folder / f"{plan.name}-{plan.key(self._model)[:_KEY]}.json"
