"""Predictions against what llama.cpp logged and what the kernel counted.

``measured_buffers.csv``: "KV buffer size" and "compute buffer size" from llama.cpp's log, one row
of logits (n_outputs_max 1). ``measured_peaks.csv``: resident size before the model was opened and
VmHWM after a prompt of that many tokens. Both from llama-cpp-python 0.3.36 on x86-64 with AVX2 and
AVX-512, one process for each row.
"""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import InputError
from localprompt.models import layout
from localprompt.models.inspect import ModelInfo
from localprompt.models.layout import PLAIN, Layout, Matrices
from localprompt.models.predict import MemoryPrediction, maps_weights, predict_memory
from localprompt.records.proof import PathVerdict, Proof
from localprompt.units import MIB
from tests.models.test_inspect import SHAPES

HERE = Path(__file__).parent
REPACKED = frozenset({"Q4_0", "Q4_K", "Q2_K", "IQ4_NL", "MXFP4"})
AVX512 = Layout(repacked=REPACKED)
AMX = Layout(amx=True, repacked=REPACKED)


def _rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _info(name: str) -> ModelInfo:
    return msgspec.convert(SHAPES[name], ModelInfo)


def _predict(row: dict[str, str], **more: int) -> MemoryPrediction:
    return predict_memory(
        _info(row["model"]),
        n_ctx=int(row["n_ctx"]),
        n_batch=int(row["n_batch"]),
        n_ubatch=int(row["n_ubatch"]),
        type_k=row["type_k"],
        type_v=row["type_v"],
        flash_attn=row["flash_attn"] == "1",
        use_mmap=row["use_mmap"] == "1",
        repack=row["repack"] == "1",
        layout=AVX512,
        **more,
    )


def _name(row: dict[str, str]) -> str:
    return "-".join(list(row.values())[1:10])


@pytest.mark.parametrize("row", _rows("measured_buffers.csv"), ids=_name)
def test_buffers_are_those_that_llama_cpp_logs(row: dict[str, str]) -> None:
    predicted = _predict(row)
    assert predicted.kv_cache_bytes / MIB == pytest.approx(float(row["kv_cache_mib"]), abs=0.02)
    info = _info(row["model"])
    # Beside the logged buffer: scratch for products, and the logits that are handed out.
    scratch = int(row["n_ubatch"]) * info.n_ff * 36 // 32
    if row["flash_attn"] == "0":
        scores = 2 * int(row["n_ubatch"]) * int(row["n_ctx"]) * info.n_head
        scratch = max(scratch, scores)
    buffer = predicted.compute_bytes - scratch - 4 * info.n_vocab
    # Keys and values of 8 bit are rotated before they are stored, which shifts the plan of the
    # buffer a little; that is not modelled.
    tolerance = 0.02 if row["type_k"] == "f16" else 1.6
    assert buffer / MIB == pytest.approx(float(row["compute_mib"]), abs=tolerance)


@pytest.mark.parametrize("row", _rows("measured_peaks.csv"), ids=_name)
def test_the_peak_is_within_2_percent_of_what_was_measured(row: dict[str, str]) -> None:
    predicted = _predict(row, baseline_bytes=int(row["baseline_bytes"]))
    assert predicted.peak_bytes == pytest.approx(int(row["peak_bytes"]), rel=0.02)
    assert predicted.weights_bytes / MIB == pytest.approx(float(row["weights_mib"]), rel=0.005)


def test_mapped_and_repacked_weights_are_both_counted() -> None:
    info = _info("smollm2-135m-q4_0")
    twice = predict_memory(info, n_ctx=512, layout=AVX512, use_mmap=True)
    once = predict_memory(info, n_ctx=512, layout=AVX512, use_mmap=False)
    assert twice.repacked_bytes == once.repacked_bytes > 0
    assert twice.weights_bytes - once.weights_bytes == twice.twice_bytes > 0
    plain = predict_memory(info, n_ctx=512, layout=AVX512, repack=False)
    assert plain.weights_bytes == info.weights_bytes
    assert plain.repacked_bytes == 0


def test_a_short_prompt_touches_less_of_the_compute_buffer() -> None:
    info = _info("smollm2-135m")
    short = predict_memory(info, n_ctx=2048, prompt_tokens=30)
    full = predict_memory(info, n_ctx=2048)
    assert short.compute_bytes < full.compute_bytes / 5
    assert short.kv_cache_bytes == full.kv_cache_bytes


@given(
    name=st.sampled_from(sorted(SHAPES)),
    n_ctx=st.integers(1, 20_000),
    more=st.integers(1, 5_000),
    flash_attn=st.booleans(),
    parallel=st.integers(1, 32),
)
def test_more_context_never_takes_less(
    name: str, n_ctx: int, more: int, flash_attn: bool, parallel: int
) -> None:
    info = _info(name)
    small, large = (
        predict_memory(info, n_ctx=size, flash_attn=flash_attn, parallel=parallel)
        for size in (n_ctx, n_ctx + more)
    )
    assert small.peak_bytes <= large.peak_bytes
    assert small.kv_cache_bytes <= large.kv_cache_bytes


def test_a_cache_of_compressed_vectors_has_no_values() -> None:
    info = _info("smollm2-135m")
    latent = msgspec.structs.replace(info, latent=True)
    whole, keys = (predict_memory(one, n_ctx=512).kv_cache_bytes for one in (info, latent))
    assert keys == whole // 2, "keys and values are of one length"


def test_a_kv_type_that_does_not_exist_and_a_context_of_nothing_are_refused() -> None:
    info = _info("smollm2-135m")
    with pytest.raises(InputError, match="type_k"):
        predict_memory(info, n_ctx=512, type_k="q9_9")
    with pytest.raises(InputError, match="at least 1"):
        predict_memory(info, n_ctx=0)


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", {"sse4_2"}, set()),
        ("x86_64", {"avx2"}, {"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"}),
        ("x86_64", {"avx2", "avx512f"}, REPACKED),
        ("aarch64", {"asimd"}, set()),
        ("arm64", None, {"Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"}),
        ("ppc64", None, set()),
    ],
)
def test_what_is_repacked_depends_on_the_cpu(
    machine: str, flags: set[str] | None, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("localprompt.measure.machine.cpu_flags", lambda: flags)
    assert layout.layout_here() == Layout(repacked=frozenset(expected))


# What llama.cpp logs as model buffers on a CPU with AMX (0.3.36, 2026-11-26), in MiB.
@pytest.mark.parametrize(
    ("name", "amx", "plain"),
    [("smollm2-135m", 95.3, 28.8), ("qwen2.5-coder-0.5b", 225.5, 254.7)],
)
def test_copies_for_amx_are_as_large_as_llama_cpp_logs(name: str, amx: float, plain: float) -> None:
    info = _info(name)
    copies = AMX.copies(info.repackable)
    assert copies.by_buffer["AMX"] / MIB == pytest.approx(amx, abs=0.06)
    assert (info.weights_bytes - copies.moved_bytes) / MIB == pytest.approx(plain, abs=0.06)


def test_matrices_that_amx_cannot_take_are_repacked_or_left() -> None:
    experts = Matrices("Q4_K", 256 * 64, 64 * 144, experts=True)
    narrow = Matrices("Q8_0", 32 * 8, 8 * 34, rows_multiple=8)
    assert AMX.buffer_of(experts) == "CPU_REPACK"
    assert AMX.buffer_of(narrow) is None
    assert AVX512.size_of(experts) == experts.size_bytes


def test_what_was_tried_on_this_cpu_counts_more_than_its_flags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = frozenset({"avx2", "avx512f", "avx512_vnni", "amx_int8"})
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("localprompt.measure.machine.cpu_flags", lambda: flags)
    good = PathVerdict()
    seen = {
        None: AMX,
        Proof(good, good, ("AMX", "CPU_REPACK"), 0.1): AMX,
        Proof(good, good, ("CPU_REPACK",), 0.1): AVX512,
        Proof(good, PathVerdict("it died"), ("AMX",), 0.1): PLAIN,
    }
    for proof, expected in seen.items():
        monkeypatch.setattr("localprompt.models.layout.gate.verdict", lambda proof=proof: proof)
        assert layout.layout_here() == expected


def test_what_is_copied_for_the_most_part_is_read_and_the_rest_is_mapped() -> None:
    for name in ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"):
        assert not maps_weights(_info(name), layout=AMX)
        assert maps_weights(_info(name), layout=AMX, repack=False)
    assert maps_weights(_info("smollm2-135m"), layout=AVX512)
    assert not maps_weights(_info("smollm2-135m-q4_0"), layout=AVX512)


def test_scores_are_resident_only_as_far_as_tokens_reach() -> None:
    whole = predict_memory(_info("smollm2-135m"), n_ctx=8192, flash_attn=False, layout=PLAIN)
    part = predict_memory(
        _info("smollm2-135m"), n_ctx=8192, flash_attn=False, layout=PLAIN, used_tokens=1000
    )
    assert part.kv_cache_bytes == whole.kv_cache_bytes
    scores = 4 * 512 * (8192 - 1024) * 9
    assert whole.compute_bytes - part.compute_bytes > scores
    full = predict_memory(
        _info("smollm2-135m"), n_ctx=8192, flash_attn=False, layout=PLAIN, used_tokens=9000
    )
    assert full == whole
