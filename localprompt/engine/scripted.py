"""A deterministic engine that says what it is told to, for edge cases no model gives on demand.

Words are tokens: a text is cut after each space, so ids and counts can be predicted. The answers
come from a script, byte by byte if need be, and go through the same batching, stop strings and
UTF-8 handling as a real model's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from localprompt.engine import batching
from localprompt.engine.base import (
    BufferSizes,
    EncodedPrompt,
    Event,
    GenerationRequest,
    ModelFacts,
)
from localprompt.engine.batching import Slot
from localprompt.received import PromptToken
from localprompt.records import Message, RequestedSettings, Settings
from localprompt.rendering.chat import plain_completion

_END = -1


class ScriptedEngine:
    """Implements :class:`localprompt.engine.base.Engine`.

    Args:
        answer: prompt text → the pieces to say, one token each; an exception is raised at the
            first token, a piece that is an exception when its turn comes.
        n_ctx_train: the largest context that the "model" knows.
        has_chat_template: False makes it a base model.
    """

    def __init__(
        self,
        answer: Callable[[str], Sequence[bytes | BaseException]],
        *,
        n_ctx_train: int = 2048,
        has_chat_template: bool = True,
    ) -> None:
        self._answer = answer
        self._words: list[bytes] = []
        self._ids: dict[bytes, int] = {}
        self._settings: Settings | None = None
        self._parallel = 1
        self.decoded: list[list[Slot]] = []
        """Every batch, for tests of what is evaluated together."""
        self.facts = ModelFacts(
            architecture="scripted",
            n_ctx_train=n_ctx_train,
            chat_template="scripted" if has_chat_template else None,
        )
        self.buffers = BufferSizes(weights_bytes=0, kv_cache_bytes=0, compute_bytes=0)
        self.build = "scripted"
        self.cpu_features: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            raise RuntimeError("prepare() first")
        return self._settings

    def encode(self, messages: Sequence[Message]) -> EncodedPrompt:
        spans = plain_completion(messages)
        tokens = tuple(
            PromptToken(self._id(word.encode()), word, span.origin, span.source)
            for span in spans
            for word in re.findall(r"\S*\s|\S+", span.text)
        )
        chat = self.facts.chat_template
        return EncodedPrompt(
            text="".join(span.text for span in spans),
            spans=spans,
            token_ids=tuple(token.id for token in tokens),
            tokens=tokens,
            chat_template_sha256=hashlib.sha256(chat.encode()).hexdigest() if chat else None,
        )

    def prepare(self, requested: RequestedSettings, *, n_ctx: int, parallel: int = 1) -> None:
        self._parallel = parallel
        self._settings = Settings(
            n_ctx=n_ctx,
            n_batch=requested.n_batch or 512,
            n_ubatch=requested.n_ubatch or 512,
            n_threads=requested.n_threads or 1,
            n_threads_batch=requested.n_threads_batch or 1,
            type_k=requested.type_k,
            type_v=requested.type_v,
            flash_attn=requested.flash_attn,
            use_mmap=True,
            repack=False,
        )

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[Event]:
        return batching.run(self, requests)

    # ---- localprompt.engine.batching.Device

    @property
    def cells(self) -> int:
        return self.settings.n_ctx

    @property
    def batch_tokens(self) -> int:
        return self.settings.n_batch

    @property
    def sequences(self) -> int:
        return self._parallel

    def decode(self, slots: Sequence[Slot]) -> None:
        self.decoded.append(list(slots))

    def forget(self, sequence: int) -> None:
        pass

    def sampler(self, request: GenerationRequest) -> _Script:
        prompt = b"".join(self._words[token_id] for token_id in request.token_ids).decode()
        return _Script(self, iter(self._answer(prompt)))

    def piece(self, token_id: int) -> bytes:
        return self._words[token_id]

    def is_end(self, token_id: int) -> bool:
        return token_id == _END

    def say(self, piece: bytes) -> int:
        return self._id(piece)

    def close(self) -> None:
        self._settings = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _id(self, word: bytes) -> int:
        if word not in self._ids:
            self._ids[word] = len(self._words)
            self._words.append(word)
        return self._ids[word]


class _Script:
    def __init__(self, engine: ScriptedEngine, pieces: Iterator[bytes | BaseException]) -> None:
        self._engine = engine
        self._pieces = pieces

    def sample(self, batch_index: int) -> int:
        piece = next(self._pieces, None)
        if isinstance(piece, BaseException):
            raise piece
        return _END if piece is None else self._engine.say(piece)

    def close(self) -> None:
        pass
