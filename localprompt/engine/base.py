"""The seam between what localprompt asks for and what executes it.

An :class:`Engine` holds one model. It turns messages into token ids, opens a context of the size
that is needed, and generates: one request or many, through the same call. Everything above this
seam sees only the types in this module; llama.cpp stands behind it in ``engine.llama``, and
``engine.scripted`` is a deterministic double for edge cases that no model produces on demand.

The life of an engine::

    with open_engine(...) as engine:                    # weights are opened
        prompt = engine.encode(messages)                # text → token ids, with their origins
        engine.prepare(requested, n_ctx=...)             # the context: KV cache, compute buffers
        for event in engine.generate([request]): ...    # Prefilled, Token…, Finished

Times in events are ``time.perf_counter()`` seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, Self

import msgspec

from localprompt.received import PromptToken
from localprompt.records import Message, RequestedSettings, Sampling, Settings
from localprompt.rendering.traced import Span

EndReason = Literal["stop", "length"]


class EncodedPrompt(msgspec.Struct, frozen=True):
    """A prompt as the model receives it."""

    text: str
    """The chat template applied, before tokenization."""
    spans: tuple[Span, ...]
    """The same text in stretches of one origin."""
    token_ids: tuple[int, ...]
    tokens: tuple[PromptToken, ...]
    """The same tokens, explained; as long as ``token_ids``."""
    chat_template_sha256: str | None
    """None: the model has no chat template, the prompt is a plain completion."""
    rewritten: bool = False
    """The chat template changed the text of a message; origins are then approximate."""
    system_folded: bool = False
    """The chat template knows no system role; that text was put before the first user's."""


class ModelFacts(msgspec.Struct, frozen=True):
    """What the engine knows of the model that it has open."""

    architecture: str | None
    n_ctx_train: int
    chat_template: str | None
    """Jinja2 text; None for a base model."""


class BufferSizes(msgspec.Struct, frozen=True):
    """Memory as llama.cpp reports it, in bytes; None where it did not say."""

    weights_bytes: int | None
    kv_cache_bytes: int | None
    compute_bytes: int | None


class GenerationRequest(msgspec.Struct, frozen=True):
    token_ids: tuple[int, ...]
    sampling: Sampling
    grammar: str | None = None
    """GBNF with a ``root`` rule."""


class Prefilled(msgspec.Struct, frozen=True):
    """The prompt is evaluated and the logits of its last token are there."""

    request: int
    """Index into the requests of the call."""
    seconds: float
    reused_tokens: int = 0


class Token(msgspec.Struct, frozen=True):
    """A token was generated."""

    request: int
    seconds: float
    token_id: int
    text: str
    """What may be shown now: empty while a character or a stop string is incomplete."""


class Finished(msgspec.Struct, frozen=True):
    """The request is answered; ``text`` is what was still held back."""

    request: int
    seconds: float
    reason: EndReason
    text: str = ""


Event = Prefilled | Token | Finished


class Engine(Protocol):
    """One open model. Not safe for use by two threads at once."""

    @property
    def facts(self) -> ModelFacts: ...

    @property
    def settings(self) -> Settings:
        """Effective settings; an EngineError before :meth:`prepare`."""
        ...

    @property
    def buffers(self) -> BufferSizes: ...

    @property
    def build(self) -> str:
        """The library and its version, as ``llama-cpp-python 0.3.36``."""
        ...

    @property
    def cpu_features(self) -> tuple[str, ...]:
        """The instruction sets that this build uses on this CPU."""
        ...

    def encode(self, messages: Sequence[Message]) -> EncodedPrompt:
        """Apply the chat template and tokenize; text from variables stays plain text."""
        ...

    def prepare(self, requested: RequestedSettings, *, n_ctx: int, parallel: int = 1) -> None:
        """Open a context of at least ``n_ctx`` cells, shared by ``parallel`` sequences."""
        ...

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Event]:
        """Answer the requests; events of different requests may interleave.

        Closing the iterator early abandons what is not finished.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
