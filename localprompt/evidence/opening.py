"""A lab for a model of this machine: real engine, real training, a folder in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from localprompt import paths
from localprompt.errors import InputError
from localprompt.evaluate.models import Models
from localprompt.evidence import tools
from localprompt.evidence.lab import Lab, OnStep
from localprompt.evidence.searching import Searches
from localprompt.evidence.tuning import Tunings
from localprompt.finetune.estimate.cost import read_prices
from localprompt.records.model import AdapterUse
from localprompt.records.training import TrainingProgress, TrainingRequest, TrainingResult
from localprompt.running.assemble import model_record
from localprompt.store.history import History

FOLDER = "evidence"
HISTORY = "answers.db"


@contextmanager
def open_lab(
    model: str,
    *,
    prices: Path | None = None,
    adapters: tuple[AdapterUse, ...] = (),
    on_step: OnStep = lambda _: None,
) -> Iterator[Lab]:
    """The lab of one model; its models are closed at the end.

    Args:
        model: name or path.
        prices: a table of GPU prices instead of the shipped one.
        adapters: made elsewhere, to be the tuned side.

    Raises:
        ModelFileError: an adapter is of another model.
        UnknownNameError, ModelMissingError: there is no such model, or the table has a GPU that is
            not known.
        InputError: the table cannot be read, or the adapters change nothing.
        HistoryError: the folder cannot be used.
    """
    offers = read_prices(prices)
    record = model_record(model)
    folder = paths.cache_folder() / FOLDER
    paths.make_folder(folder)
    with History(folder / HISTORY) as store, Models() as models:
        yield Lab(
            record,
            folder,
            store=store,
            models=models,
            find_model=model_record,
            tunings=Tunings(record, folder / "tunings", go_on_or_begin),
            searches=Searches(record, folder / "searches", tools.run),
            prices=offers,
            adapters=adapters,
            on_step=on_step,
        )


def go_on_or_begin(
    request: TrainingRequest, on_progress: Callable[[TrainingProgress], None]
) -> TrainingResult:
    """A real tuning; one that was cut off goes on.

    The name ends in a digest of the recipe, so a model of that name that has lost its result is
    one of ours and may be made again.

    Raises:
        LocalPromptError: the model cannot be trained here.
    """
    from localprompt.finetune.training import run

    try:
        return run.tune(msgspec.structs.replace(request, resume=True), on_progress)
    except InputError as error:
        if error.where != "--resume":
            raise
    return run.tune(msgspec.structs.replace(request, again=True), on_progress)
