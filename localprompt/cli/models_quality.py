"""``localprompt models quality``: one measurement, shown and kept, with pass rates beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from localprompt.views.stream import data_out

if TYPE_CHECKING:
    from localprompt.records.quality import Quality
    from localprompt.records.run import RequestedSettings


def measure(
    model: str,
    against: str | None,
    text: Path | None,
    *,
    n_ctx: int,
    settings: RequestedSettings,
    force: bool,
    log: bool,
) -> Quality:
    """Measure, and keep it in the history.

    Raises:
        LocalPromptError: a model or the text is not available, or llama.cpp fails.
    """
    from localprompt.models.quality.measure import load_text, measure_quality, parent_of
    from localprompt.running.assemble import model_record
    from localprompt.store.history import History
    from localprompt.views.progress import chunks_progress

    loaded = load_text(text)
    record = model_record(model)
    parent = against or parent_of(model)
    with chunks_progress() as on_chunk:
        found = measure_quality(
            record,
            None if parent is None else model_record(parent),
            loaded,
            n_ctx=n_ctx,
            settings=settings,
            force=force,
            on_chunk=on_chunk,
        )
    if log:
        with History() as store:
            store.keep(found)
    return found


def show(quality: Quality, *, json: bool) -> None:
    """The figures on stdout."""
    from localprompt.cli.output import console
    from localprompt.records import json as record_json
    from localprompt.views.quality import print_quality

    if json:
        data_out().write(record_json.encode(quality).decode() + "\n")
    else:
        print_quality(quality, console())


def with_suite(quality: Quality, suite: str, settings: RequestedSettings, *, log: bool) -> None:
    """Pass rates of the model, and of its parent, over the same cases; then what differs."""
    from localprompt.cli.eval_output import evaluation_store, write_result
    from localprompt.cli.output import console
    from localprompt.evaluate.comparing import compare_evaluations
    from localprompt.evaluate.models import Models
    from localprompt.evaluate.opening import evaluate_model
    from localprompt.views.eval_compare import print_comparison
    from localprompt.views.progress import eval_progress

    with evaluation_store(log=log) as store, Models() as models:
        results = []
        for record in (quality.parent, quality.model):
            if record is not None:
                with eval_progress() as on_progress:
                    results.append(
                        evaluate_model(record, suite, settings, store, models, on_progress)
                    )
                write_result(results[-1], store, "table", None)
        if len(results) == 2:
            compared = compare_evaluations(results[0].evaluation, results[1].evaluation, store)
            print_comparison(compared, console())
