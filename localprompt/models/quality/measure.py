"""Measuring a model's quality: in a worker process, and into a record.

The text that ships with the project is read unless there is another. A quantized model is read
beside the model that it was made of, which its card names by sha256.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import localprompt
from localprompt import doors, paths, processes
from localprompt.errors import (
    EngineError,
    InputError,
    WorkerError,
)
from localprompt.measure import machine, memory
from localprompt.models.cards import read_catalog
from localprompt.models.inspect import inspect_model
from localprompt.models.predict import predict_memory
from localprompt.models.quality.reading import DEFAULT_N_CTX, OnChunk, check_length
from localprompt.models.quality.worker import Reply, Request, Result
from localprompt.models.resolve import resolve
from localprompt.records.ids import new_run_id
from localprompt.records.model import ModelRecord
from localprompt.records.quality import Quality, TextFacts
from localprompt.records.run import RequestedSettings
from localprompt.units import MIB

WORKER_COMMAND = processes.worker_command("localprompt.models.quality.worker")
_SHIPPED_TEXT = Path("texts") / "english.txt"
_LOGIT_BYTES = 256 * MIB
"""Of a reader: a block of logits, where llama.cpp computes it, and arithmetic over it."""
_SETTINGS = RequestedSettings()


class Text(msgspec.Struct, frozen=True):
    """What is to be read."""

    name: str
    text: str


def load_text(path: Path | None) -> Text:
    """A text file; None: the English text that ships with the project.

    Raises:
        InputError: it cannot be read, or is no UTF-8 text.
    """
    chosen = path or paths.shipped("benchmarks") / _SHIPPED_TEXT
    return Text(chosen.name, doors.read_text(chosen))


def parent_of(name: str) -> str | None:
    """The name of the model that a quantized model was made of; None: it was not made here.

    Raises:
        UnknownNameError: no such model.
        InputError: its parent is not known here; says how to name another.
    """
    card = resolve(name).card
    if card is None or card.parent_sha256 is None:
        return None
    sha256, cards = card.parent_sha256, read_catalog().cards.values()
    parent = next((one for one in cards if one.sha256 == sha256), None)
    if parent is None:
        raise InputError(
            f"the model that {card.name} was made from is not known here",
            expected=f"a model with sha256 {sha256}",
            next_step=f"localprompt models quality {name} --against NAME",
        )
    return parent.name


def check_text(model: ModelRecord, text: Text) -> None:
    """Whether the text is long enough for this model; only its vocabulary is opened.

    Raises:
        InputError: it is too short.
        ModelFileError: the model cannot be opened.
    """
    from localprompt.engine.llama.engine import LlamaEngine

    with LlamaEngine(Path(model.path), vocab_only=True) as engine:
        vocabulary = engine.vocabulary
        check_length(len(vocabulary.tokenize(text.text)) + vocabulary.adds_bos, DEFAULT_N_CTX)


def measure_quality(
    model: ModelRecord,
    parent: ModelRecord | None,
    text: Text,
    *,
    n_ctx: int = DEFAULT_N_CTX,
    settings: RequestedSettings = _SETTINGS,
    hopeless: float | None = None,
    force: bool = False,
    on_chunk: OnChunk | None = None,
    command: Sequence[str] = WORKER_COMMAND,
) -> Quality:
    """Read the text with a model, beside its parent where there is one; in a worker process.

    Args:
        settings: of the model.
        hopeless: a ratio of perplexities beyond which the rest of the text need not be read.
        force: do it even where it is predicted not to fit into memory.
        command: what to start.

    Raises:
        InputError: the text is too short, or the vocabularies differ.
        NotEnoughMemoryError: both together are predicted not to fit.
        EngineError: llama.cpp refused or failed, or its process died.
    """
    if not force:
        _check_memory([model, *([parent] if parent else [])], n_ctx)
    threads = settings.n_threads or machine.default_threads()
    settings = msgspec.structs.replace(
        settings, n_threads=threads, n_threads_batch=settings.n_threads_batch or threads
    )
    started = time.monotonic()
    path = parent.path if parent else None
    request = Request(model.path, path, text.text, n_ctx, settings, hopeless)
    result, chunks = _ask(request, on_chunk, command)
    return Quality(
        id=new_run_id(),
        kind="quality",
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        localprompt_version=localprompt.__version__,
        title=f"quality of {model.name}" + (f" against {parent.name}" if parent else ""),
        model=model,
        parent=parent,
        text=TextFacts(text.name, hashlib.sha256(text.text.encode()).hexdigest(), chunks, n_ctx),
        settings=result.settings,
        perplexity=result.perplexity,
        parent_perplexity=result.parent,
        divergence=result.divergence,
        seconds=time.monotonic() - started,
        machine=machine.describe(llama_cpp_build=result.build),
    )


def _ask(request: Request, on_chunk: OnChunk | None, command: Sequence[str]) -> tuple[Result, int]:
    """The answer, and how many chunks were read for it."""
    chunks = 0
    with processes.Child[Reply](command, Reply) as child:
        child.send(request)
        try:
            while not isinstance(reply := child.receive(), Result):
                chunks = reply.done
                if on_chunk is not None:
                    on_chunk(reply.done, reply.total)
        except WorkerError as error:
            raise EngineError(
                "the text could not be read completely", where=request.model, found=error.message
            ) from error
    return reply, chunks


def _check_memory(models: Sequence[ModelRecord], n_ctx: int) -> None:
    peaks = [
        predict_memory(inspect_model(Path(model.path)), n_ctx=n_ctx).peak_bytes for model in models
    ]
    memory.require(
        sum(peaks) + _LOGIT_BYTES * len(models),
        " and ".join(model.name for model in models) + " would not fit into free memory",
        next_step="without --against the model is read alone, or --force to try",
    )
