"""From the account of a training to its result."""

from __future__ import annotations

from datetime import UTC, datetime

import localprompt
from localprompt.engine.llama.library import build, cpu_features
from localprompt.errors import WorkerError
from localprompt.finetune.training.ledger import Ledger
from localprompt.finetune.training.planning import Plan
from localprompt.measure import machine
from localprompt.records.ids import new_run_id
from localprompt.records.run import RunWarning
from localprompt.records.training import Epoch, Stop, TrainingMemory, TrainingResult, TunedModel


def report(
    plan: Plan,
    ledger: Ledger,
    models: tuple[TunedModel, TunedModel],
    *,
    stopped: Stop,
    publish_seconds: float,
    wall_seconds: float,
) -> TrainingResult:
    """Everything that is known in the end.

    Raises:
        WorkerError: the worker never said that it had opened the model.
    """
    account, interim = ledger.account, ledger.interim()
    epochs = (*account.epochs, interim) if interim else account.epochs
    steps, train_seconds = len(account.step_losses), max(account.train, 1e-9)
    example_tokens = plan.examples.tokens * steps / max(1, plan.examples.windows)
    return TrainingResult(
        id=new_run_id(),
        kind="finetune",
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        localprompt_version=localprompt.__version__,
        title=plan.name,
        request=plan.request,
        parent=plan.parent,
        prompt_sha256=plan.template.sha256,
        tuned=models[0],
        full=models[1],
        stopped=stopped,
        n_ctx=plan.n_ctx,
        n_threads=plan.n_threads,
        parameters=plan.parent.parameters or 0,
        trained_parameters=plan.trained_parameters,
        examples=plan.examples,
        epochs=epochs,
        step_losses=account.step_losses,
        seconds=account.seconds(publish_seconds),
        wall_seconds=wall_seconds,
        cpu_seconds=account.cpu_seconds,
        tokens_per_second=steps * plan.n_ctx / train_seconds,
        example_tokens_per_second=example_tokens / train_seconds,
        memory=memory_parts(plan, ledger),
        estimate=plan.estimate,
        resumptions=account.resumptions,
        machine=machine.describe(llama_cpp_build=build(), cpu_features=cpu_features()),
        warnings=tuple(_warnings(epochs)),
    )


def memory_parts(plan: Plan, ledger: Ledger) -> TrainingMemory:
    """The peak, and what it was made of.

    Gradients and moments are 32-bit floats for each trained parameter (``ggml_opt_build``); what
    remains of the peak is what the graph takes.
    """
    account = ledger.account
    opened = account.opened
    if opened is None:
        raise WorkerError("the training process did not say what it opened")
    gradients = 4 * opened.trained_parameters
    optimizer = 8 * opened.trained_parameters
    buffers = opened.buffers
    known = (opened.process_bytes, buffers.weights_bytes, buffers.kv_cache_bytes)
    rest = None
    if account.peak_rss_bytes is not None and None not in known:
        rest = account.peak_rss_bytes - gradients - optimizer - sum(n or 0 for n in known)
    return TrainingMemory(
        peak_rss_bytes=account.peak_rss_bytes,
        process_bytes=opened.process_bytes,
        weights_bytes=buffers.weights_bytes,
        gradients_bytes=gradients,
        optimizer_bytes=optimizer,
        kv_cache_bytes=buffers.kv_cache_bytes,
        activations_bytes=rest,
    )


def _warnings(epochs: tuple[Epoch, ...]) -> list[RunWarning]:
    held = {epoch.epoch: epoch.holdout_loss for epoch in epochs if epoch.holdout_loss is not None}
    if len(held) < 2:
        return []
    best = min(held, key=lambda epoch: held[epoch])
    if best == max(held):
        return []
    advice = f"--again --epochs {best}" if best else "a lower --learning-rate"
    return [
        RunWarning(
            "overfitted",
            f"the held-out loss was lowest after epoch {best}, before the end: what came after "
            "was overfitting",
            f"train it again with {advice}, or with more examples",
        )
    ]
