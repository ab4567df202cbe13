"""A choice, carried out: the evaluation in this process, then the bench in workers.

The models of the evaluation are closed before the bench begins, so that what one answer takes is
measured on a machine that does nothing else.
"""

from __future__ import annotations

from localprompt.bench.child import WORKER_COMMAND
from localprompt.bench.comparing import load_bench
from localprompt.bench.runner import OnStep, run_bench
from localprompt.choose.judging import judge
from localprompt.choose.opening import Opened
from localprompt.evaluate.models import Models
from localprompt.evaluate.planning import FindModel
from localprompt.evaluate.runner import OnProgress, run_evaluation
from localprompt.evaluate.summarize import load_result
from localprompt.records.choice import Choice, ChoiceResult
from localprompt.running.assemble import model_record
from localprompt.store.history import History


def carry_out(
    opened: Opened,
    store: History,
    models: Models,
    *,
    on_progress: OnProgress = lambda _: None,
    on_step: OnStep = lambda _: None,
    find_model: FindModel = model_record,
    command: tuple[str, ...] = tuple(WORKER_COMMAND),
) -> None:
    """Make what is missing of both.

    Args:
        models: opens those of the evaluation; closed when the bench begins.
        command: starts a worker of the bench.

    Raises:
        KeyboardInterrupt: what was answered and measured is stored.
        LocalPromptError: a model cannot be opened or fails, or the history cannot be written.
    """
    run_evaluation(
        opened.planned, store, models, on_progress=on_progress, find_model=find_model,
        with_floor=False,
    )  # fmt: skip
    models.close()
    runs = [run for run, _ in store.runs_of(opened.experiment.id)]
    run_bench(opened.experiment, store, runs=runs, command=command, on_step=on_step)


def load_choice(choice: Choice, store: History) -> ChoiceResult:
    """The choice with all its figures.

    Raises:
        UnknownNameError: its evaluation or its bench was deleted.
    """
    evaluation = store.evaluation(choice.evaluation)
    return judge(choice, load_result(evaluation, store), load_bench(choice.bench, store))
