"""Benches with real worker processes and scripted models."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from localprompt.bench import neighbours
from localprompt.bench.remaining import missing
from localprompt.bench.runner import run_bench
from localprompt.errors import HistoryError
from localprompt.records.bench import CellFailure, Experiment, Repetitions, Step
from localprompt.records.run import RunRecord, Samples
from localprompt.store.history import History
from tests.bench.benches import experiment, model_file, request
from tests.bench.scripted_worker import COMMAND

pytestmark = pytest.mark.slow


class Kept:
    """A history in memory."""

    def __init__(self) -> None:
        self.runs: list[RunRecord] = []
        self.samples: list[Samples | None] = []
        self.failures: list[CellFailure] = []

    def record(self, run: RunRecord, samples: Samples | None = None) -> None:
        self.runs.append(run)
        self.samples.append(samples)

    def fail(self, failure: CellFailure) -> None:
        self.failures.append(failure)

    def places(self, cell: int, bench: Experiment) -> list[tuple[str, int]]:
        key = bench.cells[cell].key
        return [
            (run.bench.phase, run.bench.repetition)
            for run in self.runs
            if run.bench and run.bench.cell == key
        ]


def run(bench: Experiment, kept: Kept | None = None, **more: object) -> Kept:
    kept = kept or Kept()
    run_bench(bench, kept, command=COMMAND, **more)  # type: ignore[arg-type]
    return kept


WHOLE = [("memory", 0), ("timing", 0), ("timing", 1)]


def test_each_cell_has_one_memory_pass_and_its_repetitions(tmp_path: Path) -> None:
    model = model_file(tmp_path)
    bench = experiment([request(model, "one"), request(model, "two", prefill=8, decode=4)])
    kept = run(bench)
    assert kept.places(0, bench) == WHOLE
    assert kept.places(1, bench) == WHOLE
    assert {record.kind for record in kept.runs} == {"bench"}
    assert kept.failures == []
    assert not missing(bench, kept.runs)


def test_synthetic_work_counts_all_its_tokens_in_the_rates(tmp_path: Path) -> None:
    kept = run(experiment([request(model_file(tmp_path), prefill=64, decode=0)], 1))
    record = kept.runs[-1]
    assert record.tokens.prompt == 64
    assert record.tokens.completion == 0
    assert record.timing.prefill_seconds is not None
    assert record.timing.prefill_tokens_per_second == pytest.approx(
        64 / record.timing.prefill_seconds
    )
    assert record.timing.ttft_seconds is None
    assert record.timing.decode_tokens_per_second is None
    assert record.prompt.name == "test"


def test_every_cell_and_pass_has_a_process_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    model = model_file(tmp_path)
    run(experiment([request(model, f"log {log} a"), request(model, f"log {log} b")]))
    lines = Counter(tuple(line.split()) for line in log.read_text().splitlines())
    # Per cell: one process with one run (memory), one with a warm-up and two repetitions.
    assert sorted(lines.values()) == [1, 1, 3, 3]
    assert len({pid for pid, _ in lines}) == 4
    assert str(os.getpid()) not in {pid for pid, _ in lines}


def test_repetitions_of_cells_are_interleaved_round_by_round(tmp_path: Path) -> None:
    model = model_file(tmp_path)
    bench = experiment([request(model, f"cell {name}") for name in "abc"], 6)
    timed = [r.bench for r in run(bench).runs if r.bench and r.bench.phase == "timing"]
    assert len(timed) == 18
    rounds = [timed[at : at + 3] for at in range(0, 18, 3)]
    assert all({p.repetition for p in one} == {number} for number, one in enumerate(rounds))
    assert all(len({p.cell for p in one}) == 3 for one in rounds)
    assert len({tuple(p.cell for p in one) for one in rounds}) > 1  # not always the same order


def test_a_load_is_counted_once_for_each_worker(tmp_path: Path) -> None:
    bench = experiment([request(model_file(tmp_path))], 3)
    loads = [record.timing.load_seconds is not None for record in run(bench).runs]
    assert loads == [True, True, False, False]


def test_repetitions_go_on_to_the_most_where_the_target_is_out_of_reach(
    tmp_path: Path,
) -> None:
    rule = Repetitions(fixed=None, least=2, most=8, target=1e-9)
    bench = experiment([request(model_file(tmp_path))], rule)
    assert len(run(bench).places(0, bench)) == 1 + 8


def test_repetitions_end_as_soon_as_the_median_is_known_well_enough(tmp_path: Path) -> None:
    rule = Repetitions(fixed=None, least=2, most=30, target=1e9)
    bench = experiment([request(model_file(tmp_path))], rule)
    # Six are the fewest that have an interval at all.
    assert len(run(bench).places(0, bench)) == 1 + 6


@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT"])
def test_a_worker_that_dies_is_a_failure_with_its_cause_and_the_rest_goes_on(
    tmp_path: Path, name: str
) -> None:
    model = model_file(tmp_path)
    bench = experiment([request(model, f"die {name}"), request(model, "live")])
    kept = run(bench)
    assert kept.places(0, bench) == []
    assert kept.places(1, bench) == WHOLE
    causes = {failure.cause for failure in kept.failures}
    number = signal.Signals[name].value
    assert len(causes) == 1
    assert f"killed by signal {number} ({name})" in (cause := causes.pop())
    assert cause.endswith("the last word")


def test_what_llama_cpp_refuses_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    bench = experiment([request(model_file(tmp_path), "refuse this")])
    kept = run(bench)
    assert kept.runs == []
    assert kept.failures[0].cause.startswith("llama.cpp could not evaluate a batch")
    assert kept.failures[0].cell == bench.cells[0].key


class Meddling(Kept):
    """Does something to the model after so many repetitions were stored."""

    def __init__(self, after: int, model: Path, content: bytes | None) -> None:
        super().__init__()
        self._after, self._model, self._content = after, model, content

    def record(self, run: RunRecord, samples: Samples | None = None) -> None:
        super().record(run, samples)
        if len(self.runs) == self._after:
            if self._content is None:
                self._model.unlink()
            else:
                self._model.write_bytes(self._content)


@pytest.mark.parametrize(
    ("content", "cause", "after"),
    [(None, "file is gone", 3), (b"others", "was replaced during the bench", 1)],
)
def test_a_model_that_changes_half_way_fails_its_cell_and_keeps_what_was_measured(
    tmp_path: Path, content: bytes | None, cause: str, after: int
) -> None:
    (tmp_path / "other").mkdir()
    model, other = model_file(tmp_path), model_file(tmp_path / "other")
    bench = experiment([request(model, "a"), request(other, "b")], 3)
    kept = run(bench, Meddling(after, model, content))
    assert len(kept.places(1, bench)) == 4
    assert len(kept.places(0, bench)) < 4
    assert [cause in failure.cause for failure in kept.failures] == [True]
    assert missing(bench, kept.runs)


def test_a_model_that_was_only_touched_is_still_the_same(tmp_path: Path) -> None:
    model = model_file(tmp_path)
    bench = experiment([request(model)])
    os.utime(model, ns=(1, 1))
    assert run(bench).places(0, bench) == WHOLE


class Full(Kept):
    """A disk that is full after so many repetitions."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def record(self, run: RunRecord, samples: Samples | None = None) -> None:
        if len(self.runs) == self._room:
            raise HistoryError("the disk is full", where="history.db")
        super().record(run, samples)


def test_a_full_disk_stops_the_bench_and_says_what_is_kept(tmp_path: Path) -> None:
    bench = experiment([request(model_file(tmp_path))], 5)
    with pytest.raises(HistoryError) as caught:
        run(bench, kept := Full(3))
    assert "the disk is full; 3 repetitions are stored" in caught.value.message
    assert f"bench --resume {bench.id}" in str(caught.value.next_step)
    assert len(kept.runs) == 3


@pytest.mark.parametrize("stored", [1, 4])
def test_resuming_runs_only_what_is_missing(tmp_path: Path, stored: int) -> None:
    model = model_file(tmp_path)
    bench = experiment([request(model, "a"), request(model, "b")])
    first = run(bench).runs[:stored]
    kept = run(bench, runs=first)
    both = Counter((r.bench.cell, r.bench.phase, r.bench.repetition) for r in [*first, *kept.runs]
                   if r.bench)  # fmt: skip
    assert set(both.values()) == {1}
    assert len(both) == 6


def test_a_bench_that_is_complete_starts_nothing(tmp_path: Path) -> None:
    bench = experiment([request(model_file(tmp_path))])
    done = run(bench).runs
    steps: list[Step] = []
    assert run(bench, runs=done, on_step=steps.append).runs == []
    assert steps == []


KILLED = """
import sys
from pathlib import Path
import msgspec
from localprompt.bench.runner import run_bench
from localprompt.records.bench import Experiment
from localprompt.store.history import History

bench = msgspec.json.decode(sys.stdin.buffer.read(), type=Experiment)
with History() as history:
    history.begin(bench)
    def tell(step):
        print(step.what, flush=True)
    run_bench(bench, history, command={command!r}, on_step=tell)
"""


def _start(bench: Experiment) -> subprocess.Popen[bytes]:
    code = KILLED.format(command=COMMAND)
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdin is not None
    child.stdin.write(msgspec.json.encode(bench))
    child.stdin.close()
    return child


def _stored(bench: Experiment) -> Sequence[RunRecord]:
    with History(read_only=True) as history:
        return [run for run, _ in history.runs_of(bench.id)]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_after_a_kill_or_ctrl_c_nothing_that_ended_is_lost_and_the_rest_can_be_resumed(
    tmp_path: Path, how: signal.Signals
) -> None:
    model = model_file(tmp_path)
    bench = experiment([request(model, "a"), request(model, "hang")], 3)
    with _start(bench) as child:
        assert child.stdout is not None
        # The second cell's memory pass never ends: what comes before it is stored.
        while child.stdout.readline() != b"memory\n":
            pass
        while child.stdout.readline() != b"memory\n":
            pass
        child.send_signal(how)
        child.wait(timeout=30)
    stored = _stored(bench)
    assert [r.bench.phase for r in stored if r.bench] == ["memory"]
    # The cell that hung is answered now: the same key, a request that can be executed.
    sane = msgspec.to_builtins(request(model, "a"))
    again = msgspec.structs.replace(bench.cells[1], request=sane)
    bench = msgspec.structs.replace(bench, cells=(bench.cells[0], again))
    with History() as history:
        run_bench(bench, history, runs=stored, command=COMMAND)
    everything = _stored(bench)
    assert len(everything) == 8
    assert everything[0] == stored[0]
    assert not missing(bench, everything)


def test_two_benches_at_once_are_told_of_each_other(tmp_path: Path) -> None:
    model = model_file(tmp_path)
    other = experiment([request(model, "hang")])
    bench = experiment([request(model)], 1)
    with _start(other) as child:
        assert child.stdout is not None
        child.stdout.readline()
        mine = run(bench).runs
        child.kill()
    assert mine
    assert all("another_bench" in {w.code for w in record.warnings} for record in mine)
    assert str(child.pid) in next(w.message for w in mine[0].warnings if w.code == "another_bench")
    # Killed: the lock went with the process, its file is cleared away by whoever looks.
    assert neighbours.running_now() == ()


def test_one_bench_alone_has_no_neighbours(tmp_path: Path, home: Path) -> None:
    bench = experiment([request(model_file(tmp_path))], 1)
    codes = {w.code for record in run(bench).runs for w in record.warnings}
    assert "another_bench" not in codes
    assert list((home / "running").iterdir()) == []


def test_a_machine_that_slept_between_repetitions_leaves_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from localprompt.bench import runner
    from localprompt.measure import conditions

    slept = iter(range(0, 10_000, 60))

    def read() -> conditions.Conditions:
        return msgspec.structs.replace(conditions.read(), slept_seconds=float(next(slept)))

    monkeypatch.setattr(runner, "read_conditions", read)
    kept = run(experiment([request(model_file(tmp_path))], 1))
    assert kept.runs
    assert all("clock_gap" in {w.code for w in record.warnings} for record in kept.runs)


def test_cells_that_do_not_fit_side_by_side_are_taken_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from localprompt.bench import runner

    monkeypatch.setattr(runner, "SHARE_OF_FREE_MEMORY", 0.0)
    model = model_file(tmp_path)
    bench = experiment([request(model, "a"), request(model, "b")], 3)
    timed = [r.bench.cell for r in run(bench).runs if r.bench and r.bench.phase == "timing"]
    assert timed == [bench.cells[0].key] * 3 + [bench.cells[1].key] * 3


def test_steps_count_up_to_what_was_expected(tmp_path: Path) -> None:
    steps: list[Step] = []
    model = model_file(tmp_path)
    run(experiment([request(model, "a"), request(model, "refuse")]), on_step=steps.append)
    assert [step.what for step in steps].count("failed") == 1  # and is not tried again
    assert steps[-1].done == steps[-1].expected - 1
    assert all(step.done <= step.expected for step in steps)
