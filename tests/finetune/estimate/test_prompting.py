from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.finetune.estimate.prompting import prompting_of_file, prompting_of_shape
from localprompt.finetune.estimate.shapes import find_shape, named_shapes
from localprompt.models import predict
from localprompt.models.inspect import inspect_model
from localprompt.models.layout import Layout
from localprompt.models.predict import predict_memory
from localprompt.units import GIB
from tests.models.tiny_gguf import tiny_gguf

LLAMA = find_shape("llama-2-7b")


def test_a_shape_is_quantized_to_four_and_a_half_bits_and_a_wider_output_matrix() -> None:
    made = prompting_of_shape(LLAMA, n_ctx=512)
    in_file = made.memory.file_bytes
    # 18 bytes for 32 weights, 210 for 256 in the output matrix, 4 for each norm's.
    four_bit = LLAMA.linear_parameters + LLAMA.embedding_parameters
    rest = LLAMA.parameters - four_bit - LLAMA.embedding_parameters
    assert in_file == four_bit * 18 // 32 + LLAMA.embedding_parameters * 210 // 256 + 4 * rest
    assert (made.quantization, made.from_file, made.kind) == ("Q4_0", False, "estimated")


def test_the_context_is_kept_in_16_bit_for_every_layer() -> None:
    made = prompting_of_shape(LLAMA, n_ctx=1024)
    assert made.memory.kv_cache_bytes == 1024 * 32 * 2 * 4096 * 2


def test_the_low_end_is_without_copies_for_this_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "layout_here", lambda: Layout(repacked=frozenset({"Q4_0"})))
    monkeypatch.setattr(predict, "is_mapping_worth_it", lambda *_: True)
    made = prompting_of_shape(LLAMA, n_ctx=512)
    peak = made.peak_bytes
    assert peak.typical - peak.low == made.memory.repacked_bytes == made.memory.twice_bytes > 0
    assert peak.high == peak.typical == made.memory.peak_bytes
    assert peak.low < 5 * GIB


def test_laptops_that_hold_it_are_named_and_no_gpu_is() -> None:
    names = [fit.device for fit in prompting_of_shape(LLAMA, n_ctx=512).fits]
    assert names == ["laptop 8 GiB", "laptop 16 GiB", "laptop 32 GiB"]


@pytest.mark.parametrize("name", list(named_shapes()))
def test_every_named_shape_can_be_prompted_in_less_memory_than_its_16_bit_weights_twice(
    name: str,
) -> None:
    shape = find_shape(name)
    peak = prompting_of_shape(shape, n_ctx=512).peak_bytes
    assert shape.parameters / 2 < peak.low < 2 * 2 * shape.parameters + GIB


def test_a_file_is_predicted_as_models_show_predicts_it(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf())
    info = inspect_model(path)
    made = prompting_of_file(info, "tiny", n_ctx=128)
    assert made.memory == predict_memory(info, n_ctx=128)
    assert (made.model, made.from_file) == ("tiny", True)


@pytest.mark.model
def test_the_starter_models_shape_takes_about_what_its_file_takes(starter_model: Path) -> None:
    of_file = prompting_of_file(inspect_model(starter_model), "smollm2-135m", n_ctx=512)
    of_shape = prompting_of_shape(find_shape("smollm2-135m"), n_ctx=512)
    assert of_shape.peak_bytes.low == pytest.approx(of_file.peak_bytes.low, rel=0.05)
