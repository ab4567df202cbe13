"""Real workers, the real model: what is measured agrees with others who measure it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from localprompt.bench.child import Child
from localprompt.bench.limits import token_work
from localprompt.engine.llama.arithmetic import LlamaProduct
from localprompt.engine.llama.ggml_library import ggml
from localprompt.engine.llama.synthetic import LlamaSynthetic
from localprompt.errors import EngineError
from localprompt.measure.kernel import ON_LINUX
from localprompt.records.cell import BenchRequest
from localprompt.records.run import RequestedSettings
from localprompt.running import worker
from tests.bench.benches import request

pytestmark = pytest.mark.model

SETTINGS = RequestedSettings(n_threads=1, n_threads_batch=1)


@pytest.fixture(scope="module")
def synthetic(starter_model: Path) -> Iterator[LlamaSynthetic]:
    with LlamaSynthetic(starter_model, SETTINGS, most_tokens=40) as engine:
        yield engine


def cached_cells(engine: LlamaSynthetic) -> int:
    return int(engine._lib.llama_memory_seq_pos_max(engine._memory, 0)) + 1


def test_synthetic_prefill_evaluates_as_many_tokens_as_it_says(synthetic: LlamaSynthetic) -> None:
    synthetic.clear()
    assert cached_cells(synthetic) == 0
    synthetic.prefill(33)
    assert cached_cells(synthetic) == 33


def test_synthetic_decode_evaluates_one_token_after_the_other(synthetic: LlamaSynthetic) -> None:
    synthetic.clear()
    moments = synthetic.decode(3)
    assert cached_cells(synthetic) == 3
    assert moments == sorted(moments)
    assert len(set(moments)) == 3


def test_a_prefill_longer_than_a_batch_goes_through_in_parts(starter_model: Path) -> None:
    small = msgspec.structs.replace(SETTINGS, n_batch=16, n_ubatch=16)
    with LlamaSynthetic(starter_model, small, most_tokens=40) as engine:
        engine.prefill(40)
        assert cached_cells(engine) == 40
        assert engine.settings.n_batch == 16


def test_more_tokens_than_the_cache_holds_are_an_error(starter_model: Path) -> None:
    little = msgspec.structs.replace(SETTINGS, n_ctx=256)
    with (
        LlamaSynthetic(starter_model, little, most_tokens=300) as engine,
        pytest.raises(EngineError, match="could not evaluate"),
    ):
        engine.prefill(300)


@pytest.mark.parametrize("weight_type", ["F32", "Q4_1", "Q4_0", "Q6_K"])
def test_a_product_counts_its_operations_whatever_the_type(weight_type: str) -> None:
    with LlamaProduct(weight_type) as multiply:
        assert multiply(1) == 2.0 * 2048 * 2048 * 512


def test_a_type_that_the_build_does_not_know_is_an_error() -> None:
    with pytest.raises(EngineError, match="does not know"):
        LlamaProduct("Q9_9")


def test_the_functions_of_ggml_are_those_of_the_library_that_is_loaded() -> None:
    assert ggml().ggml_row_size(0, 32) == 128


def test_the_work_of_a_token_follows_from_the_tensors(starter_model: Path) -> None:
    work, parameters = token_work(starter_model, SETTINGS)
    assert parameters == {"Q4_1": 106_168_320}
    assert work.matrix_parameters == 106_168_320  # 30 layers of 576 × 1536, 9 heads, 3 of KV
    assert work.output_parameters == 49_152 * 576
    assert (work.layers, work.attention_width) == (30, 576)
    assert work.kv_bytes_per_position == 30 * 2 * 192 * 2
    # The output matrix is the embedding: every weight is read for every token.
    assert work.weight_bytes == pytest.approx(starter_model.stat().st_size, rel=0.03)


def bench_request(model: Path, text: str, **synthetic: int) -> BenchRequest:
    one = request(model, text, **synthetic)
    cell = msgspec.structs.replace(one.cell, settings=SETTINGS)
    return msgspec.structs.replace(one, cell=cell)


# The kernel's figure for a process begins with what its parent had when it forked. A small parent
# in between (as /usr/bin/time is) keeps the tests' own size out of it.
ACCOUNTANT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "localprompt.running.worker"])
_, status, usage = os.wait4(child.pid, 0)
child.returncode = os.waitstatus_to_exitcode(status)
print(usage.ru_maxrss)
sys.exit(child.returncode)
"""


@pytest.mark.skipif(not ON_LINUX, reason="ru_maxrss has another meaning elsewhere")
def test_the_peak_of_the_memory_pass_is_what_the_kernel_accounts_to_the_process(
    starter_model: Path,
) -> None:
    opening = worker.Open(bench_request(starter_model, "Name a colour."), "memory")
    with subprocess.Popen(
        [sys.executable, "-c", ACCOUNTANT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as accountant:
        assert accountant.stdin is not None
        assert accountant.stdout is not None
        for command in (opening, worker.Run()):
            accountant.stdin.write(msgspec.json.encode(command) + b"\n")
            reply = accountant.stdout.readline()
        accountant.stdin.close()
        accounted = accountant.stdout.readline()
    ran = msgspec.json.decode(reply, type=worker.Ran)
    reported = msgspec.json.decode(ran.record)["memory"]["peak_rss_bytes"]
    assert reported == pytest.approx(int(accounted) * 1024, rel=0.03)


def test_a_prompt_and_synthetic_work_go_through_real_workers(starter_model: Path) -> None:
    with Child() as child:
        child.open(bench_request(starter_model, "Name a colour."), "timing")
        first, second = child.run().record, child.run().record
    assert first.output.text == second.output.text != ""
    assert first.timing.ttft_seconds is not None
    assert first.tokens.reused == second.tokens.reused == 0
    assert first.settings.n_threads == 1
    with Child() as child:
        child.open(bench_request(starter_model, "", prefill=8), "memory")
        record = child.run().record
    assert record.tokens.prompt == 8
    assert record.memory.kv_cache_bytes is not None
