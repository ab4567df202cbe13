"""Model shapes: the dozen numbers from which parameters, FLOPs and training memory follow.

A shape is read from any GGUF's metadata or looked up by name among the shapes that ship in
``benchmarks/finetune/model_shapes.csv``. Those were admitted only where ``ModelShape.parameters``
equals the published count: exactly where a count to the last parameter could be found
(``check`` = exact), otherwise to the digits that were published (``check`` = rounded).

Only dense decoders are described. A mixture of experts is refused by name.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import msgspec

from localprompt.errors import InputError, UnknownNameError
from localprompt.paths import shipped

Norm = Literal["rms", "layer"]

_PLAIN_MLP = {"bloom", "falcon", "gpt2", "gptj", "gptneox", "mpt", "opt", "phi2", "starcoder"}
_PLAIN_MLP |= {"starcoder2"}
_LAYER_NORM = _PLAIN_MLP | {"stablelm", "command-r"}
_BIASED = {"bloom", "gpt2", "gptneox", "opt", "phi2", "starcoder", "starcoder2"}
_ATTENTION_BIASED = {"qwen", "qwen2"}
_FOUR_NORMS = {"gemma2", "gemma3"}
_ONE_NORM = {"phi2", "falcon", "gptj", "command-r"}
_TIED = {"gemma", "gemma2", "gemma3", "gpt2", "bloom", "falcon", "mpt", "opt", "command-r"}


# Query and key norms, position embeddings and the like, which no shape lists.
_MOST_UNEXPLAINED = 0.03


class ModelShape(msgspec.Struct, frozen=True):
    """What a dense decoder looks like."""

    name: str
    layers: int
    hidden: int
    """Width of the residual stream."""
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    """Width inside the MLP."""
    vocab: int
    """Rows of the embedding, padding included."""
    gated: bool = True
    """Three MLP matrices (SwiGLU, GeGLU) instead of two."""
    tied_embeddings: bool = False
    """The output layer is the token embedding."""
    norm: Norm = "rms"
    norms_per_layer: int = 2
    attention_bias: bool = False
    """Biases on q, k and v only."""
    bias: bool = False
    """Biases on every linear layer inside the blocks."""
    head_bias: bool = False

    @property
    def attention_width(self) -> int:
        """Columns of q: heads × head_dim; not always ``hidden`` (Gemma)."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        return self.kv_heads * self.head_dim

    @property
    def linear_parameters(self) -> int:
        """Weights of the matrices inside all blocks: what LoRA adapts and QLoRA quantizes."""
        attention = self.hidden * 2 * (self.attention_width + self.kv_width)
        mlp = (3 if self.gated else 2) * self.hidden * self.ffn
        return self.layers * (attention + mlp)

    @property
    def embedding_parameters(self) -> int:
        """One vocabulary matrix."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters, biases and norms included; a tied head counts once."""
        vector = self.hidden * (2 if self.norm == "layer" else 1)
        per_layer = self.norms_per_layer * vector
        if self.bias or self.attention_bias:
            per_layer += self.attention_width + 2 * self.kv_width
        if self.bias:
            per_layer += 2 * self.hidden + (2 if self.gated else 1) * self.ffn
        head = (0 if self.tied_embeddings else self.embedding_parameters) + (
            self.vocab if self.head_bias else 0
        )
        blocks = self.linear_parameters + self.layers * per_layer
        return blocks + vector + self.embedding_parameters + head

    @property
    def largest_matrix(self) -> int:
        """Parameters of the largest matrix inside a block."""
        return self.hidden * max(self.ffn, self.attention_width)


class NamedShape(msgspec.Struct, frozen=True):
    """A shape that ships, with the evidence that it is the published model's."""

    shape: ModelShape
    aliases: tuple[str, ...]
    published_parameters: int
    check: Literal["exact", "rounded"]
    source: str


@cache
def named_shapes() -> dict[str, NamedShape]:
    """The shipped shapes by name, in the table's order."""
    path = shipped("benchmarks") / "finetune" / "model_shapes.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        return {row["name"]: _named(row) for row in csv.DictReader(lines)}


def find_shape(name: str) -> ModelShape:
    """The shape called ``name``; case, spaces, underscores and dashes do not matter.

    Raises:
        UnknownNameError: no shape of that name ships.
    """
    wanted = _key(name)
    for named in named_shapes().values():
        if wanted in {_key(known) for known in (named.shape.name, *named.aliases)}:
            return named.shape
    near = difflib.get_close_matches(name.lower(), named_shapes(), n=5, cutoff=0.4)
    raise UnknownNameError(
        f"no model shape is called {name!r}",
        nearest=tuple(near) or tuple(named_shapes()),
        where="shape",
        next_step="localprompt finetune estimate --shape list, or the path of a .gguf file",
    )


def shape_from_gguf_metadata(
    metadata: Mapping[str, Any],
    *,
    name: str | None = None,
    vocab: int | None = None,
    tied_embeddings: bool | None = None,
) -> ModelShape:
    """The shape that a GGUF's key-value metadata describes.

    Args:
        metadata: keys as in the file (``general.architecture``, ``llama.block_count``, …); values
            as numbers or as text, for llama.cpp hands them out as text.
        name: what to call it; by default ``general.name``.
        vocab: rows of the embedding, where the metadata has neither ``<arch>.vocab_size`` nor the
            token list.
        tied_embeddings: whether the file has no ``output.weight``; by default what is usual for
            the architecture.

    Raises:
        InputError: a number is missing or unreadable, or the model is a mixture of experts.
    """
    arch = str(metadata.get("general.architecture", ""))
    if not arch:
        raise _missing("general.architecture")
    if _optional(metadata, f"{arch}.expert_count"):
        raise InputError(
            "training memory of a mixture of experts is not estimated",
            where=f"{arch}.expert_count",
            expected="a dense model",
        )
    hidden = _number(metadata, f"{arch}.embedding_length")
    heads = _number(metadata, f"{arch}.attention.head_count")
    return ModelShape(
        name=name or str(metadata.get("general.name", arch)),
        layers=_number(metadata, f"{arch}.block_count"),
        hidden=hidden,
        heads=heads,
        kv_heads=_optional(metadata, f"{arch}.attention.head_count_kv") or heads,
        head_dim=_optional(metadata, f"{arch}.attention.key_length") or hidden // heads,
        ffn=_number(metadata, f"{arch}.feed_forward_length"),
        vocab=vocab or _vocabulary(metadata, arch),
        gated=arch not in _PLAIN_MLP,
        tied_embeddings=arch in _TIED if tied_embeddings is None else tied_embeddings,
        norm="layer" if arch in _LAYER_NORM else "rms",
        norms_per_layer=4 if arch in _FOUR_NORMS else 1 if arch in _ONE_NORM else 2,
        attention_bias=arch in _ATTENTION_BIASED,
        bias=arch in _BIASED,
        head_bias=arch == "phi2",
    )


def check_parameters(shape: ModelShape, counted: int) -> None:
    """Whether the shape explains a model, by the parameters that its file really has.

    The metadata of an architecture that is no plain decoder (a state space model, say) can be read
    as one. Then the count is far off, and so would be every estimate.

    Raises:
        InputError: they differ by more than 3 %.
    """
    if abs(shape.parameters / counted - 1) > _MOST_UNEXPLAINED:
        raise InputError(
            "training is not estimated for a model built like this",
            where="parameters",
            expected=f"{shape.parameters:,}, as a dense decoder of its shape has",
            found=f"{counted:,}",
            next_step="localprompt finetune estimate --shape list",
        )


def _vocabulary(metadata: Mapping[str, Any], arch: str) -> int:
    tokens = metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, list | tuple):
        return len(tokens)
    return _number(metadata, f"{arch}.vocab_size")


def _number(metadata: Mapping[str, Any], key: str) -> int:
    value = _optional(metadata, key)
    if not value:
        raise _missing(key)
    return value


def _optional(metadata: Mapping[str, Any], key: str) -> int | None:
    """The value of ``key``; the largest where each layer has its own."""
    value = metadata.get(key)
    if value is None:
        return None
    try:
        return max(int(v) for v in value) if isinstance(value, list | tuple) else int(value)
    except (TypeError, ValueError) as error:
        raise InputError(
            "the model's metadata has no whole number here",
            where=key,
            expected="a whole number",
            found=repr(value),
        ) from error


def _missing(key: str) -> InputError:
    return InputError(
        "the model's metadata does not describe its shape",
        where=key,
        expected="a positive whole number",
        found="nothing",
        next_step="name a shipped shape instead",
    )


def _key(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum() or c == ".")


def _named(row: dict[str, str]) -> NamedShape:
    shape = msgspec.convert(
        {key: row[key] for key in ModelShape.__struct_fields__}, ModelShape, strict=False
    )
    return NamedShape(
        shape=shape,
        aliases=tuple(filter(None, row["aliases"].split(";"))),
        published_parameters=int(row["parameters"]),
        check=msgspec.convert(row["check"], Literal["exact", "rounded"]),
        source=row["source"],
    )
