"""The child process that quantizes: one request in, JSON lines out.

llama.cpp's quantization cannot be interrupted and ends the whole process where an assertion
fails, so it has a process of its own. The parent writes a :class:`Request` as one line of JSON,
reads what it would give, and lets it be made if there is room for it::

    {"do": "plan", "source": …, "target": …, …}   →  {"is": "planned", "tensor_bytes": …}
    {"do": "make"}                                →  {"is": "tensor", "name": "blk.0.attn_k…"}
                                                     … one for each tensor as its turn comes
                                                  →  {"is": "made"}

What llama.cpp refuses is ``{"is": "failed", …}``. Where nothing is to be made it ends with nothing
done, and where the parent is gone in the middle of the work: what it wrote so far is where nobody
looks for models.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from localprompt.engine.llama import quantize
from localprompt.processes import Parent, serve


class Request(msgspec.Struct, frozen=True, tag_field="do", tag="plan"):
    """What to make of what; see :func:`localprompt.engine.llama.quantize.quantize`."""

    source: str
    target: str
    file_type: int
    n_threads: int
    buffer_bytes: int


class Make(msgspec.Struct, frozen=True, tag_field="do", tag="make"):
    """There is room for what was planned: make it."""


class Planned(msgspec.Struct, frozen=True, tag_field="is", tag="planned"):
    """As :class:`localprompt.engine.llama.quantize.QuantizationPlan`."""

    tensor_bytes: int
    fallback_tensors: int


class Tensor(msgspec.Struct, frozen=True, tag_field="is", tag="tensor"):
    """The turn of this tensor has come; those before it are done."""

    name: str


class Made(msgspec.Struct, frozen=True, tag_field="is", tag="made"):
    """The file is complete."""


Command = Request | Make
Reply = Planned | Tensor | Made


def main() -> int:
    """Serve the parent on stdin and stdout."""
    return serve(Command, answer)


def answer(parent: Parent[Command]) -> None:
    """Plan what is requested, and make what was planned."""
    request: Request | None = None
    for command in parent.commands():
        if isinstance(command, Request):
            request = command
            planned = quantize.plan(Path(request.source), request.file_type)
            parent.say(Planned(planned.tensor_bytes, planned.fallback_tensors))
        elif request is not None:
            quantize.quantize(
                Path(request.source),
                Path(request.target),
                request.file_type,
                n_threads=request.n_threads,
                buffer_bytes=request.buffer_bytes,
                on_tensor=lambda name: parent.say(Tensor(name)),
            )
            parent.say(Made())


if __name__ == "__main__":
    sys.exit(main())
