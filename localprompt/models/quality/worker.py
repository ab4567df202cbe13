"""The child process that reads a text: one request in, JSON lines out.

It has a process of its own so that its memory, and a crash of llama.cpp, stay out of the caller's::

    {"do": "read", "model": "…", "text": "…", …}    →  {"is": "chunk", "done": 1, "total": 8}
                                                       … one for each chunk
                                                    →  {"is": "result", "perplexity": …}
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec

from localprompt.engine.reading import Reader
from localprompt.models.predict import with_mapping_decided
from localprompt.models.quality.reading import OnChunk, read_beside, read_text
from localprompt.processes import Parent, serve
from localprompt.records.quality import Divergence, Perplexity
from localprompt.records.run import RequestedSettings, Settings


class Request(msgspec.Struct, frozen=True, tag_field="do", tag="read"):
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


Reply = Chunk | Result


def main() -> int:
    """Serve the parent on stdin and stdout."""
    return serve(Request, answer)


def answer(parent: Parent[Request]) -> None:
    """Read what is requested."""
    for request in parent.commands():
        parent.say(_read(request, lambda done, total: parent.say(Chunk(done, total))))


def _read(request: Request, on_chunk: OnChunk) -> Result:
    from localprompt.engine.llama.library import build
    from localprompt.engine.llama.perplexity import LlamaReader

    def opened(path: str, settings: RequestedSettings) -> Reader:
        decided = with_mapping_decided(settings, Path(path))
        return readers.enter_context(LlamaReader(Path(path), decided, n_ctx=request.n_ctx))

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
