"""A deterministic engine that says what it is told to, for edge cases no model gives on demand.

Words are tokens: a text is cut after each space, so ids and counts can be predicted. The answers
come from a script, byte by byte if need be, and go through the same batching, stop strings and
UTF-8 handling as a real model's. Cells are kept as a real cache keeps them, so a request that is
answered from the cells of another prompt is an error here.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

from localprompt.engine import batching
from localprompt.engine.base import (
    BufferSizes,
    ChoiceRequest,
    EncodedPrompt,
    Event,
    GenerationRequest,
    ModelFacts,
    Scored,
    StateConditions,
    Tools,
)
from localprompt.engine.choices import choice_tokens, continuation_tokens
from localprompt.engine.device import HELD_SEQUENCE, Chosen, LookedUp, Slot, evaluate_beginning
from localprompt.engine.lookup import MOST_GUESSED
from localprompt.engine.prefixes import MOST_NESTED
from localprompt.engine.scripted_cells import ScriptedCells
from localprompt.errors import EngineError
from localprompt.records.attention import AttentionTable, Heads, StepCost
from localprompt.records.prompt import Message, Span
from localprompt.records.received import PromptToken
from localprompt.records.run import RequestedSettings, RunWarning, Settings
from localprompt.rendering.chat import plain_completion

_END = -1


class ScriptedEngine:
    """Implements :class:`localprompt.engine.base.Engine`.

    Args:
        answer: prompt text → the pieces to say, one token each; an exception is raised at the
            first token, a piece that is an exception when its turn comes.
        log_probability: what stands before, and a word → how probable that word is there.
        n_ctx_train: the largest context that the "model" knows.
        has_chat_template: False makes it a base model.
    """

    def __init__(
        self,
        answer: Callable[[str], Sequence[bytes | BaseException]],
        *,
        log_probability: Callable[[str, str], float] = lambda before, word: -float(len(word)),
        n_ctx_train: int = 2048,
        has_chat_template: bool = True,
    ) -> None:
        self._answer = answer
        self._log_probability = log_probability
        self._words: list[bytes] = []
        self._ids: dict[bytes, int] = {}
        self._settings: Settings | None = None
        self._parallel = 1
        self.kv_unified = True
        self.cells = 0
        self._cells = ScriptedCells(0, 0)
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
        self.remarks: tuple[RunWarning, ...] = ()
        self.attention: AttentionTable | None = None
        self.step_costs: tuple[StepCost, ...] = ()
        self.flashed = 0

    @property
    def settings(self) -> Settings:
        if self._settings is None:
            raise RuntimeError("prepare() first")
        return self._settings

    def encode(self, messages: Sequence[Message], tools: Tools = ()) -> EncodedPrompt:
        spans = plain_completion(messages)
        if tools:
            spans = (Span(f"{json.dumps(tools)}\n", "template"), *spans)
        text = "".join(span.text for span in spans)
        chat = self.facts.chat_template
        return EncodedPrompt(
            text=text,
            spans=spans,
            token_ids=tuple(
                self._id(word.encode()) for span in spans for word in _words(span.text)
            ),
            tail=text,
            chat_template_sha256=hashlib.sha256(chat.encode()).hexdigest() if chat else None,
        )

    def complete(self, text: str) -> EncodedPrompt:
        ids = tuple(self._ids_of(text))
        return EncodedPrompt(text, (Span(text, "template"),), ids, text, None)

    def explain(self, prompt: EncodedPrompt) -> tuple[PromptToken, ...]:
        return tuple(
            PromptToken(self._id(word.encode()), word, span.origin, span.source)
            for span in prompt.spans
            for word in _words(span.text)
        )

    def prepare(
        self,
        requested: RequestedSettings,
        *,
        n_ctx: int,
        parallel: int = 1,
        kv_unified: bool = True,
    ) -> None:
        self._parallel = parallel
        self.kv_unified = kv_unified
        self.cells = n_ctx
        self._cells = ScriptedCells(n_ctx, self.batch_outputs, unified=kv_unified)
        self._settings = Settings(
            n_ctx=n_ctx if kv_unified else n_ctx * (parallel + self.prefix_sequences),
            n_batch=requested.n_batch or 512,
            n_ubatch=requested.n_ubatch or 512,
            n_threads=requested.n_threads or 1,
            n_threads_batch=requested.n_threads_batch or 1,
            type_k=requested.type_k,
            type_v=requested.type_v,
            flash_attn=requested.flash_attn,
            use_mmap=True,
            repack=False,
            adapters=requested.adapters,
        )

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Event]:
        return batching.generate(self, requests)

    def with_choices(self, prompt: EncodedPrompt, choices: Sequence[str]) -> ChoiceRequest:
        _, encoded = choice_tokens("", choices, lead="", tokenize=self._ids_of, end_id=_END)
        return ChoiceRequest(prompt.token_ids, encoded)

    def with_continuations(self, text: str, continuations: Sequence[str]) -> ChoiceRequest:
        ids, encoded = continuation_tokens(
            text, continuations, tokenize=self._ids_of, begin=(), instead=_END
        )
        return ChoiceRequest(ids, encoded)

    def score_choices(self, requests: Iterable[ChoiceRequest]) -> Iterator[Scored]:
        return batching.score_choices(self, requests)

    def embed(self, text: str) -> tuple[tuple[float, ...], bool]:
        counts = [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"]
        length = sum(count * count for count in counts) ** 0.5 or 1.0
        return tuple(count / length for count in counts), True

    @property
    def state_conditions(self) -> StateConditions | None:
        settings = self.settings
        return {"build": self.build, "type_k": settings.type_k, "n_ubatch": settings.n_ubatch}

    def attention_table(
        self, heads: Heads, *, may_measure: bool, on_wait: Callable[[], None] = lambda: None
    ) -> AttentionTable | None:
        return self.attention

    def steps(self) -> tuple[StepCost, ...]:
        return self.step_costs

    def evaluate_prefix(self, token_ids: Sequence[int], *, with_flash: bool = False) -> None:
        self.flashed = len(token_ids) if with_flash else 0
        evaluate_beginning(self, token_ids)

    def save_prefix(self, token_ids: Sequence[int], path: Path) -> None:
        held = self._cells.tokens_of(HELD_SEQUENCE)
        try:
            path.write_bytes(_packed(held))
        except OSError as error:
            raise EngineError("the state could not be written", found=error.strerror) from error

    def restore_prefix(
        self, token_ids: Sequence[int], path: Path, *, from_flash: bool = False
    ) -> bool:
        self.forget(HELD_SEQUENCE)
        if not path.is_file() or not path.read_bytes().startswith(_packed(token_ids)):
            return False
        self._cells.fill(HELD_SEQUENCE, token_ids)
        return True

    def saved_tokens(self, path: Path) -> tuple[int, ...]:
        data = path.read_bytes()
        (count,) = struct.unpack_from("<i", data)
        return struct.unpack_from(f"<{count}i", data, 4)

    @property
    def held(self) -> tuple[int, ...]:
        return self._cells.tokens_of(HELD_SEQUENCE) if self._parallel == 1 else ()

    can_cut = True

    def can_cut_held(self, count: int) -> bool:
        return True

    def cut_held(self, count: int) -> bool:
        if count < len(self.held):
            self.rewind(HELD_SEQUENCE, count)
        return len(self.held) == count

    def settle(self, sequence: int, token_ids: Sequence[int]) -> None:
        self._cells.rewind(sequence, len(token_ids))

    def reopen(self, requested: RequestedSettings, *, n_ctx: int) -> None:
        held = self.held
        self.prepare(requested, n_ctx=n_ctx)
        self._cells.fill(HELD_SEQUENCE, held)

    def turn_conditions(self, requested: RequestedSettings, n_ctx: int) -> StateConditions | None:
        return {"build": self.build, "type_k": requested.type_k, "flash": requested.flash_attn}

    # ---- localprompt.engine.device.Device

    @property
    def batch_tokens(self) -> int:
        return self.settings.n_batch

    @property
    def sequences(self) -> int:
        return self._parallel

    @property
    def prefix_sequences(self) -> int:
        return MOST_NESTED if self._parallel > 1 else 0

    @property
    def batch_outputs(self) -> int:
        return max(self._parallel + self.prefix_sequences, 1 + MOST_GUESSED)

    @property
    def cells_used(self) -> int:
        return self._cells.used

    def decode(self, slots: Sequence[Slot]) -> None:
        if len(slots) > self.batch_tokens:
            raise RuntimeError(f"{len(slots)} tokens in a batch of {self.batch_tokens}")
        self.decoded.append(list(slots))
        self._cells.decode(slots)

    def copy(self, source: int, target: int) -> None:
        self._cells.copy(source, target)

    def forget(self, sequence: int) -> None:
        self._cells.forget(sequence)

    can_rewind = True

    def rewind(self, sequence: int, position: int) -> None:
        self._cells.rewind(sequence, position)

    def sampler(self, request: GenerationRequest) -> _Script:
        return _Script(self, request.token_ids, iter(self._answer(self._text(request.token_ids))))

    def log_probabilities(self, batch_index: int, token_ids: Sequence[int]) -> LookedUp:
        before = self._text(self._cells.seen_at(batch_index))
        values = [self._log_probability(before, self._text((word,))) for word in token_ids]
        return LookedUp(values, max(values, default=0.0))

    def seen_at(self, batch_index: int) -> tuple[int, ...]:
        """The tokens that the slot at that index of the last batch attended to, its own last."""
        return self._cells.seen_at(batch_index)

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

    def _text(self, token_ids: Iterable[int]) -> str:
        return b"".join(b"" if i == _END else self._words[i] for i in token_ids).decode()

    def _ids_of(self, text: str) -> list[int]:
        return [self._id(word.encode()) for word in _words(text)]

    def _id(self, word: bytes) -> int:
        if word not in self._ids:
            self._ids[word] = len(self._words)
            self._words.append(word)
        return self._ids[word]


def _packed(token_ids: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(token_ids) + 1}i", len(token_ids), *token_ids)


def _words(text: str) -> list[str]:
    return re.findall(r"\S*\s|\S+", text)


class _Script:
    def __init__(
        self,
        engine: ScriptedEngine,
        prompt: tuple[int, ...],
        pieces: Iterator[bytes | BaseException],
    ) -> None:
        self._engine = engine
        self._expected = prompt
        self._pieces = pieces

    finished = False

    def choose(self, batch_index: int) -> Chosen:
        if self._engine.seen_at(batch_index) != self._expected:
            raise RuntimeError("the request's sequence holds other tokens than its own")
        piece = next(self._pieces, None)
        if isinstance(piece, BaseException):
            raise piece
        token_id = _END if piece is None else self._engine.say(piece)
        self._expected = (*self._expected, token_id)
        return Chosen((token_id,))

    def fitting(self, token_ids: Sequence[int]) -> int:
        return len(token_ids)

    def close(self) -> None:
        pass
