"""``localprompt bench`` and ``compare``, from arguments to exit codes, on the starter model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localprompt.records.bench import Step
from localprompt.store.history import History
from tests.cli.conftest import Localprompt
from tests.sample_runs import in_bench, make_experiment, make_run

pytestmark = pytest.mark.model

SMALL = ("bench", "--prefill", "8", "--threads", "1", "-m", "smollm2-135m")


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits are not what these tests are about, and probing takes seconds."""
    from localprompt.bench import planning

    monkeypatch.setattr(planning, "work_and_ceilings", lambda *_: (None, None))


def stored_runs() -> int:
    with History(read_only=True) as history:
        return len(history.runs_of(history.bench("last").id))


def test_a_bench_prints_its_plan_to_stderr_and_its_figures_to_stdout(
    localprompt: Localprompt,
) -> None:
    ran = localprompt(*SMALL, "--decode", "2", "-r", "1", "--format", "json")
    assert ran.code == 0
    result: dict[str, Any] = json.loads(ran.out)
    assert [cell["cell"]["workload"] for cell in result["cells"]] == ["pp8", "tg2"]
    rate = result["cells"][0]["metrics"]["prefill_tokens_per_second"]
    assert rate["n"] == 1
    assert rate["median"] > 0
    assert result["complete"] is True
    assert "2 cells × 1 repetition" in ran.err
    assert stored_runs() == 4


def test_a_table_goes_to_a_file_where_one_is_named(localprompt: Localprompt, work: Path) -> None:
    ran = localprompt(*SMALL, "-r", "1", "-q", "--format", "md", "-o", "results.md")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert "pp8" in (work / "results.md").read_text()


def test_the_plan_alone_runs_and_stores_nothing(localprompt: Localprompt) -> None:
    ran = localprompt(*SMALL, "--n-ctx", "256,512", "--plan-only")
    assert ran.code == 0
    assert "2 cells" in ran.out
    with History(read_only=True) as history:
        assert history.benches() == []


def test_refused_cells_are_listed_and_a_plan_of_nothing_else_is_an_error(
    localprompt: Localprompt,
) -> None:
    ran = localprompt(*SMALL, "--n-ctx", "4", "-y")
    assert ran.code == 2
    assert "does not fit into the context" in ran.err
    assert "no cell of this plan can run" in ran.err


def test_ctrl_c_keeps_what_is_finished_and_resume_runs_the_rest(
    localprompt: Localprompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    from localprompt.bench import runner

    whole = runner.run_bench

    def interrupted(*arguments: Any, **options: Any) -> None:
        def stop(step: Step) -> None:
            if step.done == 2:
                raise KeyboardInterrupt

        whole(*arguments, **{**options, "on_step": stop})

    monkeypatch.setattr(runner, "run_bench", interrupted)
    ran = localprompt(*SMALL, "-r", "3")
    assert ran.code == 130
    assert "bench --resume" in ran.err
    assert stored_runs() == 2
    monkeypatch.setattr(runner, "run_bench", whole)
    ran = localprompt("bench", "--resume", "last", "--format", "json")
    assert ran.code == 0
    assert stored_runs() == 4
    assert json.loads(ran.out)["cells"][0]["metrics"]["prefill_tokens_per_second"]["n"] == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bench",), "nothing to bench"),
        (("bench", "--prefill", "8-1"), "this range never ends"),
        (("bench", "--prefill", "8", "--type-k", "q9"), "expected: f32, f16"),
        (("bench", "--prefill", "8", "--format", "xml"), "expected: table, md"),
        (("bench", "--resume", "last"), "no bench is recorded yet"),
        (("bench", "suite.yaml"), "n_threads"),
        (("compare", "last", "last"), "no run, evaluation or bench is recorded yet"),
        (("compare", "a", "b"), "no run, evaluation or bench is called 'a'"),
        (("compare", "a", "b", "--fail-if", "speed"), "not a condition"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    localprompt: Localprompt, work: Path, arguments: tuple[str, ...], says: str
) -> None:
    (work / "suite.yaml").write_text("settings: {n_thread: 1}")
    ran = localprompt(*arguments)
    assert ran.code == 2
    assert says in ran.err.replace("\n", " ")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("condition", "code"), [("total_seconds > 5%", 1), ("total_seconds > 500%", 0)]
)
def test_compare_fails_a_build_only_where_a_condition_is_confirmed(
    localprompt: Localprompt, condition: str, code: int
) -> None:
    import msgspec

    from localprompt.store.history import History

    with History() as history:
        for number, factor in enumerate((1.0, 2.0)):
            history.begin(make_experiment(number, fixed=6))
            for repetition in range(6):
                run = make_run(10 * number + repetition)
                timing = msgspec.structs.replace(
                    run.timing, total_seconds=factor + repetition / 100
                )
                run = msgspec.structs.replace(run, timing=timing)
                history.record(in_bench(run, experiment=number, repetition=repetition))
    ran = localprompt("compare", "last~1", "last", "--fail-if", condition)
    assert ran.code == code
    assert "higher (worse)" in ran.out
    assert ("conditions are met" in ran.err) is (code == 1)
