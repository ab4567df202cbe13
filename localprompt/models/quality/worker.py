"""The child process that reads a text: one request in, JSON lines out.

It has a process of its own so that its memory, and a crash of llama.cpp, stay out of the caller's::

    {"model": "…", "parent": "…", "text": "…", …}    →  {"is": "chunk", "done": 1, "total": 8}
                                                        … one for each chunk
                                                     →  {"is": "result", "perplexity": …}

What cannot be done is ``{"is": "failed", …}`` with the parts of the error, after which the process
ends with exit code 3.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec

from localprompt.engine.reading import Reader
from localprompt.errors import InputError, LocalPromptError
from localprompt.models.quality.reading import OnChunk, read_beside, read_text
from localprompt.records.quality import Divergence, Perplexity
from localprompt.records.run import RequestedSettings, Settings

_EXIT_FAILED = 3


class Request(msgspec.Struct, frozen=True):
    """What to read with what."""

    model: str
    """Path of the GGUF file."""
    parent: str | None
    text: str
    n_ctx: int
    settings: RequestedSettings
    """Of the model; the parent has the same threads and nothing else of it."""
    hopeless: float | None = None
    """As in :func:`localprompt.models.quality.reading.read_beside`."""


class Chunk(msgspec.Struct, frozen=True, tag_field="is", tag="chunk"):
    done: int
    total: int


class Result(msgspec.Struct, frozen=True, tag_field="is", tag="result"):
    perplexity: Perplexity
    parent: Perplexity | None
    divergence: Divergence | None
    settings: Settings
    build: str


class Failed(msgspec.Struct, frozen=True, tag_field="is", tag="failed"):
    """An error by its parts."""

    message: str
    expected: str | None
    found: str | None
    next_step: str | None
    wrong_input: bool


Reply = Chunk | Result | Failed


def main() -> int:
    """Serve the caller on stdin and stdout."""
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
        replies.write(msgspec.json.encode(reply) + b"\n")
        replies.flush()

    request = msgspec.json.decode(commands.readline(), type=Request)
    try:
        say(_read(request, lambda done, total: say(Chunk(done, total))))
    except LocalPromptError as error:
        wrong_input = isinstance(error, InputError)
        say(Failed(error.message, error.expected, error.found, error.next_step, wrong_input))
        return _EXIT_FAILED
    except BrokenPipeError:  # nobody wants to know any more
        return _EXIT_FAILED
    return 0


def _read(request: Request, on_chunk: OnChunk) -> Result:
    from localprompt.engine.llama.library import build
    from localprompt.engine.llama.perplexity import LlamaReader

    def opened(path: str, settings: RequestedSettings) -> Reader:
        return readers.enter_context(LlamaReader(Path(path), settings, n_ctx=request.n_ctx))

    with ExitStack() as readers:
        model = opened(request.model, request.settings)
        if request.parent is None:
            alone = read_text(model, request.text, request.n_ctx, on_chunk)
            return Result(alone, None, None, model.settings, build())
        threads = request.settings.n_threads
        usual = RequestedSettings(n_threads=threads, n_threads_batch=threads)
        parent = opened(request.parent, usual)
        both = read_beside(
            model, parent, request.text, request.n_ctx, on_chunk, hopeless=request.hopeless
        )
        return Result(both.model, both.parent, both.divergence, model.settings, build())


if __name__ == "__main__":
    sys.exit(main())
