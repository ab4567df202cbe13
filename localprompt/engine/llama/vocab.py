"""The vocabulary of an open model: text → token ids, token id → bytes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Any

from localprompt.engine.constraints.matching import Pieces
from localprompt.engine.llama.library import library
from localprompt.engine.tokens import (
    ControlPiece,
    PlainPiece,
    attribute,
    defuse,
    split_at_controls,
    without_end,
    without_start,
)
from localprompt.errors import EngineError
from localprompt.records.received import PromptToken
from localprompt.rendering.chat import Span

Controls = tuple[tuple[str, int], ...]
"""The control tokens that a chat template wrote: text, id."""


class Vocabulary:
    """Wraps ``llama_vocab *``; valid while its model is open."""

    def __init__(self, pointer: Any) -> None:
        self._lib = library()
        self._vocab = pointer
        self._buffer = ctypes.create_string_buffer(256)
        self._pieces: dict[int, bytes] = {}
        self._known_ids: dict[int, int] = {}
        """One number for each token that ever occurred: hundreds of prompts may be held."""
        # What the template says is the same in every case of an evaluation, examples included.
        self._constant = lru_cache(maxsize=16)(self._between)
        self.bos: int = self._lib.llama_vocab_bos(pointer)
        self.eos: int = self._lib.llama_vocab_eos(pointer)
        self.eot: int = self._lib.llama_vocab_eot(pointer)
        self.adds_bos: bool = self._lib.llama_vocab_get_add_bos(pointer)

    def __len__(self) -> int:
        return int(self._lib.llama_vocab_n_tokens(self._vocab))

    def is_end(self, token_id: int) -> bool:
        """Whether the token ends a generation."""
        return bool(self._lib.llama_vocab_is_eog(self._vocab, token_id))

    def text_of(self, token_id: int) -> str:
        """A token's text with control tokens spelled out, as ``<|im_end|>``; "" for none."""
        return "" if token_id < 0 else self.piece(token_id, special=True).decode(errors="replace")

    def piece(self, token_id: int, *, special: bool = False) -> bytes:
        """The bytes that a token stands for; empty for control tokens unless ``special``."""
        if special:
            return self._piece(token_id, special=True)
        piece = self._pieces.get(token_id)
        if piece is None:
            piece = self._pieces[token_id] = self._piece(token_id, special=False)
        return piece

    def _piece(self, token_id: int, *, special: bool) -> bytes:
        size = self._lib.llama_token_to_piece(
            self._vocab, token_id, self._buffer, len(self._buffer), 0, special
        )
        if size < 0:
            self._buffer = ctypes.create_string_buffer(-size)
            return self._piece(token_id, special=special)
        return ctypes.string_at(self._buffer, size)

    def tokenize(self, text: str, controls: dict[str, int] | None = None) -> list[int]:
        """Plain text → token ids; what spells a control token stays text.

        llama.cpp leaves tokens of the kind "control" alone in plain text, but not those of the
        kind "user defined", which some conversions use for control tokens as well. Where one of
        those comes out, the text is cut inside it and tokenized again.

        Args:
            text: anything.
            controls: the control tokens that the chat template wrote.
        """
        ids = self._tokenize(text, parse_special=False)
        named = frozenset((controls or {}).values())
        steering = {
            self.text_of(token_id)
            for token_id in set(ids)
            if token_id in named or self.is_end(token_id) or self._is(token_id, "CONTROL")
        }
        if not steering:
            return ids
        parts = defuse(text, steering)
        return [token for part in parts for token in self._tokenize(part, parse_special=False)]

    def tokenize_inside(self, text: str) -> list[int]:
        """Plain text → token ids as in the middle of a text.

        Some tokenizers put a space before every text; behind a line end they do not.
        """
        if not self._leads_with_space:
            return self.tokenize(text)
        ids = self.tokenize(f"\n{text}")
        kept, data = list(ids), b"".join(map(self.piece, ids))
        while kept and len(data) > len(text.encode()):
            data = data[len(self.piece(kept.pop(0))) :]
        return kept if data == text.encode() else self.tokenize(text)

    def pieces(self) -> Pieces:
        """The bytes of all tokens, and what the special ones among them are for.

        May run in a thread of its own, beside other calls.
        """
        lib, vocab = self._lib, self._vocab
        piece_of = Vocabulary(vocab)._piece  # with a buffer that nobody else writes into
        steering = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN
        unused, named = lib.LLAMA_TOKEN_ATTR_UNUSED, lib.LLAMA_TOKEN_ATTR_USER_DEFINED
        tokens, controls, ends = [], [], []
        for token_id in range(len(self)):
            attributes = lib.llama_vocab_get_attr(vocab, token_id)
            piece = b"" if attributes & unused else piece_of(token_id, special=True)
            # Some conversions call control tokens "user defined", as <|im_end|>.
            looks_steering = attributes & named and piece[:1] == b"<" and piece[-1:] == b">"
            if self.is_end(token_id):
                ends.append(token_id)
                controls.append(token_id)
            elif attributes & steering or looks_steering:
                controls.append(token_id)
            tokens.append(piece)
        return Pieces(tuple(tokens), tuple(controls), tuple(ends or [max(self.eos, 0)]))

    @cached_property
    def _leads_with_space(self) -> bool:
        return b"".join(map(self.piece, self.tokenize("a"))) != b"a"

    def encode(self, spans: Iterable[Span]) -> tuple[list[int], str]:
        """A rendered prompt → token ids, begin-of-text token included, and its tail.

        Returns:
            the ids, and the text behind the last control token: what follows the prompt is
            tokenized as one piece with it.
        """
        controls, parts = self._parts(spans)
        ids: list[int] = []
        tail = ""
        for part in parts:
            if isinstance(part, int):
                ids.append(part)
                tail = ""
            else:
                ids += self._ids(part, controls)
                tail = _text(part)
        return ids, tail

    def explain(self, spans: Iterable[Span]) -> list[PromptToken]:
        """The tokens of :meth:`encode`, each with its text and its origin."""
        controls, parts = self._parts(spans)
        tokens: list[PromptToken] = []
        for part in parts:
            if isinstance(part, int):
                tokens.append(self._control(part))
            else:
                tokens += self._explain(part, self._ids(part, controls))
        return tokens

    def _parts(self, spans: Iterable[Span]) -> tuple[Controls, list[int | tuple[Span, ...]]]:
        """The control tokens that the chat template wrote, and the text between them."""
        spans = tuple(spans)
        controls = self._controls_of(spans)
        pieces = list(split_at_controls(spans, controls))
        parts: list[int | tuple[Span, ...]] = []
        if self.adds_bos:
            parts.append(self.bos)
            if pieces and isinstance(pieces[0], ControlPiece) and pieces[0].token_id == self.bos:
                del pieces[0]  # the template wrote it, and so would the tokenizer
        for at, piece in enumerate(pieces):
            if isinstance(piece, ControlPiece):
                parts.append(piece.token_id)
                continue
            owners = piece.spans
            before, after = pieces[at - 1 : at], pieces[at + 1 : at + 2]
            if before and self._is(_id(before[0]), "RSTRIP"):
                owners = without_start(owners)
            if after and self._is(_id(after[0]), "LSTRIP"):
                owners = without_end(owners)
            if owners:
                parts.append(owners)
        return tuple(controls.items()), parts

    def _ids(self, spans: tuple[Span, ...], controls: Controls) -> Sequence[int]:
        constant = all(span.origin != "variable" for span in spans)
        tokenize = self._constant if constant else self._between
        return tokenize(_text(spans), controls)

    def _between(self, text: str, controls: Controls) -> tuple[int, ...]:
        return tuple(self.tokenize(text, dict(controls)))

    def _explain(self, spans: Sequence[Span], ids: Sequence[int]) -> Iterator[PromptToken]:
        pieces = [self.piece(token_id, special=True) for token_id in ids]
        for token_id, data, owner in zip(ids, pieces, attribute(pieces, spans), strict=True):
            text = data.decode(errors="replace")
            yield PromptToken(token_id, text, owner.origin, owner.source)

    def _control(self, token_id: int) -> PromptToken:
        return PromptToken(token_id, self.text_of(token_id), "chat_template", control=True)

    def _controls_of(self, spans: Iterable[Span]) -> dict[str, int]:
        """Text → id of the control tokens that the chat template wrote.

        Asked of llama.cpp by tokenizing the template's own words, because looking through the
        whole vocabulary takes longer than tokenizing the prompt.
        """
        words = {span.text for span in spans if span.origin == "chat_template"}
        ids = {i for text in words for i in self._tokenize(text, parse_special=True)}
        controls: dict[str, int] = {}
        for token_id in ids:
            text = self.text_of(token_id)
            marked = self._is(token_id, "CONTROL") or self._is(token_id, "UNKNOWN")
            if text and (marked or (len(text) > 2 and self._is(token_id, "USER_DEFINED"))):
                controls[text] = token_id
        return controls

    def _is(self, token_id: int, attribute_name: str) -> bool:
        attributes = self._lib.llama_vocab_get_attr(self._vocab, token_id)
        return bool(attributes & getattr(self._lib, f"LLAMA_TOKEN_ATTR_{attribute_name}"))

    def _tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        # Half a surrogate pair (a byte of an argument that was no UTF-8) has no tokens.
        data = text.encode("utf-8", "replace")
        room = len(data) + 2
        ids = (ctypes.c_int32 * room)()
        count = self._lib.llama_tokenize(
            self._vocab, data, len(data), ids, room, False, parse_special
        )
        if count < 0:
            raise EngineError("the text could not be tokenized", found=f"{len(data)} bytes")
        known = self._known_ids
        return [known.setdefault(token_id, token_id) for token_id in ids[:count]]


def _id(piece: ControlPiece | PlainPiece) -> int:
    """The token of a control piece; neighbours of plain pieces are always control pieces."""
    return piece.token_id if isinstance(piece, ControlPiece) else -1


def _text(spans: Iterable[Span]) -> str:
    return "".join(span.text for span in spans)
