"""Plans from real files: a prompt, a tiny model without weights worth the name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from localprompt.bench import limits, planning
from localprompt.bench.planning import check_resumable, plan_bench
from localprompt.bench.spec import BenchSpec, PromptAsk
from localprompt.errors import HistoryError, InputError, LocalPromptError, ModelMissingError
from localprompt.measure import memory
from localprompt.measure import probe as probing
from localprompt.measure.probe import ArithmeticSample, BandwidthSample, ProbeResult
from localprompt.records.bench import Experiment
from localprompt.records.cell import BenchRequest, SamplingChoices
from localprompt.records.run import Machine, RequestedSettings, RunRecord
from tests.models.tiny_gguf import tiny_gguf
from tests.sample_runs import make_run

PROMPT = """---
name: echo
inputs:
  text:
    kind: string
    required: true
---
user:
{{ text }}
"""


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's limits, without measuring them."""

    def probe(facts: Machine) -> ProbeResult:
        samples = (ArithmeticSample("F32", "test", 2, 1e11),)
        return ProbeResult(facts.id, "now", 1, (BandwidthSample(2, 2e10),), samples)

    def measure(machine: Machine, weight_type: str, build: str) -> ArithmeticSample:
        return ArithmeticSample(weight_type, build, 2, 1e11)

    monkeypatch.setattr(probing, "probe", probe)
    monkeypatch.setattr(probing, "save", lambda _: True)
    monkeypatch.setattr(limits, "_measure", measure)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "echo.prompty").write_text(PROMPT)
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf())
    return str(path)


def echo(text: str = "hello") -> tuple[PromptAsk, ...]:
    return (PromptAsk("./echo.prompty", (f"text={text}",)),)


def plan(spec: BenchSpec, *, tokens: int = 10, runs: Iterable[RunRecord] = ()) -> Experiment:
    return plan_bench(
        spec,
        "a test",
        build="test",
        count_tokens=lambda _: tokens,
        earlier_runs=lambda _sha256, _machine: runs,
    )


def test_a_planned_cell_can_be_executed_without_looking_anything_up(model: str) -> None:
    experiment = plan(BenchSpec(models=(model,), prompts=echo(), axes={"n_threads": (1,)}))
    (cell,) = experiment.cells
    request = msgspec.convert(cell.request, BenchRequest)
    assert request.cell.kind == "bench"
    assert request.cell.params == {"text": "hello"}
    assert request.cell.template.body.startswith("user:")
    assert request.cell.settings.n_threads == request.cell.settings.n_threads_batch == 1
    content = Path(model).read_bytes()
    assert request.cell.model.sha256 == hashlib.sha256(content).hexdigest()
    assert request.size_bytes == len(content)
    assert cell.workload == "echo"
    assert experiment.machine is not None
    assert experiment.refused == ()


def test_files_are_called_by_their_own_names_and_not_by_their_paths(model: str) -> None:
    spec = BenchSpec(models=(model, model + "2"), prompts=echo(), prefill=(4,))
    Path(model + "2").write_bytes(tiny_gguf())
    labels = [cell.labels for cell in plan(spec).cells]
    assert labels[0] == {"model": "tiny", "workload": "echo"}
    # The same bytes under another name are the same work, planned once.
    assert len(labels) == 2


def test_each_way_of_laying_out_the_weights_has_a_limit_of_its_own(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a token moves depends on whether weights are repacked."""
    asked: list[bool] = []

    def known(path: Path, settings: RequestedSettings, *_: object) -> tuple[None, None]:
        asked.append(settings.repack)
        return None, None

    monkeypatch.setattr(planning, "work_and_ceilings", known)
    plan(BenchSpec(models=(model,), prefill=(4, 8), axes={"repack": (True, False)}))
    assert sorted(asked) == [False, True]


def test_the_same_plan_has_the_same_keys_every_time(model: str) -> None:
    spec = BenchSpec(models=(model,), prompts=echo(), axes={"n_ctx": (64, 128)})
    one, two = plan(spec), plan(spec)
    assert [cell.key for cell in one.cells] == [cell.key for cell in two.cells]
    assert one.id != two.id


@pytest.mark.parametrize(
    ("spec", "tokens", "reason"),
    [
        ({"prompts": echo(), "axes": {"n_ctx": (16,)}}, 40, "does not fit into the context"),
        ({"prefill": (100,), "axes": {"n_ctx": (16,)}}, 0, "does not fit into the context"),
        (
            {"prompts": echo(), "axes": {"type_v": ("q8_0",), "flash_attn": (False,)}},
            4,
            "needs flash attention",
        ),
    ],
)
def test_a_cell_that_cannot_run_is_refused_with_its_reason_and_the_others_are_planned(
    model: str, spec: dict[str, object], tokens: int, reason: str
) -> None:
    experiment = plan(BenchSpec(models=(model,), decode=(2,), **spec), tokens=tokens)  # type: ignore[arg-type]
    assert [reason in refused.reason for refused in experiment.refused][:1] == [True]
    assert all(refused.labels for refused in experiment.refused)


def test_a_cell_that_would_not_fit_into_memory_is_refused(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = memory.AvailableMemory(1000, None, 1000, None, None)
    monkeypatch.setattr(memory, "available", lambda: little)
    experiment = plan(BenchSpec(models=(model,), prompts=echo()))
    assert experiment.cells == ()
    assert "would not fit into free memory" in experiment.refused[0].reason


def test_a_model_that_is_not_here_stops_the_plan(model: str) -> None:
    with pytest.raises(ModelMissingError):
        plan(BenchSpec(models=("./other.gguf",), prompts=echo()))


def test_a_missing_parameter_stops_the_plan_before_anything_runs(model: str) -> None:
    with pytest.raises(LocalPromptError, match="text"):
        plan(BenchSpec(models=(model,), prompts=(PromptAsk("./echo.prompty"),)))


def test_what_ran_here_before_is_what_estimates_rest_on(model: str) -> None:
    spec = BenchSpec(models=(model,), prompts=echo(), sampling=SamplingChoices(max_tokens=30))
    (cell,) = plan(spec, tokens=100, runs=[make_run()]).cells
    # 100 tokens at 500 tok/s, 30 at 150 tok/s.
    assert cell.estimated_seconds == pytest.approx(0.2 + 0.2)
    (unknown,) = plan(spec, tokens=100).cells
    assert unknown.estimated_seconds is not None  # a share of the machine's limits
    assert unknown.estimated_seconds != cell.estimated_seconds


def test_the_limits_of_machine_and_model_are_stored_with_the_plan(model: str) -> None:
    (cell,) = plan(BenchSpec(models=(model,), prefill=(4,))).cells
    assert cell.ceilings is not None
    assert (cell.ceilings.bytes_per_second, cell.ceilings.operations_per_second) == (2e10, 1e11)
    assert cell.work is not None
    assert cell.work.weight_bytes > 0


def test_a_bench_of_another_machine_cannot_be_resumed_here(model: str) -> None:
    experiment = plan(BenchSpec(models=(model,), prefill=(4,)))
    check_resumable(experiment)
    assert experiment.machine is not None
    elsewhere = msgspec.structs.replace(experiment.machine, id="elsewhere")
    with pytest.raises(InputError, match="another machine"):
        check_resumable(msgspec.structs.replace(experiment, machine=elsewhere))
    spoiled = msgspec.structs.replace(experiment.cells[0], request={"cell": {"kind": 7}})
    with pytest.raises(HistoryError, match="damaged in the history"):
        check_resumable(msgspec.structs.replace(experiment, cells=(spoiled,)))


def test_the_model_that_is_taken_where_none_is_named_is_the_default_one(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "DEFAULT_MODEL", model)
    assert len(plan(BenchSpec(models=(), prefill=(4,))).cells) == 1
