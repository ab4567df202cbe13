from __future__ import annotations

import csv
import io
import json
import re

import msgspec
import pytest
from rich.console import Console

from localprompt.finetune.estimate.cost import read_prices
from localprompt.finetune.estimate.estimate import estimate
from localprompt.finetune.estimate.hardware import Gpu, find_gpu, known_gpus
from localprompt.finetune.estimate.prompting import SideBySide, prompting_of_shape
from localprompt.finetune.estimate.recipe import METHODS, make_recipe
from localprompt.finetune.estimate.shapes import find_shape, named_shapes
from localprompt.models import predict
from localprompt.models.layout import Layout
from localprompt.views.estimate import estimate_markdown, print_estimate, print_shapes
from localprompt.views.files.estimate import estimate_rows, write_estimate

CPU = "cpu-llama.cpp"


def report(
    shape_name: str = "llama-2-7b",
    methods: tuple[str, ...] = ("full", "lora", "qlora"),
    *,
    gpus: tuple[Gpu, ...] = (),
    gpu_count: int = 1,
    tokens: int | None = None,
) -> SideBySide:
    shape = find_shape(shape_name)
    return SideBySide(
        kind="estimated",
        shape=shape,
        prompting=prompting_of_shape(shape, n_ctx=512),
        training=tuple(
            estimate(
                shape,
                make_recipe(method, gpus=gpu_count),
                tokens=tokens,
                gpus=() if method == CPU else gpus,
                prices=read_prices(),
            )
            for method in methods
        ),
    )


def shown(what: SideBySide, width: int = 80) -> str:
    """As a file or a pipe gets it: no colour."""
    stream = io.StringIO()
    print_estimate(what, Console(file=stream, width=width, force_terminal=False))
    return stream.getvalue()


def line_with(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(word))


def test_a_method_has_one_line_with_its_range_and_the_sizes_that_hold_it() -> None:
    text = shown(report())
    assert line_with(text, "full-mixed").split()[1:] == ["103", "117", "141", "none", "none"]
    low, typical, high = (float(figure) for figure in line_with(text, "lora").split()[1:4])
    assert low < typical < high
    assert line_with(text, "lora").rstrip().endswith("16? 24 48 80")


def test_prompting_stands_first_and_needs_no_gpu() -> None:
    text = shown(report())
    assert text.index("prompting Q4_0") < text.index("full-mixed")
    assert line_with(text, "prompting Q4_0").rstrip().endswith("not needed")


def test_every_section_says_that_it_is_estimated() -> None:
    gpus = (find_gpu("a100"),)
    text = shown(report(gpus=gpus, tokens=10**6))
    titles = [block.splitlines()[0] for block in text.split("\n\n")]
    assert len(titles) == 5
    assert all("estimated" in title for title in titles[1:])
    assert "Every figure is estimated" in text


def test_enough_laptop_memory_for_qlora_is_marked_because_it_needs_a_gpu() -> None:
    text = shown(report(methods=("lora", "qlora")))
    assert "32 *" in line_with(text, "qlora")
    assert "*" not in line_with(text, "lora")
    assert "* The 4-bit kernels of qlora need a GPU" in text


def test_without_qlora_nothing_is_said_about_its_kernels() -> None:
    assert "kernels" not in shown(report(methods=("lora",)))


def test_training_on_the_cpu_uses_no_gpu() -> None:
    text = shown(report("smollm2-135m", ("lora", CPU), gpus=(find_gpu("t4"),), tokens=1000))
    assert line_with(text, CPU).rstrip().endswith("not used")
    assert f"Time of {CPU} depends on this CPU" in text
    assert "trainer: Hugging Face Trainer, PEFT, bitsandbytes (on GPUs)" in text


def test_the_parts_are_typical_values_that_add_up() -> None:
    made = report(methods=("lora",))
    text = shown(made)
    parts = text[text.index("where the peak goes") :]
    figures = [float(figure) for figure in line_with(parts, "lora").split()[1:]]
    assert len(figures) == 7
    assert sum(figures) == pytest.approx(
        made.training[0].memory.total_bytes.typical / 2**30, rel=0.01
    )


def test_a_peak_in_the_optimizers_step_explains_its_zeros() -> None:
    assert "0: the peak of full-mixed comes while the optimizer steps" in shown(report())
    assert "0: the peak" not in shown(report(methods=("lora",)))


def test_gpus_that_are_too_small_are_named_and_not_timed() -> None:
    gpus = (find_gpu("h200"), find_gpu("h100"), find_gpu("t4"))
    text = shown(report(methods=("full", "lora"), gpus=gpus, tokens=10**6))
    costs = text[text.index("time and money") :]
    assert "Too small for full-mixed: H100 SXM 80GB, T4 16GB." in costs
    assert len(re.findall("full-mixed +H200", costs)) == 1
    assert "may fit" in line_with(costs, "full-mixed")
    assert costs.count("\nlora ") == 3


def test_where_no_gpu_holds_it_a_way_on_is_named_instead_of_an_empty_table() -> None:
    text = shown(report(methods=("full",), gpus=(find_gpu("t4"),), tokens=10**6))
    costs = text[text.index("time and money") : text.index("what is assumed")]
    assert "--gpus N" in costs
    assert "USD" not in costs


def test_an_unknown_price_is_a_dash_and_a_tiny_one_is_no_zero() -> None:
    gpus = (find_gpu("h100"), find_gpu("t4"))
    text = shown(report("smollm2-135m", ("lora",), gpus=gpus, tokens=1000))
    assert "<0.01, <0.01, <0.01" in text
    costs = text[text.index("time and money") : text.index("what is assumed")]
    assert next(line for line in costs.splitlines() if "T4 16GB" in line).split()[-1] == "–"
    assert "no price known" in text


@pytest.mark.parametrize(
    ("tokens", "unit"), [(10**4, "s"), (10**6, "min"), (10**8, "h"), (10**10, "days")]
)
def test_time_is_in_a_unit_that_people_count_in(tokens: int, unit: str) -> None:
    text = shown(report(methods=("lora",), gpus=(find_gpu("a100"),), tokens=tokens))
    row = line_with(text[text.index("time and money") :], "lora")
    assert f" {unit} " in row


def test_prompting_names_what_the_repacked_copy_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "layout_here", lambda: Layout(repacked=frozenset({"Q4_0"})))
    monkeypatch.setattr(predict, "is_mapping_worth_it", lambda *_: True)
    assert line_with(shown(report()), "prompting Q4_0").split()[2:4] == ["3.97", "7.36"]
    assert "(--no-repack)" in shown(report())
    monkeypatch.setattr(predict, "is_mapping_worth_it", lambda *_: False)
    assert line_with(shown(report()), "prompting Q4_0").split()[2] == "3.97"
    assert "(--no-repack)" not in shown(report())
    monkeypatch.setattr(predict, "layout_here", Layout)
    assert line_with(shown(report()), "prompting Q4_0").split()[2] == "3.97"
    assert "(--no-repack)" not in shown(report())


def test_several_gpus_are_spoken_of_as_such() -> None:
    text = shown(report(methods=("full",), gpu_count=4, gpus=(find_gpu("h100"),), tokens=10**6))
    assert "peak memory on each of 4 GPUs" in text
    assert "as a multiple of prompting's, all GPUs together" in text
    assert "tokens on 4 GPUs" in text
    assert "4 GPUs, weights sharded (ZeRO-3)" in text
    assert line_with(text, "full-mixed").split()[4] == "–"


def test_what_methods_share_is_said_once_and_what_differs_with_its_methods() -> None:
    text = shown(report())
    assert text.count("software") == 1
    assert "(full-mixed, lora, qlora)" not in text
    assert "40.0 M parameters (lora, qlora)" in text
    assert "nf4-dq, 4.13 bits per weight (qlora)" in text


@pytest.mark.parametrize("name", list(named_shapes()))
def test_everything_fits_80_columns_without_losing_a_figure(name: str) -> None:
    everything = report(name, tuple(METHODS), gpus=tuple(known_gpus().values()), tokens=10**9)
    text = shown(everything)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for method in METHODS:
        assert len(line_with(text, f"{method} ").split()) >= 6


def test_markdown_tells_the_same_as_the_terminal() -> None:
    made = report(gpus=(find_gpu("a100"),), tokens=10**6)
    markdown, text = estimate_markdown(made), shown(made, width=200)
    assert "| method | low | typical | high | laptop GiB | GPU GB |" in markdown
    assert "| lora | " in markdown
    for cell in ("16? 24 48 80", "103", "Too small for full-mixed: A100 SXM 80GB."):
        assert cell in markdown
        assert cell in text
    tables = [block for block in markdown.split("\n\n") if block.startswith("|")]
    for table in tables:
        bars = {line.count("|") for line in table.splitlines()}
        assert len(bars) == 1


def test_csv_and_jsonl_hold_the_same_rows_and_say_estimated_in_each() -> None:
    made = report(gpus=(find_gpu("a100"), find_gpu("t4")), tokens=10**6)
    stream = io.StringIO()
    write_estimate(made, "csv", stream)
    table = list(csv.DictReader(io.StringIO(stream.getvalue())))
    lines = io.StringIO()
    write_estimate(made, "jsonl", lines)
    objects = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [row["method"] for row in table] == [row["method"] for row in objects]
    assert len(table) == 1 + 3 * 2
    assert {row["kind"] for row in table} == {"estimated"}
    assert list(table[0]) == list(objects[0])
    assert float(table[1]["total_bytes_typical"]) == objects[1]["total_bytes_typical"]


def test_bytes_are_whole_numbers_and_what_does_not_apply_is_null() -> None:
    prompting, full, cpu = estimate_rows(report("smollm2-135m", ("full", CPU)))
    assert all(
        value is None or isinstance(value, int)
        for row in (prompting, full, cpu)
        for key, value in row.items()
        if "_bytes" in key
    )
    assert (full["rank"], full["quantization"], cpu["stack"], cpu["gpus"]) == (None,) * 4
    assert prompting["fits_laptop_8_GiB"] == "fits"
    assert prompting["fits_GPU_8_GB"] is None


def test_json_is_the_whole_report() -> None:
    made = report()
    stream = io.StringIO()
    write_estimate(made, "json", stream)
    assert msgspec.json.decode(stream.getvalue(), type=SideBySide) == made


def test_the_list_of_shapes_fits_80_columns_with_every_name_whole() -> None:
    stream = io.StringIO()
    print_shapes(named_shapes().values(), Console(file=stream, width=80, force_terminal=False))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert all(name in text for name in named_shapes())
