from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from localprompt.bench.child import Child
from localprompt.errors import WorkerError
from localprompt.measure.kernel import ON_LINUX
from localprompt.processes import Parent, attend
from localprompt.running import worker
from tests.bench import scripted_worker
from tests.bench.benches import model_file, request

ENGINES = worker.Engines(scripted_worker.engine, scripted_worker.synthetic)


def served(commands: Sequence[worker.Command]) -> tuple[int, list[dict[str, object]]]:
    """Exit code and replies of a worker in this process."""
    lines = b"".join(msgspec.json.encode(command) + b"\n" for command in commands)
    replies = io.BytesIO()
    parent: Parent[worker.Command] = Parent(io.BytesIO(lines), replies, worker.Command)
    code = attend(parent, lambda parent: worker.answer(parent, ENGINES))
    return code, [msgspec.json.decode(line) for line in replies.getvalue().splitlines()]


def test_a_worker_answers_each_line_with_one_line(tmp_path: Path) -> None:
    opening = worker.Open(request(model_file(tmp_path)), "timing")
    code, replies = served((opening, worker.Run(), worker.Run()))
    assert code == 0
    assert [reply["is"] for reply in replies] == ["opened", "ran", "ran"]
    assert replies[0]["cold"] is None
    assert isinstance(replies[1]["token_seconds"], list)
    assert len(replies[1]["token_seconds"]) == 4


def test_a_run_before_anything_is_open_is_a_failure() -> None:
    code, replies = served([worker.Run()])
    assert code == 3
    assert "before a model was opened" in str(replies[0]["message"])


def test_what_a_library_prints_does_not_get_between_the_lines(tmp_path: Path) -> None:
    noisy = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r});"
        "from tests.bench import scripted_worker as s\n"
        "from localprompt.running import worker as w\n"
        "def engine(cell):\n    print('a library that prints')\n    return s.engine(cell)\n"
        "w.main(w.Engines(engine, s.synthetic))"
    )
    with Child((sys.executable, "-c", noisy)) as child:
        child.open(request(model_file(tmp_path)), "timing")
        assert child.run().record.output.text.startswith("word")


def test_a_worker_that_answers_nonsense_is_told_from_one_that_died(tmp_path: Path) -> None:
    one = request(model_file(tmp_path))
    with (
        pytest.raises(WorkerError, match="answered nonsense: b'hello"),
        Child((sys.executable, "-c", "print('hello', flush=True); input()")) as child,
    ):
        child.open(one, "timing")
    with (
        pytest.raises(WorkerError, match=r"exit code 1.*ValueError: a bug"),
        Child((sys.executable, "-c", "raise ValueError('a bug')")) as child,
    ):
        child.open(one, "timing")


@pytest.mark.skipif(not ON_LINUX, reason="looks into /proc")
def test_a_worker_that_waits_takes_no_cpu(tmp_path: Path) -> None:
    def ticks(pid: int) -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def state(pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    with Child(scripted_worker.COMMAND) as waiting, Child(scripted_worker.COMMAND) as busy:
        for child in (waiting, busy):
            child.open(request(model_file(tmp_path)), "timing")
        while state(waiting.pid) != "S":
            os.sched_yield()
        before = ticks(waiting.pid)
        for _ in range(20):
            busy.run()
        assert state(waiting.pid) == "S"
        assert ticks(waiting.pid) == before


def test_leaving_in_a_hurry_does_not_wait_for_a_repetition(tmp_path: Path) -> None:
    child = Child(scripted_worker.COMMAND)
    child.open(request(model_file(tmp_path)), "memory")
    child.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, signal.SIGTERM)
