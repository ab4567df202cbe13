from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.errors import DatasetError, UnknownNameError
from localprompt.finetune.estimate.cost import achieved_fraction, training_flops
from localprompt.finetune.estimate.hardware import find_gpu
from localprompt.finetune.estimate.published import (
    Comparison,
    Published,
    accuracy,
    accuracy_table,
    compare,
    read_published,
)
from localprompt.stats.ranges import Range

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "finetune-estimate.md"


def group(name: str) -> tuple[Comparison, ...]:
    return tuple(c for c in compare(read_published()) if c.published.group == name)


def estimated_step(row: Published) -> Range:
    """Seconds of one optimizer step of the published run, on A100 GPUs."""
    recipe = row.recipe
    tokens = recipe.micro_batch_tokens * recipe.accumulation * recipe.gpus
    flops = training_flops(row.shape, recipe, tokens)
    at_peak = flops / (find_gpu("A100 SXM 80GB").peak_flops_per_second * recipe.gpus)
    achieved = achieved_fraction(recipe)
    return Range(at_peak / achieved.high, at_peak / achieved.typical, at_peak / achieved.low)


@pytest.mark.parametrize("name", ["calibration", "held out"])
def test_estimates_meet_the_published_figures(name: str) -> None:
    met = accuracy(group(name))
    assert met.rows >= 44
    assert met.median_error <= 0.12
    assert met.inside >= 0.90
    assert met.widest <= 0.35


def test_what_was_measured_on_a_lent_gpu_is_met_with_and_without_fused_kernels() -> None:
    rows = group("measured here")
    assert len(rows) == 30
    assert {row.published.recipe.stack.name for row in rows} == {"trainer", "liger"}
    met = accuracy(rows)
    assert met.median_error <= 0.06
    assert met.inside >= 0.93


def test_a_source_that_is_silent_about_the_length_gets_a_range_as_wide_as_that(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "model,method,sequence_tokens,peak_memory,unit,source\n"
        "llama-3-8b,lora,,16.2,GB,torchtune README\nllama-3-8b,lora,512,16.2,GB,torchtune README\n",
        encoding="utf-8",
    )
    silent, said = compare(read_published(path))
    assert silent.estimated_bytes.low < said.estimated_bytes.low
    assert silent.estimated_bytes.high > said.estimated_bytes.high
    assert silent.estimated_bytes.typical == said.estimated_bytes.typical


def test_figures_of_reserved_memory_are_kept_apart_because_they_are_missed() -> None:
    missed = accuracy(group("varied lengths"))
    assert missed.median_error > 0.12
    assert missed.inside < 0.90


def test_published_step_times_lie_in_the_estimated_range() -> None:
    timed = [row for row in read_published() if row.seconds_per_step is not None]
    inside = [row.seconds_per_step in estimated_step(row) for row in timed if row.seconds_per_step]
    assert len(inside) >= 60
    assert sum(inside) / len(inside) >= 0.85


def test_the_guide_holds_the_table_that_the_code_makes() -> None:
    _, generated = GUIDE.read_text(encoding="utf-8").split("<!-- generated: begin -->\n")
    assert generated.split("<!-- generated: end -->")[0] == accuracy_table()


def test_every_published_row_names_its_source() -> None:
    assert all(row.source for row in read_published())


def test_a_row_that_is_silent_about_its_stack_takes_that_of_its_source(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "model,method,micro_batch,sequence_tokens,peak_memory,unit,hardware,source,notes\n"
        "Llama-2-7B,qlora,1,1304,13.84,GB,1x A100,Lightning-AI/litgpt,nf4 double quantization\n"
        "Qwen-7B,full,1,256,139.2,GB,2x A100,QwenLM/Qwen README,\n"
        "Llama-3-8B,lora,1,,20,GiB,,a blog,\n",
        encoding="utf-8",
    )
    litgpt, qwen, blog = read_published(path)
    assert (litgpt.recipe.stack.name, litgpt.recipe.quantization) == ("litgpt", "nf4-dq")
    assert (qwen.recipe.stack.name, qwen.recipe.gpus, qwen.recipe.sharded) == ("qwenlm", 2, True)
    assert (blog.recipe.stack.name, blog.recipe.sequence_tokens) == ("trainer", 512)
    assert blog.peak_bytes == 20 * 2**30


@pytest.mark.parametrize(
    "row", ["llama-2-7b,lora,much,GB,x", "llama-2-7b,lora,20,MB,x", "llama-2-7b,lora,20"]
)
def test_an_unreadable_row_is_named(tmp_path: Path, row: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"model,method,peak_memory,unit,source\n{row}\n", encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        read_published(path)
    assert caught.value.where == f"{path}:2"


def test_a_row_of_an_unknown_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("model,method,peak_memory,source\nnone-1b,lora,20,x\n", encoding="utf-8")
    with pytest.raises(UnknownNameError, match="none-1b"):
        read_published(path)
