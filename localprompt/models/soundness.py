"""Whether llama.cpp can run what a header describes, asked before it is loaded.

llama.cpp checks much of a file and says what is wrong. Some things it takes for granted, and ends
the process where they do not hold: an assertion (signal 6) or a read beyond a buffer (signal 11).
Those that the header can tell are checked here, in a millisecond, whenever a model is inspected;
only the vocabulary, which has to be read whole, is checked once for each file that is new here. The
rules are those of llama.cpp's ``load_hparams``, ``llama_vocab::load`` and the CPU's kernels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from localprompt.errors import ModelFileError
from localprompt.gguf.header import GgufFile, SkippedArray, TensorInfo, read_gguf

_MOST_LAYERS = 512
_MOST_EXPERTS = 512
_ALIGNMENT = 32
"""ggml's own, of every buffer."""
_LARGEST_LENGTH = 1 << 24
_TOKENS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"
_BYTE = 6
_WITHOUT_BYTES = frozenset({"bert", "rwkv"})
"""Tokenizers of llama.cpp that end the process where a token is said to be a byte."""
_WITHOUT_TOKENS = frozenset({"none", "no_vocab"})
_NOT_FOR_PRODUCTS = frozenset({"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"})
"""Types that no kernel multiplies with."""
_LAYER = re.compile(r"blk\.([0-9]{1,6})\.")
_MATRIX = re.compile(
    r"(?:blk\.[0-9]{1,6}\.)?(?:attn_[a-z0-9_]{1,20}|ffn_[a-z0-9_]{1,20}|ssm_(?:in|out|x|dt)"
    r"|output|token_embd)\.weight"
)
_EXPERTS = re.compile(r"blk\.[0-9]{1,6}\.ffn_[a-z_]{1,12}(?:_exps|\.[0-9]{1,3})\.weight")
_NOT_PRODUCTS = ("_norm.weight", "tid2eid.weight")


def check_runnable(head: GgufFile) -> None:
    """The counts, shapes and types agree with each other.

    Raises:
        ModelFileError: they do not; with the key or the tensor.
    """
    check = _Check(head)
    check.types()
    check.alignment()
    if check.split:
        return  # a part of a model, whose tensors are in several files
    check.lengths()
    check.layers()
    check.heads()
    check.experts()
    check.embedding()
    check.epsilons()


def check_vocabulary(path: Path) -> None:
    """The tokens are different texts in UTF-8, as llama.cpp takes for granted.

    Reads the whole vocabulary: about half a second for 150,000 tokens, once for each new file.

    Raises:
        ModelFileError: they are not, or there are none.
    """
    head = read_gguf(path, decode=(_TOKENS, _TYPES))
    tokens = head.metadata.get(_TOKENS)
    if not isinstance(tokens, tuple) or not tokens:
        _fail(head, _TOKENS, "a list of tokens", "none")
    seen: dict[Any, int] = {}
    for number, token in enumerate(tokens):
        if not isinstance(token, str):
            _fail(head, _TOKENS, "texts", type(token).__name__)
        if not token.isascii() and not _is_utf8(token):
            _fail(head, f"{_TOKENS}[{number}]", "text in UTF-8", repr(token[:40]))
        if token and seen.setdefault(token, number) != number:
            _fail(
                head,
                f"{_TOKENS}[{number}]",
                "a different token at each place",
                f"{token[:40]!r}, which is the token {seen[token]} as well",
            )
    _check_bytes(head, tokens)
    if head.metadata.get("tokenizer.ggml.model") == "llama":
        for byte in range(256):
            if f"<0x{byte:02X}>" not in seen and bytes([byte]).decode("latin-1") not in seen:
                _fail(head, _TOKENS, f"a token <0x{byte:02X}> for that byte", "none")


def _check_bytes(head: GgufFile, tokens: tuple[Any, ...]) -> None:
    """A token that is said to be a byte is written as one, where the tokenizer has such."""
    kinds = head.metadata.get(_TYPES)
    if not isinstance(kinds, tuple) or _BYTE not in kinds:
        return
    if head.metadata.get("tokenizer.ggml.model") in _WITHOUT_BYTES:
        at = kinds.index(_BYTE)
        _fail(head, f"{_TYPES}[{at}]", "no bytes, which this tokenizer does not have", "a byte")
    for number, (token, kind) in enumerate(zip(tokens, kinds, strict=False)):
        if kind == _BYTE and not (len(token) == 6 and token.startswith("<0x")):
            _fail(head, f"{_TOKENS}[{number}]", "a byte, as <0x0A>", repr(token[:40]))


class _Check:
    """The rules, each over one header."""

    def __init__(self, head: GgufFile) -> None:
        self.head = head
        architecture = head.metadata.get("general.architecture")
        self.architecture = architecture if isinstance(architecture, str) else ""
        self.split = (self._number("split.count", absolute=True) or 0) > 1

    def types(self) -> None:
        """Norms and biases are 32-bit floats; matrices have a type that can be multiplied with."""
        for tensor in self.head.tensors:
            name, kind = tensor.name, tensor.type.name
            if name.endswith(("norm.weight", ".bias")):
                if kind != "F32":
                    self._wrong_type(tensor, "F32")
            elif (
                kind in _NOT_FOR_PRODUCTS
                and _MATRIX.fullmatch(name)
                and not name.endswith(_NOT_PRODUCTS)
            ):
                self._wrong_type(tensor, "a type that llama.cpp computes with")

    def epsilons(self) -> None:
        """What norms add under their root is a number that is not negative."""
        for key, value in self.head.metadata.items():
            if not key.endswith("epsilon"):
                continue
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                _fail(self.head, key, "a number of 0 or more", value)

    def alignment(self) -> None:
        """Tensors lie where the CPU's buffers may begin."""
        places = (head.data_offset for head in (self.head,) if head.tensors)
        offsets = (tensor.offset for tensor in self.head.tensors)
        wrong = next((at for at in (*places, *offsets) if at % _ALIGNMENT), None)
        if wrong is not None:
            expected = f"a multiple of {_ALIGNMENT}"
            found = self.head.metadata.get("general.alignment", f"a tensor at {wrong}")
            _fail(self.head, "general.alignment", expected, found)

    def lengths(self) -> None:
        """Sizes are above zero and not beyond all measure."""
        for key in ("embedding_length", "context_length"):
            value = self._number(key)
            if value is not None and not 0 < value < _LARGEST_LENGTH * 64:
                self._fail(key, "a size above 0", value)
        model = self.head.metadata.get("tokenizer.ggml.model")
        if isinstance(model, str) and model in _WITHOUT_TOKENS:
            _fail(self.head, "tokenizer.ggml.model", "a tokenizer: without one there is no prompt",
                  model)  # fmt: skip

    def layers(self) -> None:
        """As many layers as the tensors are numbered for."""
        count = self._number("block_count") or 0
        numbers = {int(m[1]) for t in self.head.tensors if (m := _LAYER.match(t.name))}
        there = max(numbers, default=-1) + 1
        if not 0 < count <= _MOST_LAYERS:
            self._fail("block_count", f"1 to {_MOST_LAYERS} layers", count)
        if numbers and (there != count or len(numbers) != count):
            self._fail("block_count", f"the {len(numbers)} layers that the file has", count)

    def heads(self) -> None:
        """Every layer's heads divide into its key and value heads."""
        count = self._number("block_count") or 0
        heads = self._each("attention.head_count", count)
        shared = self._each("attention.head_count_kv", count) or heads
        for layer, (total, own) in enumerate(zip(heads, shared, strict=False)):
            # A layer without attention has none of either, or only one of them set.
            if total and own and total % own:
                where = f"attention.head_count_kv of layer {layer}"
                self._fail(where, f"a divisor of {total} heads", own)
        embedding = self._number("embedding_length")
        first = max(heads, default=0)
        said = self._number("attention.key_length") is not None
        if first and embedding and not said and embedding < first:
            self._fail("attention.head_count", f"at most {embedding} heads", first)

    def experts(self) -> None:
        """Experts are used where there are some, and no more than there are."""
        count, used = self._number("expert_count") or 0, self._number("expert_used_count") or 0
        if count > _MOST_EXPERTS:
            self._fail("expert_count", f"at most {_MOST_EXPERTS}", count)
        if used > count or (count and not used):
            self._fail("expert_used_count", f"1 to {count}" if count else "0", used)
        shapes = [t.shape for t in self.head.tensors if _EXPERTS.fullmatch(t.name)]
        if count > 1 and self.head.tensors and not shapes:
            self._fail("expert_count", "0, as the file has no tensors of experts", count)
        wrong = next((s for s in shapes if len(s) == 3 and s[2] != count), None)
        if wrong is not None:
            self._fail("expert_count", f"{wrong[2]}, as the tensors have it", count)

    def embedding(self) -> None:
        """A row of the embedding is as wide as the model, and each token has one."""
        tensor = next((t for t in self.head.tensors if t.name == "token_embd.weight"), None)
        if tensor is None or len(tensor.shape) != 2:
            return  # llama.cpp says so
        width, rows = tensor.shape
        expected, tokens = self._number("embedding_length"), self._tokens()
        if expected is not None and width != expected:
            self._fail("embedding_length", f"{width}, as token_embd.weight has it", expected)
        if tokens and rows < tokens:
            _fail(self.head, _TOKENS, f"at most {rows} tokens, as token_embd.weight has", tokens)

    def _tokens(self) -> int:
        value = self.head.metadata.get(_TOKENS)
        if isinstance(value, SkippedArray):
            return value.count
        return len(value) if isinstance(value, tuple) else 0

    def _number(self, key: str, *, absolute: bool = False) -> int | None:
        """A whole number; of an array the largest."""
        value = self.head.metadata.get(key if absolute else f"{self.architecture}.{key}")
        if isinstance(value, tuple):
            return max((item for item in value if type(item) is int), default=None)
        return value if type(value) is int else None

    def _each(self, key: str, count: int) -> tuple[int, ...]:
        """One number for each layer; empty where the file says nothing."""
        value = self.head.metadata.get(f"{self.architecture}.{key}")
        items: Iterable[Any] = (
            value if isinstance(value, tuple) else (value,) * min(count, _MOST_LAYERS)
        )
        return tuple(item for item in items if type(item) is int)

    def _wrong_type(self, tensor: TensorInfo, expected: str) -> NoReturn:
        _fail(self.head, f"tensor {tensor.name[:80]}", expected, tensor.type.name)

    def _fail(self, key: str, expected: str, found: object) -> NoReturn:
        _fail(self.head, f"{self.architecture[:40]}.{key}", expected, found)


def _is_utf8(token: str) -> bool:
    try:
        token.encode()
    except UnicodeEncodeError:  # a byte that was no UTF-8, kept as half of a surrogate pair
        return False
    return True


def _fail(head: GgufFile, key: str, expected: str, found: object) -> NoReturn:
    raise ModelFileError(
        "llama.cpp cannot run this file: its header contradicts itself or its tensors",
        where=f"{head.path}: {key}",
        expected=expected,
        found=str(found)[:80],
        next_step="fetch the file again, or convert the model anew",
    )
