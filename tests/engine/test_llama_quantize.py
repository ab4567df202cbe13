"""llama.cpp's quantization, on a model of a few kilobytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.engine.llama.library import library, log
from localprompt.engine.llama.quantize import plan, quantize
from localprompt.errors import EngineError
from localprompt.gguf.header import read_gguf
from localprompt.gguf.tensor_types import FILE_TYPES
from localprompt.models.inspect import inspect_model
from localprompt.models.quantize.job import FILE_TYPE_IDS
from tests.models.quantize.tiny_llama import SHAPES, write_model


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write_model(tmp_path / "original.gguf")


def _quantize(source: Path, target: Path, name: str, buffer_bytes: int = 2**20) -> list[str]:
    seen: list[str] = []
    quantize(
        source,
        target,
        FILE_TYPE_IDS[name],
        n_threads=1,
        buffer_bytes=buffer_bytes,
        on_tensor=seen.append,
    )
    return seen


def test_the_file_types_are_those_of_the_bindings() -> None:
    constants = {
        value: name.removeprefix("LLAMA_FTYPE_MOSTLY_").removeprefix("LLAMA_FTYPE_ALL_")
        for name, value in vars(library()).items()
        if name.startswith(("LLAMA_FTYPE_MOSTLY_", "LLAMA_FTYPE_ALL_"))
    }
    assert constants == FILE_TYPES


@pytest.mark.parametrize("number", FILE_TYPES)
def test_llama_cpp_knows_each_type_that_is_offered_and_no_other(
    original: Path, number: int
) -> None:
    try:
        plan(original, number)
        reason = ""
    except EngineError as refusal:
        reason = refusal.found or ""
    assert ("invalid output file type" in reason) == (FILE_TYPES[number] not in FILE_TYPE_IDS)


@pytest.mark.parametrize("name", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_K_M", "Q6_K", "IQ4_XS"])
def test_the_plan_is_what_the_file_will_hold(original: Path, tmp_path: Path, name: str) -> None:
    planned = plan(original, FILE_TYPE_IDS[name])
    target = tmp_path / "target.gguf"
    assert _quantize(original, target, name) == sorted(SHAPES, key=_order)
    info = inspect_model(target)
    assert info.file_type == name
    assert info.parameters == inspect_model(original).parameters
    assert planned.tensor_bytes == pytest.approx(info.weights_bytes, abs=0.005 * 2**20 + 1)


def _order(name: str) -> tuple[int, str]:
    """llama.cpp's order: what belongs to no layer first, then layer by layer."""
    return (int(name.split(".")[1]) if name.startswith("blk.") else -1, name)


def test_a_small_buffer_gives_the_same_file(original: Path, tmp_path: Path) -> None:
    _quantize(original, tmp_path / "whole", "Q4_K_M")
    _quantize(original, tmp_path / "slabs", "Q4_K_M", buffer_bytes=1)
    assert (tmp_path / "slabs").read_bytes() == (tmp_path / "whole").read_bytes()


def test_rows_that_are_no_whole_blocks_fall_back_and_are_counted(
    original: Path, tmp_path: Path
) -> None:
    assert plan(original, FILE_TYPE_IDS["Q8_0"]).fallback_tensors == 0
    assert plan(original, FILE_TYPE_IDS["Q4_K_M"]).fallback_tensors == 1
    _quantize(original, tmp_path / "target", "Q4_K_M")
    types = {tensor.name: tensor.type.name for tensor in read_gguf(tmp_path / "target").tensors}
    assert types["blk.1.ffn_up.weight"] == "Q5_0"
    assert types["blk.0.ffn_down.weight"] == "Q4_K"


def test_what_is_quantized_is_quantized_again(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source.gguf", "Q4_1", {"general.file_type": 3})
    _quantize(source, tmp_path / "target", "Q4_0")
    assert inspect_model(tmp_path / "target").file_type == "Q4_0"


@pytest.mark.parametrize("name", ["IQ1_S", "IQ2_XXS"])
def test_a_type_that_needs_an_importance_matrix_is_refused_with_that_reason(
    original: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(EngineError) as planned:
        plan(original, FILE_TYPE_IDS[name])
    with pytest.raises(EngineError) as made:
        _quantize(original, tmp_path / "target", name)
    assert "imatrix" in str(planned.value.found)
    assert "imatrix" in str(made.value.found)
    assert not (tmp_path / "target").exists()


def test_a_model_that_llama_cpp_does_not_know_is_refused_with_its_reason(tmp_path: Path) -> None:
    source = write_model(tmp_path / "odd.gguf", changes={"general.architecture": "nonsense"})
    with pytest.raises(EngineError) as caught:
        plan(source, FILE_TYPE_IDS["Q4_0"])
    assert caught.value.found == "unknown model architecture: 'nonsense'"
    assert caught.value.where == str(source)


def test_an_observer_hears_only_what_is_logged_within_its_block(original: Path) -> None:
    heard: list[str] = []
    with log.observed(heard.append):
        plan(original, FILE_TYPE_IDS["Q8_0"])  # has an observer of its own
    before = list(heard)
    plan(original, FILE_TYPE_IDS["Q8_0"])
    assert heard == before
