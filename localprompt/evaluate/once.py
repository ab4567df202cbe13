"""One model over one suite: what quality measurements and tuning ask of evaluations."""

from __future__ import annotations

from localprompt.evaluate.models import Models
from localprompt.evaluate.opening import begin
from localprompt.evaluate.runner import OnProgress, run_evaluation
from localprompt.evaluate.summarize import load_result
from localprompt.records.evaluation import EvalRequest, EvalResult
from localprompt.records.model import ModelRecord
from localprompt.records.run import RequestedSettings
from localprompt.running.assemble import model_record
from localprompt.store.evaluations import EvaluationStore


def evaluate_model(
    model: ModelRecord,
    suite: str,
    settings: RequestedSettings,
    store: EvaluationStore,
    models: Models,
    on_progress: OnProgress,
    *,
    cached: bool = True,
    force: bool = False,
) -> EvalResult:
    """Evaluate a model over a suite in every provider's place, as
    ``localprompt eval -m MODEL --scoring generate`` does.

    Args:
        models: opens the model, and is not closed here.
        cached: whether answers of earlier evaluations are taken over; False where time counts.

    Raises:
        LocalPromptError: something is wrong with the suite, or llama.cpp fails.
    """
    request = EvalRequest(
        suite=suite,
        models=(model.name,),
        scoring="generate",
        settings=settings,
        cached=cached,
        force=force,
    )

    def find(name: str) -> ModelRecord:
        return model if name == model.name else model_record(name)

    planned = begin(request, store, find_model=find)
    run_evaluation(planned, store, models, on_progress=on_progress, find_model=find)
    return load_result(planned.evaluation, store)
