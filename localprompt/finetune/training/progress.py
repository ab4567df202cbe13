"""What a training tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable

from localprompt.finetune.training.ledger import Account
from localprompt.finetune.training.loop import Held, Stepped
from localprompt.finetune.training.planning import Plan
from localprompt.finetune.training.worker import Opened, Reply, Saved
from localprompt.records.training import Stage, TrainingProgress


class Follower:
    """Turns what happens into :class:`localprompt.records.training.TrainingProgress`.

    Args:
        account: that from which the training goes on.
    """

    def __init__(
        self, plan: Plan, account: Account, tell: Callable[[TrainingProgress], None]
    ) -> None:
        self._plan, self._tell = plan, tell
        self._done = account.epoch * len(plan.train) + account.step
        self._steps, self._seconds = 0, 0.0
        self._loss: float | None = None

    def stage(self, stage: Stage) -> None:
        """Another stage has begun."""
        steps = self._plan.request.epochs * len(self._plan.train)
        rate = self._steps / self._seconds if self._seconds else None
        self._tell(
            TrainingProgress(
                stage=stage,
                epoch=min(self._done // len(self._plan.train) + 1, self._plan.request.epochs),
                epochs=self._plan.request.epochs,
                step=self._done,
                steps=steps,
                loss=self._loss,
                tokens_per_second=rate * self._plan.n_ctx if rate else None,
                seconds_left=(steps - self._done) / rate if rate else None,
            )
        )

    def note(self, reply: Reply, account: Account) -> None:
        """The worker said something, and it is in the account."""
        if isinstance(reply, Opened):
            self.stage("holdout" if self._plan.holdout and not account.epochs else "train")
        elif isinstance(reply, Stepped):
            self._done += 1
            self._steps += 1
            self._seconds += reply.seconds
            self._loss = account.step_losses[-1]
            self.stage("train")
        elif isinstance(reply, Held):
            self._loss = reply.loss.loss_sum / max(1, reply.loss.counted)
            self.stage("holdout")
        elif isinstance(reply, Saved):
            self.stage("save")
