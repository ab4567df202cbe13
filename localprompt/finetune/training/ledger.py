"""What a training has come to so far: made of what the worker says, kept with each checkpoint.

A training that was cut off goes on from its last checkpoint, so its account does as well: what
happened after that checkpoint is forgotten together with the weights that it made.
"""

from __future__ import annotations

import msgspec

from localprompt.engine.windows import WindowLoss
from localprompt.finetune.training.loop import Held, Stepped
from localprompt.finetune.training.worker import Ended, Opened, Reply, Saved
from localprompt.records.training import Epoch, TrainingSeconds


class Account(msgspec.Struct, frozen=True):
    """Everything that was measured up to a checkpoint."""

    epoch: int = 0
    """Epochs that are complete."""
    step: int = 0
    """Steps of the next one that are done."""
    weights: str | None = None
    """File of the checkpoint; None: nothing was trained yet."""
    epochs: tuple[Epoch, ...] = ()
    """Complete ones, and the model before them."""
    open_losses: tuple[WindowLoss, ...] = ()
    """Of the steps of the epoch that is not complete."""
    open_seconds: float = 0.0
    open_cpu_seconds: float = 0.0
    step_losses: tuple[float, ...] = ()
    unpack: float = 0.0
    load: float = 0.0
    train: float = 0.0
    holdout: float = 0.0
    save: float = 0.0
    cpu_seconds: float = 0.0
    peak_rss_bytes: int | None = None
    wall_seconds: float = 0.0
    """Of the calls that are over."""
    resumptions: int = 0
    opened: Opened | None = None

    def seconds(self, publish: float) -> TrainingSeconds:
        return TrainingSeconds(
            unpack=self.unpack,
            load=self.load,
            train=self.train,
            holdout=self.holdout,
            save=self.save,
            publish=publish,
        )


class Ledger:
    """Keeps the account while a training runs.

    Args:
        account: that of the checkpoint from which it goes on.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self._held: WindowLoss | None = None
        self._cpu_before = 0.0
        """CPU seconds of this worker at its last checkpoint."""

    def note(self, reply: Reply) -> None:
        """Enter what the worker said."""
        if isinstance(reply, Opened):
            self._change(load=self.account.load + reply.seconds, opened=reply)
        elif isinstance(reply, Stepped):
            self._stepped(reply)
        elif isinstance(reply, Held):
            self._held_out(reply)
        elif isinstance(reply, Saved):
            self._saved(reply)
        elif isinstance(reply, Ended):
            self._used(reply.cpu_seconds, reply.peak_rss_bytes)

    def unpacked(self, seconds: float) -> None:
        """The model was made into 32-bit floats."""
        self._change(unpack=self.account.unpack + seconds)

    def interim(self) -> Epoch | None:
        """The epoch that was not completed, as far as it came; None where there is none."""
        return self._epoch(self.account.epoch + 1, complete=False) if self._open else None

    @property
    def _open(self) -> bool:
        return bool(self.account.open_losses)

    def _stepped(self, reply: Stepped) -> None:
        account, loss = self.account, reply.loss
        self._held = None
        self._change(
            open_losses=(*account.open_losses, loss),
            step_losses=(*account.step_losses, loss.loss_sum / max(1, loss.counted)),
            train=account.train + reply.seconds,
            open_seconds=account.open_seconds + reply.seconds,
        )

    def _held_out(self, reply: Held) -> None:
        account = self.account
        self._held = reply.loss
        self._change(
            holdout=account.holdout + reply.seconds,
            open_seconds=account.open_seconds + reply.seconds,
        )
        if not account.epochs:
            self._used(reply.cpu_seconds, None)
            self._close(0)

    def _saved(self, reply: Saved) -> None:
        account = self.account
        self._change(
            save=account.save + reply.seconds,
            open_seconds=account.open_seconds + reply.seconds,
        )
        self._used(reply.cpu_seconds, reply.peak_rss_bytes)
        if reply.step == 0:
            self._close(reply.epoch)
        self._change(epoch=reply.epoch, step=reply.step, weights=reply.file)

    def _close(self, epoch: int) -> None:
        done = self._epoch(epoch, complete=True)
        self._held = None
        self._change(
            epochs=(*self.account.epochs, done),
            open_losses=(),
            open_seconds=0.0,
            open_cpu_seconds=0.0,
        )

    def _epoch(self, epoch: int, *, complete: bool) -> Epoch:
        account, held = self.account, self._held
        counted = sum(loss.counted for loss in account.open_losses)
        return Epoch(
            epoch=epoch,
            train_loss=(
                sum(loss.loss_sum for loss in account.open_losses) / counted if counted else None
            ),
            train_accuracy=(
                sum(loss.correct for loss in account.open_losses) / counted if counted else None
            ),
            holdout_loss=held.loss_sum / held.counted if held else None,
            holdout_accuracy=held.correct / held.counted if held else None,
            steps=len(account.open_losses),
            complete=complete,
            wall_seconds=account.open_seconds,
            cpu_seconds=account.open_cpu_seconds,
        )

    def _used(self, cpu_seconds: float, peak_rss_bytes: int | None) -> None:
        account = self.account
        more = cpu_seconds - self._cpu_before
        self._cpu_before = cpu_seconds
        peaks = [n for n in (account.peak_rss_bytes, peak_rss_bytes) if n is not None]
        self._change(
            cpu_seconds=account.cpu_seconds + more,
            open_cpu_seconds=account.open_cpu_seconds + more,
            peak_rss_bytes=max(peaks, default=None),
        )

    def _change(self, **changes: object) -> None:
        self.account = msgspec.structs.replace(self.account, **changes)
