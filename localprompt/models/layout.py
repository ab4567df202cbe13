"""Which weights get a layout made for this CPU, and how many bytes their copies take.

llama.cpp offers the matrices to its kinds of buffers in turn and takes the first that can multiply
with them: ``AMX`` (``ggml-cpu/amx``), then ``CPU_REPACK`` (``ggml-cpu/repack.cpp``), then the plain
one. What is in one of the former is a copy in another order. AMX adds a few bytes of compensation
to each block of some types; ``CPU_REPACK`` moves only. An embedding that is the output matrix as
well is copied for the products and stays as it is for looking tokens up.

Where the file is mapped, the originals stay resident beside the copies, because llama.cpp
prefetches the whole mapping; where it is read, they were never there.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable

import msgspec

from localprompt.engine.llama.proof import gate
from localprompt.gguf.header import TensorInfo
from localprompt.gguf.tensor_types import BY_NAME
from localprompt.measure import machine

AMX, REPACK = "AMX", "CPU_REPACK"

# Bytes of compensation a block, as get_row_size() of ggml-cpu/amx/mmq.cpp adds them.
_AMX_EXTRA = {
    "F16": 0, "Q4_0": 0, "Q4_1": 0, "Q8_0": 4, "Q4_K": 4, "Q5_K": 4, "Q6_K": 0, "IQ4_XS": 2,
}  # fmt: skip
_AMX_ROWS, _REPACK_ROWS = 32, 8
_WORTH_READING = 0.2
"""From this share of the weights on, copies are had once instead of twice (decision 0038)."""


class Matrices(msgspec.Struct, frozen=True):
    """Matrices that llama.cpp may copy into a layout made for the CPU, of one kind."""

    type: str
    parameters: int
    size_bytes: int
    rows_multiple: int = _AMX_ROWS
    """Every one's number of rows divides by it: 32 or 8."""
    experts: bool = False
    """Three dimensions, multiplied by some tokens only; AMX has no such product."""
    tied: bool = False
    """The token embedding, used as output matrix as well."""


class Copies(msgspec.Struct, frozen=True):
    """What a layout makes of a model's matrices."""

    by_buffer: dict[str, int]
    """Bytes of the copies, by llama.cpp's name of the buffer type."""
    moved_bytes: int
    """Bytes of the originals that nobody needs any more."""

    @property
    def size_bytes(self) -> int:
        return sum(self.by_buffer.values())


class Layout(msgspec.Struct, frozen=True):
    """What a build of llama.cpp does with weights on a CPU."""

    amx: bool = False
    repacked: frozenset[str] = frozenset()
    """Types that ``CPU_REPACK`` takes."""

    def buffer_of(self, matrices: Matrices) -> str | None:
        """The buffer type that they are copied into; None: they stay as they are."""
        of_rows = matrices.rows_multiple % _AMX_ROWS == 0
        if self.amx and matrices.type in _AMX_EXTRA and of_rows and not matrices.experts:
            return AMX
        return REPACK if matrices.type in self.repacked else None

    def size_of(self, matrices: Matrices) -> int:
        """Bytes that multiplying with them reads: the copy's, or their own."""
        if self.buffer_of(matrices) != AMX:
            return matrices.size_bytes
        blocks = matrices.parameters // BY_NAME[matrices.type].block_elements
        return matrices.size_bytes + blocks * _AMX_EXTRA[matrices.type]

    def copies(self, all_matrices: Iterable[Matrices]) -> Copies:
        """What is copied where."""
        by_buffer: dict[str, int] = {}
        moved = 0
        for matrices in all_matrices:
            if (name := self.buffer_of(matrices)) is not None:
                by_buffer[name] = by_buffer.get(name, 0) + self.size_of(matrices)
                moved += 0 if matrices.tied else matrices.size_bytes
        return Copies(by_buffer, moved)


PLAIN = Layout()
"""Without any copies: ``--no-repack``, or a CPU that llama.cpp has no layout for."""


def layout_here() -> Layout:
    """What the installed llama.cpp does on this CPU.

    Where it was tried already (:mod:`localprompt.engine.llama.proof`), the kinds of buffers are
    those that it really used; otherwise they follow from the CPU, for a build that uses all of it.
    """
    flags = machine.cpu_flags()
    layout = Layout(amx=_has_amx(flags), repacked=_types_repacked(flags))
    if (proof := gate.verdict()) is None:
        return layout
    used = () if proof.extra.wrong else proof.buffers
    return Layout(AMX in used, layout.repacked if REPACK in used else frozenset())


def is_mapping_worth_it(copies: Copies, weights_bytes: int) -> bool:
    """Whether weights are better mapped than read, where nobody asked for either."""
    return copies.moved_bytes < _WORTH_READING * weights_bytes


def matrices_of(tensors: Iterable[TensorInfo], *, tied_embeddings: bool) -> tuple[Matrices, ...]:
    """The matrices of a file that may be copied, by kind."""
    found: dict[tuple[str, int, bool, bool], tuple[int, int]] = {}
    for tensor in tensors:
        embedding = tensor.name == "token_embd.weight"
        if not _multiplies(tensor) or (embedding and not tied_embeddings):
            continue
        rows = _AMX_ROWS if tensor.shape[1] % _AMX_ROWS == 0 else _REPACK_ROWS
        kind = (tensor.type.name, rows, len(tensor.shape) == 3, embedding)
        parameters, size_bytes = found.get(kind, (0, 0))
        found[kind] = (parameters + tensor.n_elements, size_bytes + tensor.n_bytes)
    return tuple(
        Matrices(type_name, *found[kind], rows_multiple=rows, experts=experts, tied=tied)
        for kind in sorted(found, key=lambda kind: -found[kind][1])
        for type_name, rows, experts, tied in (kind,)
    )


def _multiplies(tensor: TensorInfo) -> bool:
    return (
        len(tensor.shape) in {2, 3}
        and tensor.shape[1] % _REPACK_ROWS == 0
        and tensor.name.endswith(".weight")
    )


def _has_amx(flags: frozenset[str] | None) -> bool:
    return sys.platform == "linux" and {"amx_int8", "avx512_vnni"} <= (flags or frozenset())


def _types_repacked(flags: frozenset[str] | None) -> frozenset[str]:
    """Follows ``ggml_repack_get_optimal_repack_type`` of the pinned llama.cpp. On Linux the CPU's
    flags decide; where they cannot be read, what practically every such CPU has."""
    architecture = platform.machine().lower()
    if architecture in {"x86_64", "amd64"}:
        types = {"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"} if flags is None or "avx2" in flags else set()
        return frozenset(types | {"Q2_K"} if flags and "avx512f" in flags else types)
    if architecture in {"arm64", "aarch64"} and (flags is None or "asimddp" in flags):
        return frozenset({"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"})
    return frozenset()
