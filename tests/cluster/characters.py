"""A scripted engine whose tokens are characters, so that two processes give them the same ids."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from localprompt.engine.base import EncodedPrompt
from localprompt.engine.scripted import ScriptedEngine
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import Message
from localprompt.rendering.chat import plain_completion


class CharacterEngine(ScriptedEngine):
    """Says what ``say`` makes of the prompt, a character at a time."""

    def __init__(self, say: Callable[[str], str]) -> None:
        super().__init__(lambda prompt: [letter.encode() for letter in say(prompt)])

    def encode(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> EncodedPrompt:
        spans = plain_completion(messages)
        text = "".join(span.text for span in spans)
        return EncodedPrompt(
            text=text,
            spans=spans,
            token_ids=tuple(map(ord, text)),
            tail=text,
            chat_template_sha256=hashlib.sha256(b"characters").hexdigest(),
        )

    def piece(self, token_id: int) -> bytes:
        return chr(token_id).encode()

    def _text(self, token_ids: Iterable[int]) -> str:
        return "".join(chr(i) for i in token_ids if i >= 0)

    def _ids_of(self, text: str) -> list[int]:
        return list(map(ord, text))

    def _id(self, word: bytes) -> int:
        return ord(word.decode())


def tone(prompt: str) -> str:
    """What every scripted worker says."""
    return "good" if "fine" in prompt else "bad"


def open_characters(model: ModelRecord, request: EvalRequest) -> CharacterEngine:
    """For the side that only encodes."""
    return CharacterEngine(tone)
