"""Every view that the terminal has, drawn from records made by hand.

``VIEWS`` is what tests go through: a name, and a function that draws it on a console. All texts
that come from outside can be given a tail, so that one test sees each of them at its worst.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from rich.console import Console

from localprompt.evaluate.summarize import summarize
from localprompt.finetune.estimate.estimate import estimate
from localprompt.finetune.estimate.prompting import SideBySide, prompting_of_shape
from localprompt.finetune.estimate.recipe import make_recipe
from localprompt.finetune.estimate.shapes import find_shape
from localprompt.models.cards import ModelCard
from localprompt.models.inspect import ModelInfo, TensorTypeShare
from localprompt.models.layout import Layout, Matrices
from localprompt.models.predict import MemoryPrediction
from localprompt.models.store import ModelEntry
from localprompt.records.bench import BenchResult
from localprompt.records.bundle import BundledModel, BundleFile, Manifest
from localprompt.records.choice import ChoiceResult
from localprompt.records.contrast import ContrastReport
from localprompt.records.evaluation import EvalComparison, EvalResult, Flip, TargetComparison
from localprompt.records.evidence import EvidenceReport
from localprompt.records.model import Licence
from localprompt.records.quality import Perplexity, Quality, TextFacts
from localprompt.records.run import RunWarning
from localprompt.records.training import TrainingRequest
from localprompt.sources.prompt.search import ListedPrompt
from localprompt.stats.paired import compare_passes
from localprompt.store.history import History
from localprompt.views.bench import print_bench, print_plan
from localprompt.views.bench_compare import print_comparison
from localprompt.views.bundle import print_bundle
from localprompt.views.choose import print_choice
from localprompt.views.contrast import print_contrast
from localprompt.views.estimate import print_estimate
from localprompt.views.eval import print_evaluation
from localprompt.views.eval_compare import print_comparison as print_eval_comparison
from localprompt.views.evidence import print_evidence
from localprompt.views.language import Language
from localprompt.views.models import print_model, print_model_list
from localprompt.views.prompts import print_prompt_list, print_received, print_template
from localprompt.views.quality import print_quality
from localprompt.views.runs import print_run, print_run_list
from localprompt.views.training import print_training
from localprompt.views.tune import print_tuning
from tests.choose.samples import choice
from tests.evidence.harness import make_training
from tests.sample_evaluations import make_evaluation, make_result, make_target
from tests.sample_runs import make_run
from tests.sample_tunings import Q8, USUAL, divergence, tuning
from tests.views.bench_records import comparison, comparison_row, sample_bench, samples
from tests.views.test_prompts import TEMPLATE, a_prompt

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
MIB = 1024**2
Draw = Callable[[Console], object]


def with_tail(value: Any, tail: str, hint: Any = str) -> Any:
    """The record with ``tail`` behind each text that may be any text; keys and words of ours stay.

    Args:
        hint: the value's type as its field declares it.
    """
    options = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    if isinstance(value, str):
        return value + tail if str in options or Any in options else value
    if isinstance(value, msgspec.Struct):
        hints = get_type_hints(type(value))
        fields = value.__struct_fields__
        return msgspec.structs.replace(
            value, **{name: with_tail(getattr(value, name), tail, hints[name]) for name in fields}
        )
    inner = next((get_args(one) for one in options if get_args(one)), (Any,))
    if isinstance(value, tuple):
        return tuple(with_tail(one, tail, inner[0]) for one in value)
    if isinstance(value, dict):
        return {key: with_tail(one, tail, inner[-1]) for key, one in value.items()}
    return value


@cache
def views(tail: str = "") -> dict[str, Draw]:
    """Every view by name."""

    def worst(record: Any) -> Any:
        return with_tail(record, tail, type(record)) if tail else record

    bench: BenchResult = worst(sample_bench())
    result, failures = _evaluation()
    result, failures = worst(result), [worst(one) for one in failures]
    run = make_run(model="qwen2.5-coder-0.5b-instruct-q4_k_m", prompt="extract-contact-details")
    warned = msgspec.structs.replace(
        run, warnings=(RunWarning("busy", "the machine is busy", "close other programs"),)
    )
    say, card = Language("en"), _card()
    named = ListedPrompt(f"sum{tail}", "here", worst(TEMPLATE))
    return {
        "bench": lambda c: print_bench(bench, c),
        "bench-plan": lambda c: print_plan(bench.experiment, c),
        "bench-comparison": lambda c: print_comparison(worst(_compared()), c),
        "eval": lambda c: print_evaluation(result, failures, c),
        "eval-comparison": lambda c: print_eval_comparison(worst(_eval_comparison(result)), c),
        "choose": lambda c: print_choice(worst(_choice()), c),
        "estimate": lambda c: print_estimate(_estimate(tail), c),
        "training": lambda c: print_training(worst(_training()), c),
        "tune": lambda c: print_tuning(worst(tuning()), c),
        "evidence": lambda c: print_evidence(_evidence(tail), say, c),
        "contrast": lambda c: print_contrast(_contrast(tail), say, c),
        "quality": lambda c: print_quality(worst(_quality()), c),
        "models-list": lambda c: print_model_list([ModelEntry(worst(card), Path(), "present")], c),
        "models-show": lambda c: print_model(
            worst(_info()), worst(card), "a1" * 32, {2048: _predicted()}, c
        ),
        "prompts-list": lambda c: print_prompt_list([named], c),
        "prompts-template": lambda c: print_template(worst(TEMPLATE), c),
        "prompts-received": lambda c: print_received(worst(a_prompt()), c),
        "prompts-tokens": lambda c: print_received(worst(a_prompt()), c, every_token=True),
        "runs-list": lambda c: print_run_list([worst(run), worst(make_run(1))], c),
        "runs-show": lambda c: print_run(worst(warned), c),
        "bundle": lambda c: print_bundle(worst(_manifest()), True, f"somebody{tail}", c),
    }


def _compared() -> Any:
    rows = [
        comparison_row("ttft_seconds", samples(0.1), samples(0.09), model="m", n_ctx=n)
        for n in ("1024", "4096")
    ]
    decode = comparison_row("decode_tokens_per_second", samples(157), samples(160), model="m")
    return comparison([*rows, decode])


def _evaluation() -> tuple[EvalResult, list[Any]]:
    targets = (
        make_target("plain", choices=("good", "bad")),
        make_target("careful-with-examples", "qwen2.5-coder-0.5b", choices=("good", "bad")),
    )
    found = [
        [
            make_result(n, n % (at + 2) > 0, target=at, answer="good", expected="good")
            for n in range(12)
        ]
        for at in (0, 1)
    ]
    summaries = tuple(summarize(one, rows) for one, rows in zip(targets, found, strict=True))
    failed = [one for rows in found for one in rows if not one.score.passed]
    fixed = msgspec.structs.replace(
        make_evaluation(*targets, cases=12), id="01M82JX2HESX5MKTF1BFH3V4R7"
    )
    return EvalResult(fixed, summaries, ()), failed


def _eval_comparison(result: EvalResult) -> EvalComparison:
    a, b = result.evaluation.targets
    passes = compare_passes([False] * 6 + [True] * 6, [True] * 10 + [False] * 2)
    flip = Flip(
        "case-1", True, {"text": "a review of some length, about a film"}, "bad", "good", "no", "ok"
    )
    pair = TargetComparison(
        a, b, 12, 0, 0, 0, passes, None, {}, {"pass": passes.p_value}, 40, (flip,)
    )
    return EvalComparison(result.evaluation, result.evaluation, (pair,), (), ("other",), 1)


@cache
def _choice() -> ChoiceResult:
    half = [n % 2 == 0 for n in range(40)]
    with TemporaryDirectory() as folder, History(Path(folder) / "history.db") as store:
        return choice(store, [half, [True] * 40, [False] * 40], energy_joules=144.0)


def _estimate(tail: str) -> SideBySide:
    shape = find_shape("llama-2-7b")
    training = tuple(
        estimate(shape, make_recipe(method), tokens=None, gpus=(), prices=None)
        for method in ("full", "lora", "qlora")
    )
    prompting = prompting_of_shape(shape, n_ctx=512, layout=Layout())
    # Whether weights are repacked depends on the CPU.
    prompting = msgspec.structs.replace(
        prompting,
        memory=msgspec.structs.replace(prompting.memory, repacked_bytes=0),
        peak_bytes=prompting.peak_bytes * 1.0,
    )
    shape = msgspec.structs.replace(shape, name=shape.name + tail)
    return SideBySide(kind="estimated", shape=shape, prompting=prompting, training=training)


def _training() -> Any:
    request = TrainingRequest("some-model", "rows.csv", "sentiment-plain", "tuned")
    return make_training(request, Q8, USUAL)


@cache
def _evidence(tail: str) -> EvidenceReport:
    text = (RESULTS / "2026-11-23-evidence.json").read_bytes()
    report = msgspec.json.decode(text, type=EvidenceReport)
    prevented = tuple(
        msgspec.structs.replace(one, prevented=f"no model{tail}", figures=())
        for one in report.findings[:1]
    )
    return msgspec.structs.replace(report, findings=prevented + report.findings[1:])


@cache
def _contrast(tail: str) -> ContrastReport:
    text = (RESULTS / "2026-11-23-contrast.json").read_bytes()
    report = msgspec.json.decode(text, type=ContrastReport)
    ways = tuple(msgspec.structs.replace(way, name=way.name + tail) for way in report.ways)
    return msgspec.structs.replace(report, ways=ways, prevented=f"no memory{tail}")


def _quality() -> Quality:
    run = make_run()
    return Quality(
        id=run.id,
        kind="quality",
        created_at=run.created_at,
        localprompt_version="0.1.0",
        title="quality",
        model=Q8,
        parent=USUAL,
        text=TextFacts("a-text.txt", "f0" * 32, 4, 512),
        settings=run.settings,
        perplexity=Perplexity(18.42, 0.5, 2040),
        parent_perplexity=Perplexity(18.3, 0.5, 2040),
        divergence=divergence(1.0064),
        seconds=12.0,
        machine=run.machine,
    )


def _card() -> ModelCard:
    return ModelCard(
        name="qwen2.5-coder-0.5b-instruct-q4_k_m",
        file="m.gguf",
        sha256="a1" * 32,
        size_bytes=491 * MIB,
        licence=Licence("Apache-2.0", "https://example.org/licence"),
        description="Qwen2.5-Coder with half a billion parameters, for code and for short texts",
    )


def _info() -> ModelInfo:
    share = TensorTypeShare("Q4_K", 120, 490_000_000, 300 * MIB)
    return ModelInfo(
        path="/models/m.gguf", size_bytes=491 * MIB, weights_bytes=480 * MIB, architecture="qwen2",
        name="Qwen", licence="apache-2.0", parameters=494_032_768, file_type="Q4_K_M",
        tensor_types=(share,), n_layer=24, n_embd=896, n_ff=4864, n_head=14, n_head_kv=(2,),
        key_length=64, value_length=64, n_expert=0, n_expert_used=0, n_vocab=151_936,
        n_merges=151_387, n_ctx_train=32_768, n_swa=0, sliding_layers=(), rope_freq_base=1e6,
        rope_dimensions=64, rope_scaling=None, bos_token_id=None, eos_token_id=151_645,
        chat_template="{% for message in messages %}{{ message.content }}{% endfor %}",
        tied_embeddings=True, repackable=(Matrices("Q4_K", 490_000_000, 300 * MIB),),
    )  # fmt: skip


def _predicted() -> MemoryPrediction:
    return MemoryPrediction(
        baseline_bytes=60 * MIB,
        file_bytes=480 * MIB,
        weights_bytes=480 * MIB,
        repacked_bytes=0,
        twice_bytes=0,
        kv_cache_bytes=24 * MIB,
        compute_bytes=300 * MIB,
        other_bytes=12 * MIB,
    )


def _manifest() -> Manifest:
    return Manifest(
        localprompt="0.1.0",
        models=(BundledModel("smollm2-135m", Licence("Apache-2.0")),),
        files=(BundleFile("home/prompts/sum.prompty", 120, "a1" * 32),),
    )
