from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localprompt.__main__ import run
from localprompt.models import predict
from localprompt.models.layout import Layout
from tests.models.tiny_gguf import METADATA, tiny_gguf

ROOT = Path(__file__).resolve().parents[2]
Tensors = list[tuple[str, tuple[int, ...], str]]

BLOCK: Tensors = [
    ("attn_norm", (64,), "F32"),
    ("attn_q", (64, 64), "Q4_0"),
    ("attn_k", (64, 32), "Q4_0"),
    ("attn_v", (64, 32), "Q4_0"),
    ("attn_output", (64, 64), "Q4_0"),
    ("ffn_norm", (64,), "F32"),
    ("ffn_gate", (64, 96), "Q4_0"),
    ("ffn_up", (64, 96), "Q4_0"),
    ("ffn_down", (96, 64), "Q4_0"),
]
TENSORS: Tensors = [
    ("token_embd.weight", (64, 80), "Q8_0"),
    *((f"blk.{i}.{name}.weight", shape, kind) for i in range(2) for name, shape, kind in BLOCK),
    ("output_norm.weight", (64,), "F32"),
]
PARAMETERS = 66_880
"""80·64 embedded, and per block 2·64 of norms, 12,288 of attention, 18,432 of the MLP; 64."""

Estimate = Callable[..., tuple[int, str, str]]


@pytest.fixture
def estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Estimate:
    """Runs ``finetune estimate`` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["finetune", "estimate", *arguments])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    """A GGUF whose tensors are those of its shape."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf(tensors=TENSORS))
    return path


def rows(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_file_is_estimated_by_its_header_with_all_methods(
    estimate: Estimate, model_file: Path
) -> None:
    code, out, _ = estimate(str(model_file), "--json")
    report = json.loads(out)
    assert code == 0
    assert report["kind"] == "estimated"
    assert report["shape"]["tied_embeddings"] is True
    assert report["training"][0]["parameters"] == PARAMETERS
    assert [made["recipe"]["method"] for made in report["training"]] == [
        "full-mixed",
        "lora",
        "qlora",
        "cpu-llama.cpp",
    ]
    assert report["prompting"]["from_file"] is True


def test_a_shape_is_estimated_without_a_file(estimate: Estimate) -> None:
    code, out, err = estimate("--shape", "Llama-2-7B")
    assert code == 0
    assert out.startswith("llama-2-7b: 6.74 B parameters")
    for method in ("prompting Q4_0", "full-mixed", "lora", "qlora"):
        assert f"\n{method} " in out
    assert "--tokens" in err


def test_the_flags_reach_the_recipe(estimate: Estimate) -> None:
    options = "--method lora,qlora --stack litgpt --seq 256 --batch 2 --accumulation 3 --gpus 4"
    more = "--sharded --recompute --rank 5 --targets q,mlp --quantization nf4-dq"
    _, out, _ = estimate("--shape", "phi-2", *options.split(), *more.split(), "--format", "jsonl")
    lora, qlora = [json.loads(line) for line in out.splitlines()][1:]
    expected = {
        "stack": "litgpt",
        "sequence_tokens": 256,
        "micro_batch": 2,
        "accumulation": 3,
        "gpus": 4,
        "sharded": True,
        "recompute": True,
        "rank": 5,
        "targets": "q mlp",
    }
    assert expected.items() <= lora.items()
    assert expected.items() <= qlora.items()
    assert (lora["quantization"], qlora["quantization"]) == (None, "nf4-dq")


def test_a_method_that_is_named_twice_is_estimated_once(estimate: Estimate) -> None:
    _, out, _ = estimate("--shape", "phi-2", "--method", "full,full-mixed, lora", "-f", "csv")
    assert [row["method"] for row in rows(out)] == ["prompting", "full-mixed", "lora"]


def test_time_and_money_are_for_the_tokens_that_were_said(estimate: Estimate) -> None:
    asked = ("--shape", "phi-2", "--method", "lora", "--gpu", "a100,rtx-4090", "-f", "jsonl")
    _, once, _ = estimate(*asked, "--tokens", "250k")
    _, twice, _ = estimate(*asked, "--tokens", "500_000")
    a100, rtx = [json.loads(line) for line in once.splitlines()][1:]
    double = json.loads(twice.splitlines()[1])
    assert (a100["gpu"], rtx["gpu"]) == ("A100 SXM 80GB", "RTX 4090 24GB")
    assert a100["tokens"] == 250_000
    assert double["seconds_typical"] == pytest.approx(2 * a100["seconds_typical"])
    assert a100["usd_low"] < a100["usd_typical"] < a100["usd_high"]
    assert rtx["usd_typical"] is None


def test_a_gpu_without_tokens_is_timed_for_a_million_and_it_is_said(estimate: Estimate) -> None:
    _, out, err = estimate("--shape", "phi-2", "--gpu", "h100")
    assert "time and money for 1,000,000 tokens on one GPU (estimated" in out
    assert "time and money are for 1M tokens" in err


def test_all_gpus_are_the_known_ones(estimate: Estimate) -> None:
    _, out, _ = estimate("--shape", "phi-2", "--method", "qlora", "--gpu", "all", "-f", "csv")
    gpus = {row["gpu"] for row in rows(out)[1:]}
    assert {"T4 16GB", "L4 24GB", "H200 141GB"} < gpus
    assert len(gpus) == len(rows(out)) - 1


def test_ones_own_prices_choose_the_gpus_and_the_money(estimate: Estimate, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("gpu,provider,usd_per_gpu_hour,read_on,source\nt4,me,3600,2026-01-02,bill\n")
    _, out, _ = estimate(
        "--shape", "phi-2", "--method", "qlora", "--prices", str(table), "-f", "csv"
    )
    only = rows(out)[1]
    assert only["gpu"] == "T4 16GB"
    assert float(only["usd_typical"]) == pytest.approx(float(only["seconds_typical"]))


def test_training_on_the_cpu_is_left_out_of_time_and_money(
    estimate: Estimate, model_file: Path
) -> None:
    code, out, _ = estimate(str(model_file), "--tokens", "1M", "-f", "csv")
    assert code == 0
    assert [row["gpu"] for row in rows(out) if row["method"] == "cpu-llama.cpp"] == [""]


def test_shapes_are_listed(estimate: Estimate) -> None:
    code, out, _ = estimate("--shape", "list")
    assert code == 0
    assert "smollm2-135m" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], ["NAME and --shape", "found:    none", "--shape list"]),
        (["phi-2", "--shape", "phi-2"], ["found:    both"]),
        (["--shape", "llama2"], ["no model shape", "--shape\n", "llama-2-7b", "--shape list"]),
        (["phi-2"], ["no model is called 'phi-2'", "finetune estimate --shape phi-2"]),
        (["smollm2-135m"], ["models pull smollm2-135m", "--shape smollm2-135m"]),
        (["--method", "qlra"], ["--method", "qlora"]),
        (["--stack", "keras"], ["--stack", "trainer, liger, unsloth, torchtune, qwenlm, litgpt"]),
        (["--targets", "q,x"], ["--targets", "embeddings"]),
        (["--quantization", "int3"], ["--quantization", "nf4"]),
        (["--gpu", "b200"], ["--gpu", "H200 141GB", "rtx-4090"]),
        (["--gpu", "a100", "--tokens", "many"], ["--tokens", "1.5M", "many"]),
        (["--tokens", "0"], ["--tokens"]),
        (["--tokens", "9999999999999b"], ["--tokens"]),
        (["--prices", "none.csv"], ["price table", "none.csv", "usd_per_gpu_hour"]),
        (["--method", "cpu-llama.cpp", "--gpus", "2"], ["llama.cpp trains on one CPU", "--gpus"]),
        (["--method", "cpu-llama.cpp", "--gpu", "a100"], ["no effect", "--gpu"]),
        (["--method", "cpu-llama.cpp", "--recompute"], ["no effect", "--recompute"]),
        (["--method", "full", "--rank", "8"], ["no effect", "--rank", "lora"]),
        (["--method", "full", "--targets", "q"], ["no effect", "--targets"]),
        (["--method", "lora", "--quantization", "nf4"], ["no effect", "--quantization"]),
        (["--sharded"], ["no effect", "--sharded", "--gpus"]),
        (["--format", "xml"], ["--format", "jsonl"]),
        (["--seq", "0"], ["--seq"]),
    ],
)
def test_what_is_wrong_is_said_with_its_flag_and_a_way_on(
    estimate: Estimate, arguments: list[str], said: list[str]
) -> None:
    subject = arguments and arguments[0].startswith("--") and "--shape" not in arguments
    code, out, err = estimate(*arguments, *(["--shape", "phi-2"] if subject else []))
    assert code == (3 if arguments == ["smollm2-135m"] else 2)
    assert out == ""
    assert err.startswith("error: ")
    for words in said:
        assert words in err


def test_an_unknown_gpu_in_a_price_table_is_named_with_its_line(
    estimate: Estimate, tmp_path: Path
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("gpu,provider,usd_per_gpu_hour,read_on,source\nabacus,me,1,2026-01-02,x\n")
    code, _, err = estimate("--shape", "phi-2", "--prices", str(table))
    assert code == 2
    assert "mine.csv:2" in err
    assert "'abacus'" in err


def test_a_model_that_is_no_plain_decoder_is_refused(estimate: Estimate, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(tiny_gguf(tensors=TENSORS[:4]))
    code, _, err = estimate(str(other))
    assert code == 2
    assert f"{other}: parameters" in err
    assert "--shape list" in err


def test_a_mixture_of_experts_is_refused_by_its_key(estimate: Estimate, tmp_path: Path) -> None:
    other = tmp_path / "experts.gguf"
    other.write_bytes(tiny_gguf({**METADATA, "llama.expert_count": 8}, TENSORS))
    code, _, err = estimate(str(other))
    assert code == 2
    assert "experts.gguf: llama.expert_count" in err


def test_the_guide_shows_what_is_printed(
    estimate: Estimate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "layout_here", lambda: Layout(repacked=frozenset({"Q4_0"})))
    page = (ROOT / "docs" / "guide" / "finetune-estimate.md").read_text(encoding="utf-8")
    shown = page.split("```\n")[1]
    _, out, _ = estimate("--shape", "llama-2-7b", "--seq", "1024")
    printed = "".join(f"{line.rstrip()}\n" for line in out.splitlines())
    assert printed.startswith(shown)


@pytest.mark.model
@pytest.mark.usefixtures("starter_model")
def test_the_starter_model_is_estimated_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["finetune", "estimate", "smollm2-135m", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["shape"]["name"] == "smollm2-135m"
    assert report["training"][0]["parameters"] == 134_515_008
    assert report["prompting"]["quantization"] == "Q4_1"
