"""A training from beginning to end.

    plan ──▶ unpack to 32-bit floats ──▶ train in a worker, checkpoint each epoch ──▶ publish

The process that trains is another one, so its peak of memory is the training's own. Ctrl-C lets it
finish the step that it is at and save; whatever kills either process leaves the last checkpoint.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from localprompt import paths, processes
from localprompt.errors import EngineError, InputError, LocalPromptError, WorkerError
from localprompt.files import disk_errors_explained, staging
from localprompt.finetune.training import checkpoint, worker
from localprompt.finetune.training.checkpoint import Checkpoint
from localprompt.finetune.training.ledger import Account, Ledger
from localprompt.finetune.training.loop import Course
from localprompt.finetune.training.planning import Plan, plan
from localprompt.finetune.training.progress import Follower
from localprompt.finetune.training.publish import publish
from localprompt.finetune.training.report import report
from localprompt.models.quantize.job import FILE_TYPE_IDS
from localprompt.models.quantize.make import Quantizer
from localprompt.models.quantize.worker import Request as QuantizingRequest
from localprompt.records.training import TrainingProgress, TrainingRequest, TrainingResult
from localprompt.store.under_way import announced

WORKER_COMMAND = processes.worker_command("localprompt.finetune.training.worker")
_UNPACK_BUFFER_BYTES = 64 << 20


def nobody(_progress: TrainingProgress) -> None:
    """Takes progress and does nothing with it."""


def tune(
    request: TrainingRequest,
    on_progress: Callable[[TrainingProgress], None] = nobody,
    *,
    command: Sequence[str] = WORKER_COMMAND,
) -> TrainingResult:
    """Train, and register the tuned model.

    Args:
        on_progress: told of each stage, step and held-out loss.
        command: how the worker is started.

    Raises:
        InputError, DatasetError, MachineError, …: as
            :func:`localprompt.finetune.training.planning.plan`, before anything is started; also
            where ``resume`` finds nothing, or another training.
        EngineError: llama.cpp failed, or the loss is no longer a number.
        WorkerError: the training process died.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint saved.
        HistoryError: the result could not be recorded; the models are there nonetheless.
    """
    began = time.monotonic()
    planned = plan(request)
    store = paths.weights_folder()
    with (
        disk_errors_explained(store),
        staging(store, f"training-{planned.name}", "training") as folder,
        announced("finetune", planned.name) as notice,
    ):

        def tell(now: TrainingProgress) -> None:
            notice.tell(now.stage, now.step, now.steps)
            on_progress(now)

        account = _beginning(planned, folder)
        ledger = Ledger(account)
        follower = Follower(planned, account, tell)
        parent = _unpack(planned, folder, ledger, follower)
        reason = _train(planned, folder, parent, ledger, follower, began, command)
        follower.stage("publish")
        started = time.monotonic()
        models = publish(folder / str(ledger.account.weights), planned)
        seconds = time.monotonic() - started
        checkpoint.clear(folder)
    result = report(
        planned,
        ledger,
        models,
        stopped="max_minutes" if reason == "max_minutes" else "epochs",
        publish_seconds=seconds,
        wall_seconds=account.wall_seconds + time.monotonic() - began,
    )
    if request.log:
        from localprompt.store.history import History

        with History() as history:
            history.keep(result)
    return result


def _beginning(plan: Plan, folder: Path) -> Account:
    """Where to go on, or an empty account."""
    request, found = plan.request, checkpoint.read(folder)
    if not request.resume:
        if found is not None and found.account.weights is not None and not request.again:
            raise InputError(
                f"a training of {plan.name} was cut off after {_reached(found.account)}",
                where=str(folder),
                expected="--resume to continue, or --again to start over",
            )
        checkpoint.clear(folder)
        return Account()
    if found is None:
        raise InputError(
            f"there is no training of {plan.name} to resume",
            where="--resume",
            expected="the name of a training that was cut off",
            next_step="the same command without --resume",
        )
    checkpoint.check_same(found.fingerprint, plan.fingerprint, plan.name)
    return msgspec.structs.replace(found.account, resumptions=found.account.resumptions + 1)


def _reached(account: Account) -> str:
    steps = f" and {account.step} steps" if account.step else ""
    return f"{account.epoch} epoch{'' if account.epoch == 1 else 's'}{steps}"


def _unpack(plan: Plan, folder: Path, ledger: Ledger, follower: Follower) -> Path:
    """The parent as 32-bit floats.

    Raises:
        EngineError: llama.cpp could not do it.
    """
    if plan.parent_is_full:
        return Path(plan.parent.path)
    path = folder / checkpoint.PARENT_FILE
    if path.exists():
        return path
    follower.stage("unpack")
    began, draft = time.monotonic(), path.with_suffix(".part")
    request = QuantizingRequest(
        source=plan.parent.path,
        target=str(draft),
        file_type=FILE_TYPE_IDS["F32"],
        n_threads=plan.n_threads,
        buffer_bytes=_UNPACK_BUFFER_BYTES,
    )
    with Quantizer(request) as quantizer:
        quantizer.plan()
        for _ in quantizer.make():
            pass
    draft.replace(path)
    ledger.unpacked(time.monotonic() - began)
    return path


def _train(
    plan: Plan,
    folder: Path,
    parent: Path,
    ledger: Ledger,
    follower: Follower,
    began: float,
    command: Sequence[str],
) -> str:
    """Let the worker train, and keep its checkpoints; returns why it ended."""
    wall_before = ledger.account.wall_seconds

    def keep() -> None:
        wall = wall_before + time.monotonic() - began
        account = msgspec.structs.replace(ledger.account, wall_seconds=wall)
        checkpoint.write(folder, Checkpoint(plan.fingerprint, account))

    keep()
    job = _job(plan, folder, parent, ledger.account)
    follower.stage("load")
    reason = None
    child = processes.Child[worker.Reply](command, worker.Reply)
    with child, _stopped_by_ctrl_c(child):
        child.send(job)
        try:
            while reason is None:
                reply = child.receive()
                ledger.note(reply)
                follower.note(reply, ledger.account)
                if isinstance(reply, worker.Saved):
                    keep()
                elif isinstance(reply, worker.Ended):
                    reason = reply.reason
        except LocalPromptError as error:
            cause = error.message if isinstance(error, WorkerError) else str(error)
            died = WorkerError("the training did not finish", found=cause)
            raise _resumable(died, plan) from error
    if reason == "nan":
        raise _resumable(_no_number(ledger.account), plan)
    if reason == "stopped":
        raise KeyboardInterrupt
    return str(reason)


@contextmanager
def _stopped_by_ctrl_c(child: processes.Child[worker.Reply]) -> Iterator[None]:
    """Within the block Ctrl-C asks the worker to save and end; a second one does not wait for it.

    Elsewhere than in the main thread, and where somebody else handles the signal, nothing changes.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return

    def ask(_signal: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        child.send(worker.Stop())

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _job(plan: Plan, folder: Path, parent: Path, account: Account) -> worker.Job:
    request = plan.request
    return worker.Job(
        course=Course(
            train=plan.train,
            holdout=plan.holdout,
            epochs=request.epochs,
            learning_rate=request.learning_rate,
            schedule=request.schedule,
            warmup=request.warmup,
            seed=request.seed,
            max_seconds=None if request.max_minutes is None else 60 * request.max_minutes,
            epoch=account.epoch,
            step=account.step,
        ),
        weights=str(parent if account.weights is None else folder / account.weights),
        like=str(parent),
        folder=str(folder),
        n_ctx=plan.n_ctx,
        n_threads=plan.n_threads,
        weight_decay=request.weight_decay,
    )


def _no_number(account: Account) -> EngineError:
    steps = len(account.step_losses)
    return EngineError(
        f"the loss is no longer a number after {steps} steps; training has stopped",
        where=f"epoch {account.epoch + 1}",
        found="usually a learning rate that is too high",
    )


def _resumable(error: LocalPromptError, plan: Plan) -> LocalPromptError:
    """The same error, with how to go on."""
    error.next_step = (
        f"the last checkpoint of {plan.name} is kept: the same command with --resume"
        + (", and a lower --learning-rate" if isinstance(error, EngineError) else "")
    )
    return error
