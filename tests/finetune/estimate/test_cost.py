from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.errors import InputError, UnknownNameError
from localprompt.finetune.estimate.cost import (
    achieved_fraction,
    estimate_cost,
    prices_of,
    read_prices,
    training_flops,
)
from localprompt.finetune.estimate.hardware import DEVICES, find_gpu, fits, known_gpus
from localprompt.finetune.estimate.memory import estimate_memory
from localprompt.finetune.estimate.recipe import make_recipe
from localprompt.finetune.estimate.shapes import find_shape

LLAMA = find_shape("llama-2-7b")
HEADER = "gpu,provider,usd_per_gpu_hour,read_on,source\n"


def table(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "prices.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_flops_follow_six_four_and_two_per_parameter() -> None:
    per_token = {
        (method, recompute): training_flops(
            LLAMA, make_recipe(method, recompute=recompute, sequence_tokens=1), 1
        )
        / LLAMA.parameters
        for method in ("full", "lora")
        for recompute in (False, True)
    }
    assert per_token == pytest.approx(
        {("full", False): 6, ("full", True): 8, ("lora", False): 4, ("lora", True): 6}, rel=1e-3
    )


def test_time_lies_between_the_achieved_fractions() -> None:
    recipe = make_recipe("lora", sequence_tokens=1024)
    gpu = find_gpu("a100")
    cost = estimate_cost(LLAMA, recipe, gpu, tokens=1_000_000)
    at_peak = cost.flops / gpu.peak_flops_per_second
    assert cost.seconds.low == pytest.approx(at_peak / 0.55)
    assert cost.seconds.high == pytest.approx(at_peak / 0.20)
    assert cost.usd is None


def test_small_micro_batches_leave_the_gpu_waiting() -> None:
    small = achieved_fraction(make_recipe("lora", sequence_tokens=128))
    large = achieved_fraction(make_recipe("lora", sequence_tokens=2048))
    assert small.low < small.typical < large.typical < large.high == 0.55


def test_32_bit_products_run_at_half_the_rate() -> None:
    a100 = find_gpu("a100")
    mixed, single = (
        estimate_cost(LLAMA, make_recipe(method), a100, tokens=10**6).seconds
        for method in ("full-mixed", "full-fp32")
    )
    assert single.typical == pytest.approx(2 * mixed.typical)


def test_two_gpus_take_half_the_time_and_the_same_money() -> None:
    prices = read_prices()
    gpu = find_gpu("H100 SXM 80GB")
    single = estimate_cost(LLAMA, make_recipe("lora"), gpu, tokens=10**6, prices=prices)
    double = estimate_cost(LLAMA, make_recipe("lora", gpus=2), gpu, tokens=10**6, prices=prices)
    assert double.seconds.typical == pytest.approx(single.seconds.typical / 2)
    assert single.usd is not None
    assert double.usd is not None
    assert double.usd.typical == pytest.approx(single.usd.typical)


def test_money_spans_the_cheapest_and_the_dearest_offer(tmp_path: Path) -> None:
    prices = read_prices(table(tmp_path, "a100,A,1.0,2026-01-01,x", "A100 SXM 80GB,B,3.0,d,x"))
    cost = estimate_cost(LLAMA, make_recipe("lora"), find_gpu("a100"), tokens=10**9, prices=prices)
    assert cost.usd is not None
    assert cost.usd.low == pytest.approx(cost.seconds.low / 3600)
    assert cost.usd.high == pytest.approx(3 * cost.seconds.high / 3600)


def test_every_shipped_price_is_dated_and_of_a_known_gpu() -> None:
    prices = read_prices()
    assert {price.gpu for price in prices} == {"H100 SXM 80GB", "A100 SXM 80GB"}
    assert all(price.read_on.startswith("20") and price.source for price in prices)


def test_a_gpu_without_a_price_costs_an_unknown_amount() -> None:
    gpu = find_gpu("t4")
    assert prices_of(gpu, read_prices()) == ()
    cost = estimate_cost(LLAMA, make_recipe("qlora"), gpu, tokens=10, prices=read_prices())
    assert cost.usd is None


def test_ones_own_price_table_comes_before_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "benchmarks" / "finetune" / "gpu_prices.csv"
    own.parent.mkdir(parents=True)
    own.write_text(HEADER + "l4,mine,0.5,2026-11-01,receipt\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert [(price.gpu, price.provider) for price in read_prices()] == [("L4 24GB", "mine")]


def test_an_unknown_gpu_in_a_price_table_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = table(tmp_path, "a100,A,1.0,2026-01-01,x", "Z9000,A,1.0,2026-01-01,x")
    with pytest.raises(UnknownNameError) as caught:
        read_prices(path)
    assert caught.value.where == f"{path}:3"
    assert set(caught.value.nearest) == set(known_gpus())


@pytest.mark.parametrize("amount", ["free", "-1", "0", "nan", "inf"])
def test_a_price_that_is_no_amount_is_refused(tmp_path: Path, amount: str) -> None:
    path = table(tmp_path, f"a100,A,{amount},2026-01-01,x")
    with pytest.raises(InputError) as caught:
        read_prices(path)
    assert (caught.value.where, caught.value.found) == (f"{path}:2", amount)


def test_a_price_without_its_day_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_prices(table(tmp_path, "a100,A,1.0,,x"))
    assert caught.value.found == "nothing in read_on"


def test_a_missing_price_table_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_prices(tmp_path / "none.csv")


@pytest.mark.parametrize("content", [b"", b"gpu,provider\n", b"\xff\xfe\x00"])
def test_a_file_that_is_no_price_table_is_told_the_columns(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_prices(path)
    assert "usd_per_gpu_hour" in str(caught.value.expected)
    assert caught.value.where == str(path)


def test_an_unknown_gpu_lists_all_known_ones() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_gpu("b9000")
    assert set(caught.value.nearest) == set(known_gpus())


def test_no_tokens_and_training_on_a_cpu_have_no_gpu_cost() -> None:
    gpu = find_gpu("a100")
    with pytest.raises(InputError) as no_tokens:
        estimate_cost(LLAMA, make_recipe("lora"), gpu, tokens=0)
    with pytest.raises(InputError) as on_cpu:
        estimate_cost(LLAMA, make_recipe("cpu-llama.cpp"), gpu, tokens=10)
    assert (no_tokens.value.where, on_cpu.value.where) == ("tokens", "gpu")


def test_verdicts_go_from_too_small_to_large_enough() -> None:
    verdicts = [
        {
            fit.device: fit.verdict
            for fit in fits(estimate_memory(LLAMA, make_recipe(method)).total_bytes)
        }
        for method in ("full", "lora", "qlora")
    ]
    assert set(verdicts[0].values()) == {"does not fit"}
    assert verdicts[1]["GPU 16 GB"] == "may fit"
    assert verdicts[1]["GPU 24 GB"] == "fits"
    assert verdicts[2]["GPU 12 GB"] == "fits"
    assert [len(verdict) for verdict in verdicts] == [len(DEVICES)] * 3


def test_a_peak_at_the_edge_may_fit() -> None:
    peak = estimate_memory(LLAMA, make_recipe("lora")).total_bytes
    edge = DEVICES[-1].__class__("edge", round(peak.typical), 0)
    assert fits(peak, (edge,))[0].verdict == "may fit"
