"""What the experiments need of the real world, in one place where a test can put other things.

Each is one call of what the commands use: quantizing in a child process, reading a text with a
model and its parent, the program itself in a fresh process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from localprompt.engine.base import Engine
from localprompt.errors import WorkerError
from localprompt.finetune.estimate.shapes import ModelShape
from localprompt.measure.machine import default_threads
from localprompt.models.quality.reading import Comparison, read_beside
from localprompt.records.model import AdapterUse, ModelRecord
from localprompt.records.run import RequestedSettings
from localprompt.units import MIB

_CONVERSION_BUFFER_BYTES = 64 * MIB
_SHOWN_CHARACTERS = 400


class Ran(msgspec.Struct, frozen=True):
    """One run of the program in a process of its own."""

    stdout: str
    wall_seconds: float
    """From starting the process to its end."""
    cpu_seconds: float = 0.0
    """Of the process and those that it started and waited for."""
    peak_rss_bytes: int | None = None
    """The largest of theirs; None where the system does not tell."""


@dataclass(frozen=True)
class Tools:
    """The seam between experiments and the machine."""

    open_vocabulary: Callable[[ModelRecord], Engine]
    """An engine that encodes; weights are not read."""
    convert: Callable[[ModelRecord, Path, str], None]
    """Write the model's weights to a file, in a type such as F32 or Q8_0."""
    compare_texts: Callable[[Path, Path, str, tuple[AdapterUse, ...]], Comparison]
    """A model, with adapters or without, and its parent over a text."""
    run: Callable[[Sequence[str]], Ran]
    """The program with these arguments, in a fresh process."""
    shape: Callable[[Path], ModelShape]
    """The shape of a model file."""


def open_vocabulary(model: ModelRecord) -> Engine:
    from localprompt.engine.llama.engine import LlamaEngine

    return LlamaEngine(Path(model.path), vocab_only=True)


def convert(model: ModelRecord, target: Path, file_type: str) -> None:
    """Raises EngineError: llama.cpp could not do it."""
    from localprompt.models.quantize.job import FILE_TYPE_IDS
    from localprompt.models.quantize.make import Quantizer
    from localprompt.models.quantize.worker import Request

    request = Request(
        source=model.path,
        target=str(target),
        file_type=FILE_TYPE_IDS[file_type],
        n_threads=default_threads(),
        buffer_bytes=_CONVERSION_BUFFER_BYTES,
    )
    with Quantizer(request) as quantizer:
        quantizer.plan()
        for _ in quantizer.make():
            pass


def compare_texts(
    model: Path, parent: Path, text: str, adapters: tuple[AdapterUse, ...] = ()
) -> Comparison:
    """Raises EngineError, ModelFileError: a model cannot be read with."""
    from localprompt.engine.llama.perplexity import LlamaReader

    settings = RequestedSettings(adapters=adapters)
    with LlamaReader(model, settings) as reader, LlamaReader(parent) as other:
        return read_beside(reader, other, text)


def run(arguments: Sequence[str]) -> Ran:
    """Raises WorkerError: it did not end with 0 or 1 (done, or a threshold missed)."""
    # -P: a folder called localprompt in the working directory must not take this one's place.
    command = (sys.executable, "-P", "-m", "localprompt", *arguments)
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(command, stdout=out, stderr=err)
        try:
            _, status, used = os.wait4(child.pid, 0)
        except BaseException:
            child.terminate()
            child.wait()
            raise
        took = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    if child.returncode != 0:
        raise WorkerError(
            "the program failed in its own process",
            where=" ".join(arguments[:2]),
            found=texts[1][-_SHOWN_CHARACTERS:].strip(),
        )
    unit = 1 if sys.platform == "darwin" else 1024
    return Ran(texts[0], took, used.ru_utime + used.ru_stime, used.ru_maxrss * unit or None)


def shape_of(path: Path) -> ModelShape:
    """Raises InputError: the header describes no dense decoder."""
    from localprompt.finetune.estimate.shapes import check_parameters, shape_from_gguf_metadata
    from localprompt.gguf.header import read_gguf
    from localprompt.models.inspect import describe

    head = read_gguf(path)
    info = describe(head)
    shape = shape_from_gguf_metadata(
        head.metadata, vocab=info.n_vocab, tied_embeddings=info.tied_embeddings
    )
    check_parameters(shape, info.parameters)
    return shape


REAL = Tools(open_vocabulary, convert, compare_texts, run, shape_of)
