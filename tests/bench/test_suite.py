from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localprompt.bench.spec import BenchSpec, PromptAsk, cell_asks
from localprompt.bench.suite import read_bench_suite
from localprompt.cli.bench import BenchFlags, spec_from_flags
from localprompt.errors import DatasetError, InputError
from localprompt.gguf.tensor_types import KV_TYPES
from localprompt.records.bench import Repetitions

WHOLE = """
description: A suite that says everything
models: [smollm2-135m, gemma3-270m]
prompts:
  - summarize
  - prompt: classify
    params: {text: "@review.txt", count: 3, tags: [a, b], at: "@@home"}
synthetic: {prefill: 128-512*2, decode: 64}
settings: {n_threads: 1-2, n_ctx: [1024, 2048-4096*2], type_k: [f16, q8_0], flash_attn: [on, false]}
sampling: {max_tokens: 64, temperature: 0, stop: ["###"]}
repetitions: {least: 3, most: 9, target: 0.05}
"""


def suite(folder: Path, text: str) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text)
    return path


def test_a_suite_says_everything_that_flags_can_say(tmp_path: Path) -> None:
    spec = read_bench_suite(suite(tmp_path, WHOLE))
    assert spec.models == ("smollm2-135m", "gemma3-270m")
    assert spec.prompts[0] == PromptAsk("summarize")
    assert spec.prompts[1] == PromptAsk(
        "classify", (f"text=@{tmp_path}/review.txt", "count=3", 'tags=["a", "b"]', "at=@@home")
    )
    assert (spec.prefill, spec.decode) == ((128, 256, 512), (64,))
    assert spec.axes == {
        "n_ctx": (1024, 2048, 4096),
        "n_threads": (1, 2),
        "type_k": ("f16", "q8_0"),
        "flash_attn": (True, False),
    }
    assert (spec.sampling.max_tokens, spec.sampling.stop) == (64, ("###",))
    assert spec.repetitions == Repetitions(fixed=None, least=3, most=9, target=0.05)


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("model: [a]", "suite.yaml:1 (model)", "models"),
        ("settings: {n_thread: 1}", "(settings.n_thread)", "n_threads"),
        ("settings:\n  n_ctx: many", "suite.yaml:2 (settings.n_ctx)", "128-1024*2"),
        ("settings: {type_k: q9}", "(settings.type_k)", "q8_0"),
        ("prompts: [{name: p}]", "(prompts[0].name)", "prompt"),
        ("prompts: [{prompt: p, params: 3}]", "(prompts[0].params)", "names and values"),
        ("synthetic: {prefill: -1}", "(synthetic.prefill)", "numbers and ranges"),
        ("synthetic: 5", "(synthetic)", "keys and values"),
        ("models: [1]", "(models[0])", "a name"),
        ("sampling: {max_tokens: lots}", "(sampling.max_tokens)", "a number"),
        ("repetitions: 0", "(repetitions)", "1 or more"),
        ("repetitions: {least: 5, most: 3}", "(repetitions)", "least <= most"),
        ("repetitions: {target: 2}", "(repetitions.target)", "0.02"),
        ("- a\n- b", "suite.yaml", "keys and values"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_key(
    tmp_path: Path, text: str, where: str, says: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        read_bench_suite(suite(tmp_path, text))
    assert where in str(caught.value)
    assert says in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = "model: a\nsettings: {n_thread: 1, n_ctx: x}\nrepetitions: no"
    with pytest.raises(DatasetError) as caught:
        read_bench_suite(suite(tmp_path, text))
    for key in ("(model)", "(settings.n_thread)", "(settings.n_ctx)", "(repetitions)"):
        assert key in str(caught.value)


def test_an_empty_suite_is_an_empty_plan(tmp_path: Path) -> None:
    spec = read_bench_suite(suite(tmp_path, ""))
    assert spec == BenchSpec(models=())
    with pytest.raises(InputError, match="nothing to bench"):
        cell_asks(BenchSpec(models=("a",)))


NUMBERS = st.lists(st.integers(1, 4096), min_size=1, max_size=3, unique=True)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "n_ctx": NUMBERS,
        "n_threads": NUMBERS,
        "n_batch": NUMBERS,
        "type_k": st.lists(st.sampled_from(KV_TYPES), min_size=1, max_size=2, unique=True),
        "use_mmap": st.lists(st.booleans(), min_size=1, max_size=2, unique=True),
        "repack": st.lists(st.booleans(), min_size=1, max_size=2, unique=True),
    },
)
NAMES = st.lists(st.sampled_from(["a", "b-1", "c.gguf"]), min_size=1, max_size=3, unique=True)
BENCHES = st.fixed_dictionaries(
    {"models": NAMES},
    optional={
        "prompts": NAMES,
        "synthetic": st.fixed_dictionaries({"prefill": NUMBERS, "decode": NUMBERS}),
        "settings": SETTINGS,
        "sampling": st.fixed_dictionaries({"max_tokens": st.integers(1, 99)}),
        "repetitions": st.integers(1, 9),
        "prefix_store": st.booleans(),
    },
)


def typed(values: list[Any]) -> str:
    words = {True: "on", False: "off"}
    return ",".join(words[v] if isinstance(v, bool) else str(v) for v in values)


def flags_of(bench: dict[str, Any]) -> tuple[list[str], BenchFlags]:
    more: dict[str, Any] = dict(bench.get("sampling", {}))
    for part in ("settings", "synthetic"):
        more |= {name: typed(values) for name, values in bench.get(part, {}).items()}
    for name in ("repetitions", "prefix_store"):
        if name in bench:
            more[name] = bench[name]
    return bench.get("prompts", []), BenchFlags(model=bench["models"], **more)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(BENCHES)
def test_a_suite_and_the_flags_that_equal_it_give_the_same_plan(
    tmp_path: Path, bench: dict[str, Any]
) -> None:
    path = suite(tmp_path, yaml.safe_dump(bench))
    from_suite = spec_from_flags([str(path)], BenchFlags())
    from_flags = spec_from_flags(*flags_of(bench))
    assert from_suite == from_flags
    if from_suite.prompts or from_suite.prefill:
        assert _asks_or_refusal(from_suite) == _asks_or_refusal(from_flags)


def _asks_or_refusal(spec: Any) -> Any:
    """The cells, or what is said of a plan that is too large."""
    try:
        return cell_asks(spec)
    except InputError as error:
        return str(error)


def test_flags_beside_a_suite_replace_what_it_says(tmp_path: Path) -> None:
    path = suite(tmp_path, "models: [a]\nsettings: {n_ctx: 512, n_threads: 1}\nrepetitions: 3")
    flags = BenchFlags(n_threads="2,4", repetitions=7)
    spec = spec_from_flags([str(path)], flags)
    assert spec.axes == {"n_ctx": (512,), "n_threads": (2, 4)}
    assert spec.repetitions.fixed == 7


@pytest.mark.parametrize(
    ("what", "flags"),
    [(["suite.yaml", "summarize"], BenchFlags()), (["suite.yaml"], BenchFlags(param=["a=b"]))],
)
def test_a_suite_beside_prompts_or_parameters_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: list[str], flags: BenchFlags
) -> None:
    suite(tmp_path, "models: [a]")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        spec_from_flags(what, flags)
