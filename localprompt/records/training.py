"""The frozen records of a fine-tuning: what was asked for, what it took, what came out.

A training is an *experiment*, as a bench and an evaluation are. Everything in
:class:`TrainingResult` was measured, except what says that it is estimated.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from localprompt.records.model import ModelRecord
from localprompt.records.run import Machine, RunWarning
from localprompt.stats.ranges import Range

Loss = Literal["answer", "all"]
"""What the loss looks at: the answers' tokens alone, or all tokens of the examples."""
Schedule = Literal["linear", "cosine", "constant"]
"""How the learning rate goes on after its warm-up: to zero in a line or a wave, or not at all."""
Stop = Literal["epochs", "max_minutes"]
Stage = Literal["unpack", "load", "train", "holdout", "save", "publish"]


class TrainingRequest(msgspec.Struct, frozen=True):
    """What a user asks for."""

    model: str
    """A name, or the path of a GGUF file."""
    train: str
    """A file of examples: csv, jsonl, json or yaml; columns are the prompt's inputs, and
    ``expected`` (or ``__expected``) is the answer."""
    prompt: str
    """The template's name or path."""
    name: str | None = None
    """What to call the tuned model; None: ``<model>-tuned-<prompt>``."""
    holdout: str | None = None
    """A file of examples that are not trained on; None: a part of the others."""
    holdout_fraction: float = 0.1
    """That part; 0 for none. Not used where there is a file."""
    limit: int | None = None
    """Train on so many examples, drawn by ``seed`` after the held-out ones were taken away."""
    epochs: int = 3
    learning_rate: float = 2e-5
    schedule: Schedule = "linear"
    warmup: float = 0.1
    """The share of all steps in which the learning rate rises from zero."""
    weight_decay: float = 0.0
    loss: Loss = "answer"
    n_ctx: int | None = None
    """Tokens of a step; None: as many as the longest example needs. In steps of 256."""
    n_threads: int | None = None
    """None: one per physical core that may be used."""
    seed: int = 0
    """Of the order of examples, and of what is held out."""
    max_minutes: float | None = None
    """Of training, in this call: then it stops, and what it has reached is the result."""
    resume: bool = False
    """Go on where an earlier call of the same training was cut off."""
    again: bool = False
    """Forget an unfinished training of that name, and replace a finished one's model."""
    force: bool = False
    """Train even if it is predicted not to fit into memory."""
    log: bool = True
    """Whether the history keeps the result."""


class TrainingProgress(msgspec.Struct, frozen=True):
    """Where a training is."""

    stage: Stage
    epoch: int
    """From 1; 0 before the first."""
    epochs: int
    step: int
    """Steps that are done, those before a resumption included."""
    steps: int
    """How many it will be."""
    loss: float | None
    """Nats per counted token; of the last step, or of the held-out examples."""
    tokens_per_second: float | None
    """Of this call, filling included."""
    seconds_left: float | None
    """Until the last step, at this speed; estimated."""


class Epoch(msgspec.Struct, frozen=True):
    """A point of the loss curve. Epoch 0 is the model before training."""

    epoch: int
    train_loss: float | None
    """Nats per counted token, over the epoch's steps, each before its change; None for epoch 0."""
    train_accuracy: float | None
    """Share of the counted tokens that were the most probable ones."""
    holdout_loss: float | None
    """After the epoch; None without held-out examples."""
    holdout_accuracy: float | None
    steps: int
    complete: bool
    """False: it was stopped within the epoch."""
    wall_seconds: float
    """Of its steps and its held-out examples, checkpoint included."""
    cpu_seconds: float


class Examples(msgspec.Struct, frozen=True):
    """What was trained on."""

    trained: int
    held_out: int
    tokens: int
    """Of the examples that were trained on, once."""
    counted_tokens: int
    """Those that the loss looks at."""
    longest_tokens: int
    windows: int
    """Steps of an epoch."""
    sha256: str
    """Of the tokens of all windows, held-out ones included."""


class TrainingMemory(msgspec.Struct, frozen=True):
    """Memory of the training process, all of it resident; the parts add up to the peak."""

    peak_rss_bytes: int | None
    process_bytes: int | None
    """Resident before the model was opened: Python and the libraries."""
    weights_bytes: int | None
    """As llama.cpp reports it: 32-bit floats."""
    gradients_bytes: int
    """Allocated by ggml: 4 bytes for each trained parameter."""
    optimizer_bytes: int
    """Allocated by ggml: AdamW's two moments, 8 bytes for each trained parameter."""
    kv_cache_bytes: int | None
    activations_bytes: int | None
    """The rest of the peak: what the graph keeps for its backward pass, logits, labels and their
    gradients, file pages."""


class TunedModel(msgspec.Struct, frozen=True):
    """A model that came out, registered in the store."""

    name: str
    path: str
    sha256: str
    size_bytes: int
    quantization: str


class TrainingSeconds(msgspec.Struct, frozen=True):
    """Wall time by stage; of calls that were cut off, up to their last checkpoint."""

    unpack: float
    """The model → 32-bit floats."""
    load: float
    train: float
    """Steps alone."""
    holdout: float
    save: float
    """Checkpoints."""
    publish: float
    """Hashing and quantizing what came out."""


class EstimateBeside(msgspec.Struct, frozen=True):
    """What ``finetune estimate`` says of the same training."""

    kind: Literal["estimated"]
    peak_bytes: Range
    parts: dict[str, Range]
    """weights, gradients, optimizer, activations, logits, overhead."""


class TrainingResult(msgspec.Struct, frozen=True):
    """A training that came to its end. What ``--json`` prints and the history keeps."""

    id: str
    kind: Literal["finetune"]
    created_at: str
    """When it was finished; UTC, ISO 8601."""
    localprompt_version: str
    title: str
    request: TrainingRequest
    parent: ModelRecord
    prompt_sha256: str
    tuned: TunedModel
    """In the parent's quantization."""
    full: TunedModel
    """As 32-bit floats; the same as ``tuned`` where the parent is that."""
    stopped: Stop
    n_ctx: int
    n_threads: int
    parameters: int
    trained_parameters: int
    examples: Examples
    epochs: tuple[Epoch, ...]
    """The loss curve."""
    step_losses: tuple[float, ...]
    """Nats per counted token; one for each step."""
    seconds: TrainingSeconds
    wall_seconds: float
    """All of it, from the request to the registered models."""
    cpu_seconds: float
    """Of the training process: user and system."""
    tokens_per_second: float
    """Windows × n_ctx / seconds of training, filling included."""
    example_tokens_per_second: float
    """Without the filling."""
    memory: TrainingMemory
    estimate: EstimateBeside | None
    """None: models built like this are not estimated."""
    resumptions: int
    machine: Machine
    warnings: tuple[RunWarning, ...] = ()
