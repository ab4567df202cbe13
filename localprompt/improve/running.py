"""From a request to the written file: what the command calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from localprompt import paths
from localprompt.evaluate.models import Models
from localprompt.improve.asking import Asker
from localprompt.improve.costs import MeasureCost
from localprompt.improve.opening import FindModel, Setting
from localprompt.improve.rewriting import rewritten
from localprompt.improve.search import OnProgress, Progress, Search
from localprompt.improve.variants import Variant
from localprompt.improve.wordings import Wording
from localprompt.improve.writing import prompt_text, write_prompt
from localprompt.records.evaluation import EvalRequest
from localprompt.records.improvement import Improvement, Weighing
from localprompt.running.assemble import model_record
from localprompt.store.history import History
from localprompt.store.under_way import announced

_CHECKED_CASES = 4
_CLOSED_AT_ONCE = 4
"""Closed questions that are in the context together: few fill a batch already, and each of more
would need cells as many as its examples are long. Nothing is generated, so it takes no longer."""


def answers_path() -> Path:
    """The history of a search's own: what it answered, for the next search."""
    return paths.cache_folder() / "improve.db"


def improve(
    setting: Setting,
    store: History,
    models: Models,
    *,
    keep: Callable[[Improvement], None],
    on_progress: OnProgress = lambda _: None,
    find_model: FindModel = model_record,
    measure_cost: MeasureCost | None = None,
) -> Improvement:
    """Search, prove, and write the better prompt where a gain was shown.

    Args:
        setting: see :func:`localprompt.improve.opening.open_search`.
        store: where answers are kept.
        models: opens the models, and is not closed here.
        keep: stores the record whenever something is new.
        measure_cost: what one answer of a finalist takes; None: it is not measured.

    Raises:
        LocalPromptError: the model fails, or the history or the file cannot be written; what was
            answered stays.
    """
    request = setting.improvement.request
    asking = EvalRequest(
        suite=request.prompt,
        models=(setting.improvement.model.path,),
        settings=request.settings,
        judge=request.judge,
        parallel=_CLOSED_AT_ONCE if setting.template.choices else None,
        cached=request.cached,
        force=request.force,
    )
    asker = Asker(
        setting.improvement.model,
        store,
        models,
        request=asking,
        needs=setting.needs,
        machine=setting.improvement.machine,
        find_model=_the_one(setting, find_model),
    )
    with announced("improve", setting.improvement.title, setting.improvement.id) as notice:

        def tell(now: Progress) -> None:
            notice.tell(now.stage, now.asked, request.max_evaluations)
            on_progress(now)

        search = Search(
            setting,
            asker,
            keep=keep,
            on_progress=tell,
            measure_cost=measure_cost,
            more_wordings=_written(setting, models, asking, find_model),
        )
        record, winner = search.run()
    record = _with_file(record, setting, winner)
    keep(record)
    return record


def _written(
    setting: Setting, models: Models, asking: EvalRequest, find_model: FindModel
) -> tuple[Wording, ...]:
    """The wordings that the user's writer makes; none where there is none.

    Raises:
        UnknownNameError, ModelMissingError: the writer is not here.
        InputError: the prompt has no instruction to write anew.
    """
    request = setting.improvement.request
    if request.rewrite_with is None or "wordings" not in request.search:
        return ()
    writer = models.get(find_model(request.rewrite_with), asking, beside=True)
    return rewritten(setting.template, writer, seed=request.seed)


def _with_file(record: Improvement, setting: Setting, winner: Variant) -> Improvement:
    """The record with both prompts' text, and the better one written where it is wanted."""
    request, final = record.request, record.final
    chosen = record.trial(record.winner)
    weighing = chosen.weighing if chosen else Weighing()
    path = Path(request.output or f"{setting.template.name}-improved.prompty")
    text, pool = prompt_text(setting.template, winner, weighing, record, path)
    before = Path(setting.template.path or "").read_text(encoding="utf-8-sig")
    record = msgspec.structs.replace(record, before=before, after=text)
    wanted = final is not None and (final.shown or request.keep_anyway)
    if request.output is None or not wanted or record.winner is None:
        return record
    expected = winner.template(setting.template)
    write_prompt(path, text, pool, expected, setting.parts.search[:_CHECKED_CASES])
    return msgspec.structs.replace(record, output=str(path))


def _the_one(setting: Setting, find_model: FindModel) -> FindModel:
    """Finds the search's own model without hashing it again."""
    model = setting.improvement.model
    return lambda name: model if name == model.path else find_model(name)
