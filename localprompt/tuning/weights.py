"""The same model in other types: made where they are missing, removed where nobody wants them."""

from __future__ import annotations

from collections.abc import Iterable

from localprompt.models.cards import read_catalog
from localprompt.models.quantize.job import prepare
from localprompt.models.quantize.make import make
from localprompt.models.receiver import Progress, no_progress
from localprompt.models.store import remove_model
from localprompt.records.model import ModelRecord
from localprompt.running.assemble import model_record


class Weights:
    """Quantizations of one model.

    Args:
        parent: the model that is tuned.
    """

    def __init__(self, parent: ModelRecord) -> None:
        self._parent = parent
        self._made: list[str] = []

    def of_type(self, file_type: str, progress: Progress = no_progress) -> ModelRecord:
        """The model in a type, made unless it is here.

        Raises:
            UnknownNameError: llama.cpp makes no such type.
            MachineError: there is no room for it, or llama.cpp refuses.
            InputError: the model is of that type already, or another model has the name.
        """
        name = f"{self._parent.name}-{file_type.lower()}"
        card = read_catalog().find(name)
        if card is not None and card.parent_sha256 == self._parent.sha256 and card.weights.exists():
            return model_record(name)
        job = prepare(self._parent.name, file_type)
        made = make(job, progress=progress)
        self._made.append(made.card.name)
        return model_record(made.card.name)

    def clean_up(self, keep: Iterable[str]) -> list[str]:
        """Remove what was made here and is in nobody's use.

        Returns:
            the names of what was removed.
        """
        kept = set(keep)
        gone = [name for name in self._made if name not in kept]
        for name in gone:
            remove_model(name)
        self._made = [name for name in self._made if name in kept]
        return gone
