"""LoRA adapters as llama.cpp takes them: a GGUF file with two narrow matrices for each weight.

A weight W (n_in × n_out) becomes W + scale × alpha / rank × B·A, with A (n_in × rank) and B (rank ×
n_out) under the weight's name with ``.lora_a`` and ``.lora_b`` behind it; the token embedding has
them the other way round. What is read here is only the head, and only what can be told from it is
refused here: by name, before anything is loaded (``llama_adapter_lora_init_impl`` of the pinned
version refuses the same, with less to say).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from localprompt.errors import ModelFileError
from localprompt.gguf.header import GgufFile, TensorInfo, read_gguf
from localprompt.gguf.splits import read_model

TYPE = "general.type"
ADAPTER = "adapter"
_A, _B = ".lora_a", ".lora_b"
_EMBEDDING = "token_embd.weight"
_TYPES = ("F32", "F16", "BF16", "Q8_0")
"""What converters write, and what is narrow enough for products with either matrix."""


class AdapterHead(msgspec.Struct, frozen=True):
    """What an adapter's file says of itself."""

    path: Path
    size_bytes: int
    """Of the file."""
    architecture: str
    """Of the model that it was made for."""
    alpha: float
    rank: int
    """The largest of its matrices'."""
    pairs: dict[str, tuple[TensorInfo, TensorInfo]]
    """A and B by the name of the weight that they change."""
    name: str | None = None
    base: str | None = None
    """Name of the model that it was made for, where the file says one."""
    licence: str | None = None

    @property
    def tensor_bytes(self) -> int:
        """What it takes in memory."""
        return sum(a.n_bytes + b.n_bytes for a, b in self.pairs.values())


def is_adapter(metadata: Mapping[str, Any]) -> bool:
    return metadata.get(TYPE) == ADAPTER


def is_adapter_file(path: Path) -> bool:
    """Whether a file says that it is an adapter; False for what cannot be read."""
    try:
        return is_adapter(read_gguf(path).metadata)
    except ModelFileError:
        return False


def read_adapter(path: Path) -> AdapterHead:
    """The head of an adapter's file.

    Raises:
        ModelFileError: not readable, truncated, no adapter, or one of a kind that is not supported.
    """
    head = _head(path)
    metadata = head.metadata
    if not is_adapter(metadata):
        raise _refused(path, "not an adapter", expected="a LoRA adapter", found=_kind(metadata))
    kind = metadata.get("adapter.type")
    if kind != "lora":
        raise _refused(path, "this kind of adapter is not supported", "lora", str(kind))
    if "adapter.alora.invocation_tokens" in metadata:
        raise _refused(
            path, "this kind of adapter is not supported", "lora", "an activated one (aLoRA)"
        )
    pairs = dict(_pairs(head))
    if not pairs:
        raise _refused(path, "the adapter changes nothing", "pairs of .lora_a and .lora_b", "none")
    alpha = metadata.get("adapter.lora.alpha", 0.0)
    if not isinstance(alpha, float) or "adapter.lora.alpha" in head.doubles:
        of = "64 bits" if isinstance(alpha, float) else type(alpha).__name__
        raise _refused(path, "the adapter's alpha is of another type", "float of 32 bits", of)
    return AdapterHead(
        path=path,
        size_bytes=head.size_bytes,
        architecture=str(metadata.get("general.architecture", "")),
        alpha=alpha,
        rank=max(_rank(name, *pair) for name, pair in pairs.items()),
        pairs=pairs,
        name=_text(metadata, "general.name"),
        base=_text(metadata, "general.base_model.0.name"),
        licence=_text(metadata, "general.license"),
    )


def _head(path: Path) -> GgufFile:
    try:
        return read_gguf(path)
    except ModelFileError as error:
        message = error.message.replace("the model file", "the adapter's file")
        raise _refused(path, message, error.expected, error.found) from error


def check_fits(adapter: AdapterHead, base: GgufFile) -> None:
    """Refuse an adapter of another model than this one.

    Raises:
        ModelFileError: the architecture, a weight's name or its shape is another.
    """
    architecture = str(base.metadata.get("general.architecture", ""))
    made_for = f" (made for {adapter.base})" if adapter.base else ""
    if adapter.architecture != architecture:
        raise _refused(
            adapter.path,
            f"the adapter is for another architecture than {base.path.name}",
            architecture,
            f"{adapter.architecture}{made_for}",
        )
    shapes = {tensor.name: tensor.shape for tensor in base.tensors}
    for name, (a, b) in adapter.pairs.items():
        shape = shapes.get(name)
        if shape is None or len(shape) < 2:
            raise _refused(
                adapter.path,
                f"the adapter is for another model than {base.path.name}{made_for}",
                "weights that it has",
                f"{name}, which it does not have",
            )
        own = _changes(name, a, b)
        if own != shape[:2]:
            raise _refused(
                adapter.path,
                f"the adapter is for another model than {base.path.name}{made_for}",
                f"{name} of {shape[0]} × {shape[1]}",
                f"{own[0]} × {own[1]}",
            )


def pair_fits(name: str, a: TensorInfo, b: TensorInfo, base: GgufFile) -> bool:
    """Whether a model has a weight of that name and shape."""
    own = _changes(name, a, b)
    return any(tensor.name == name and tensor.shape[:2] == own for tensor in base.tensors)


def _changes(name: str, a: TensorInfo, b: TensorInfo) -> tuple[int, int]:
    """The shape of the weight that a pair changes."""
    return (b.shape[1], a.shape[1]) if name == _EMBEDDING else (a.shape[0], b.shape[1])


def check_each(adapters: Iterable[Path], model: Path) -> None:
    """Refuse files that are not adapters, or that were made for another model than this file's.

    Raises:
        ModelFileError: as :func:`read_adapter` and :func:`check_fits`.
    """
    heads = [read_adapter(path) for path in adapters]
    base = read_model(model) if heads else None
    for head in heads:
        if base is not None:
            check_fits(head, base)


def _pairs(head: GgufFile) -> Iterator[tuple[str, tuple[TensorInfo, TensorInfo]]]:
    tensors = {tensor.name: _as_matrix(tensor) for tensor in head.tensors}
    for name, tensor in tensors.items():
        if name.endswith("_norm.weight"):
            continue  # llama.cpp leaves these out as well
        stem, ending = name[:-7], name[-7:]
        if ending not in (_A, _B):
            raise _refused(
                head.path, "a tensor of the adapter has an unknown name", f"{_A} or {_B}", name
            )
        if len(tensor.shape) != 2:
            raise _refused(head.path, "a tensor of the adapter is not a matrix", None, name)
        if tensor.type.name not in _TYPES:
            raise _refused(
                head.path,
                "a tensor of the adapter has a type that is not supported",
                ", ".join(_TYPES),
                f"{name} in {tensor.type.name}",
            )
        other = tensors.get(stem + (_B if ending == _A else _A))
        if other is None:
            raise _refused(
                head.path, "half of a pair is missing in the adapter", f"{_A} and {_B}", name
            )
        if ending == _A and len(other.shape) == 2:
            _check_rank(head.path, stem, tensor, other)
            yield stem, (tensor, other)


def _as_matrix(tensor: TensorInfo) -> TensorInfo:
    """Some writers leave out a last dimension of 1, which a matrix of rank 1 has."""
    if len(tensor.shape) != 1:
        return tensor
    return msgspec.structs.replace(tensor, shape=(*tensor.shape, 1))


def _check_rank(path: Path, name: str, a: TensorInfo, b: TensorInfo) -> None:
    of_a, of_b = _ranks(name, a, b)
    if min(of_a, of_b) < 1:
        raise _refused(path, "the adapter has rank 0", "a rank of 1 or more", name)
    if of_a != of_b:
        raise _refused(
            path, "the two matrices do not belong together", f"{name} of rank {of_a}", f"{of_b}"
        )


def _ranks(name: str, a: TensorInfo, b: TensorInfo) -> tuple[int, int]:
    return (a.shape[0], b.shape[0]) if name == _EMBEDDING else (a.shape[1], b.shape[0])


def _rank(name: str, a: TensorInfo, b: TensorInfo) -> int:
    return _ranks(name, a, b)[0]


def _kind(metadata: Mapping[str, Any]) -> str:
    kind = metadata.get(TYPE, "model")
    return f"{kind} of architecture {metadata.get('general.architecture', 'unknown')}"


def _text(metadata: Mapping[str, Any], key: str) -> str | None:
    value = metadata.get(key)
    return value if isinstance(value, str) and value else None


def _refused(path: Path, message: str, expected: str | None, found: str | None) -> ModelFileError:
    return ModelFileError(message, where=str(path), expected=expected, found=found)
