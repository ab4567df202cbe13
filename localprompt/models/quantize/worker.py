"""The child process that quantizes: one request in, JSON lines out.

llama.cpp's quantization cannot be interrupted and ends the whole process where an assertion
fails, so it has a process of its own. The parent writes a :class:`Request` as one line of JSON,
reads what it would give, and says ``go`` if there is room for it::

    {"source": …, "target": …, "file_type": 2, …}   →  {"is": "planned", "tensor_bytes": …}
    "go"                                            →  {"is": "tensor", "name": "blk.0.attn_k…"}
                                                       … one for each tensor as its turn comes
                                                    →  {"is": "made"}

Anything that llama.cpp refuses is ``{"is": "failed", "cause": …}``, after which the process ends
with exit code 3. Where there is no ``go`` it ends with nothing done, and where nobody reads any
more it ends in the middle of the work: what it wrote so far is where nobody looks for models.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from localprompt.engine.llama import quantize
from localprompt.errors import EngineError

GO = b'"go"\n'
_EXIT_FAILED = 3


class Request(msgspec.Struct, frozen=True):
    """What to make of what; see :func:`localprompt.engine.llama.quantize.quantize`."""

    source: str
    target: str
    file_type: int
    n_threads: int
    buffer_bytes: int


class Planned(msgspec.Struct, frozen=True, tag_field="is", tag="planned"):
    """As :class:`localprompt.engine.llama.quantize.QuantizationPlan`."""

    tensor_bytes: int
    fallback_tensors: int


class Tensor(msgspec.Struct, frozen=True, tag_field="is", tag="tensor"):
    """The turn of this tensor has come; those before it are done."""

    name: str


class Made(msgspec.Struct, frozen=True, tag_field="is", tag="made"):
    """The file is complete."""


class Failed(msgspec.Struct, frozen=True, tag_field="is", tag="failed"):
    cause: str


Reply = Planned | Tensor | Made | Failed


def main() -> int:
    """Serve the parent on stdin and stdout."""
    # Whatever a library prints belongs to stderr: the only thing on stdout is the protocol.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return serve(sys.stdin.buffer, replies)


def serve(commands: BinaryIO, replies: BinaryIO) -> int:
    """Answer the one request.

    Returns:
        the exit code.
    """

    def say(reply: Reply) -> None:
        try:
            replies.write(msgspec.json.encode(reply) + b"\n")
            replies.flush()
        except BrokenPipeError:
            # The parent is gone. An exception would be lost on its way through llama.cpp.
            os._exit(_EXIT_FAILED)

    request = msgspec.json.decode(commands.readline(), type=Request)
    source, target = Path(request.source), Path(request.target)
    try:
        planned = quantize.plan(source, request.file_type)
        say(Planned(planned.tensor_bytes, planned.fallback_tensors))
        if commands.readline() != GO:
            return 0
        quantize.quantize(
            source,
            target,
            request.file_type,
            n_threads=request.n_threads,
            buffer_bytes=request.buffer_bytes,
            on_tensor=lambda name: say(Tensor(name)),
        )
    except EngineError as error:
        say(Failed(error.found or error.message))
        return _EXIT_FAILED
    say(Made())
    return 0


if __name__ == "__main__":
    sys.exit(main())
