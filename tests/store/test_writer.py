from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localprompt.errors import HistoryError
from localprompt.records.run import RunRecord, Samples
from localprompt.store.connection import explained
from localprompt.store.history import History
from tests.sample_runs import make_run
from tests.strategies import run_records, samples

# Records runs until it is killed or has made as many as it was told; names each one on stdout
# only after it was recorded. Waits for a line on stdin before it opens the history.
RECORDER = """
import sys
from pathlib import Path
import msgspec
from localprompt.records.ids import new_run_id
from localprompt.records.run import Samples
from localprompt.store.history import History
from tests.sample_runs import make_run

run = make_run(text="word " * 2000)
print("ready", flush=True)
sys.stdin.readline()
with History(Path(sys.argv[1])) as history:
    for _ in range(int(sys.argv[2])):
        run = msgspec.structs.replace(run, id=new_run_id())
        history.record(run, Samples((0.1, 0.2, 0.3)))
        print(run.id, flush=True)
"""


def start_recorder(database: Path, runs: int) -> subprocess.Popen[str]:
    """A process that is about to open the history, held back until a line is sent to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(database), str(runs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def check_is_sound(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder whose permissions bind this process even where the tests run as root."""
    with tempfile.TemporaryDirectory() as folder:
        is_root = os.geteuid() == 0
        if is_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if is_root:
                os.seteuid(0)
            Path(folder).chmod(0o700)


def test_a_recorded_run_is_read_back_with_its_samples(database: Path) -> None:
    run, times = make_run(), Samples((0.09, 0.1, 0.30000000000000004))
    with History(database) as history:
        history.record(run, times)
    with History(database, read_only=True) as reader:
        assert reader.get(run.id) == run
        assert reader.samples(run.id) == times


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    # A bench's run needs its bench: tests of experiments have those.
    st.lists(run_records(bench=st.none()), max_size=2, unique_by=lambda run: run.id),
    samples(),
)
def test_any_run_survives_the_store(tmp_path: Path, runs: list[RunRecord], times: Samples) -> None:
    database = tmp_path / "history.db"
    with History(database) as history:
        for run in runs:
            history.record(run, times)
    with History(database, read_only=True) as reader:
        assert list(reader.runs()) == sorted(runs, key=lambda run: run.id, reverse=True)
        assert all(reader.samples(run.id) == times for run in runs)
    for part in tmp_path.iterdir():
        part.unlink()


def test_the_columns_say_what_the_record_says(database: Path) -> None:
    run = make_run()
    with History(database) as history:
        history.record(run)
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM runs").fetchone())
    expected = {
        **msgspec.structs.asdict(run.settings),
        **msgspec.structs.asdict(run.sampling),
        **msgspec.structs.asdict(run.timing),
        **msgspec.structs.asdict(run.memory),
        "id": run.id,
        "kind": "run",
        "created_at": run.created_at,
        "localprompt_version": run.localprompt_version,
        "model_name": "smollm2-135m",
        "model_sha256": run.model.sha256,
        "model_quantization": "Q4_1",
        "prompt_name": "summarize",
        "prompt_sha256": run.prompt.sha256,
        "rendered_sha256": run.prompt.rendered_sha256,
        "prompt_tokens": 40,
        "reused_tokens": 0,
        "completion_tokens": 16,
        "finish_reason": "stop",
        "output_text": "A short summary.",
        "machine_id": "machine-a",
        "llama_cpp_build": "0.3.36",
    }
    del row["record"]
    assert row == {column: expected[column] for column in row}


def test_runs_of_one_machine_share_its_row(database: Path) -> None:
    with History(database) as history:
        for number, machine in enumerate(("machine-a", "machine-a", "machine-b")):
            history.record(make_run(number, machine=machine))
    with History(database, read_only=True) as reader:
        assert reader.stats().machines == 2


def test_a_run_that_is_refused_leaves_nothing_of_itself(database: Path) -> None:
    with History(database) as history:
        history.record(make_run(machine="machine-a"))
        with pytest.raises(HistoryError, match="contradicts"):
            history.record(make_run(machine="machine-b"), Samples((0.1,)))
        history.record(make_run(1))
    with History(database, read_only=True) as reader:
        assert reader.stats().runs == 2
        assert reader.stats().machines == 1
        assert reader.samples(make_run().id) is None


def test_only_the_user_may_read_the_history(database: Path) -> None:
    before = os.umask(0)
    try:
        with History(database) as history:
            history.record(make_run())
            modes = {
                part.name: stat.S_IMODE(part.stat().st_mode) for part in database.parent.iterdir()
            }
    finally:
        os.umask(before)
    assert modes == {"history.db": 0o600, "history.db-wal": 0o600, "history.db-shm": 0o600}
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700


def test_the_default_is_the_history_in_localprompts_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "lab"))
    with History() as history:
        history.record(make_run())
    with History(read_only=True) as reader:
        assert reader.get("last") == make_run()
    assert (tmp_path / "lab" / "history.db").exists()


def test_a_killed_process_loses_nothing_that_it_had_recorded(database: Path) -> None:
    recorded: set[str] = set()
    for lines_before_death in (1, 7, 30):
        with start_recorder(database, 100_000) as process:
            let_go(process)
            assert process.stdout is not None
            recorded |= {process.stdout.readline().strip() for _ in range(lines_before_death)}
            process.kill()
            # What it still managed to say after the lines above was recorded as well.
            recorded |= {line.strip() for line in process.stdout if line.endswith("\n")}
        check_is_sound(database)
        with History(database, read_only=True) as reader:
            kept = {run.id for run in reader.runs()}
            assert recorded <= kept
            assert len(kept - recorded) <= 1  # recorded, but killed before it could say so
            assert all(reader.samples(run_id) is not None for run_id in kept)
        recorded = kept


def test_a_process_killed_while_it_makes_the_history_leaves_one_that_works(database: Path) -> None:
    with start_recorder(database, 1) as process:
        let_go(process)
        with suppress(OSError):
            while not database.exists() and process.poll() is None:
                time.sleep(0.0002)
        process.kill()
    with History(database) as history:
        history.record(make_run())
    check_is_sound(database)


def test_processes_that_open_a_new_history_and_write_at_once_lose_nothing(database: Path) -> None:
    processes = [start_recorder(database, 40) for _ in range(3)]
    for process in processes:
        let_go(process)
    recorded = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    with History(database, read_only=True) as reader:
        assert {run.id for run in reader.runs()} == {run_id for ids in recorded for run_id in ids}
        assert reader.stats().runs == 120
    check_is_sound(database)


def test_a_history_that_stays_locked_is_an_explained_error(database: Path) -> None:
    with History(database, busy_seconds=0.02) as history:
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(HistoryError, match="locked by another process") as caught:
                history.record(make_run())
            assert caught.value.where == str(database)
            assert "fuser" in str(caught.value.next_step)
            with History(database, busy_seconds=0.02, read_only=True) as reader:
                assert list(reader.runs()) == []
        history.record(make_run())
    with History(database, read_only=True) as reader:
        assert reader.stats().runs == 1


def test_a_new_history_that_another_process_locks_is_an_explained_error(database: Path) -> None:
    database.parent.mkdir()
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HistoryError, match="locked by another process"):
            History(database, busy_seconds=0.02)


def test_a_file_that_is_no_database_is_an_explained_error(database: Path) -> None:
    database.parent.mkdir()
    database.write_bytes(b"These are my notes. " * 100)
    for opener in (History, History):
        with pytest.raises(HistoryError, match="not a SQLite database") as caught:
            opener(database)
        assert f"mv '{database}'" in str(caught.value.next_step)
    assert database.read_bytes().startswith(b"These are my notes.")


def test_a_damaged_database_is_an_explained_error(database: Path) -> None:
    with History(database) as history:
        history.record(make_run(text="word " * 5000))
    data = bytearray(database.read_bytes())
    data[100:] = b"\xa5" * (len(data) - 100)
    database.write_bytes(data)
    with pytest.raises(HistoryError, match="damaged"):
        History(database)


def test_damage_that_is_no_text_is_an_explained_error(database: Path) -> None:
    """SQLite quotes a damaged schema in its message, and Python cannot decode that."""
    with pytest.raises(HistoryError, match="the history is damaged"), explained(database):
        b"\xff".decode()


def test_a_full_disk_is_an_explained_error_and_loses_only_that_run(database: Path) -> None:
    with History(database) as history:
        history.record(make_run())
        (pages,) = history._connection.execute("PRAGMA page_count").fetchone()
        history._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(HistoryError, match="disk is full"):
            history.record(make_run(1, text="word " * 100_000))
    with History(database, read_only=True) as reader:
        assert list(reader.runs()) == [make_run()]
    check_is_sound(database)


def test_a_home_that_is_a_file_is_an_explained_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(HistoryError, match="cannot be kept here") as caught:
        History(tmp_path / "home" / "history.db")
    assert "LOCALPROMPT_HOME" in str(caught.value.next_step)


def test_a_folder_in_the_historys_place_is_an_explained_error(database: Path) -> None:
    database.mkdir(parents=True)
    with pytest.raises(HistoryError, match="cannot be opened"):
        History(database)


def test_a_home_that_may_not_be_written_is_an_explained_error(as_nobody: Path) -> None:
    as_nobody.chmod(0o500)
    for path in (as_nobody / "history.db", as_nobody / "new" / "history.db"):
        with pytest.raises(HistoryError, match="Permission denied") as caught:
            History(path)
        assert "--no-log" in str(caught.value.next_step)


def test_a_history_that_may_not_be_written_is_an_explained_error(as_nobody: Path) -> None:
    database = as_nobody / "history.db"
    with History(database) as history:
        history.record(make_run())
    database.chmod(0o400)
    with (
        pytest.raises(HistoryError, match="cannot be written"),
        History(database) as history,
    ):
        history.record(make_run(1))


def test_sqlite_is_imported_only_when_a_history_is_opened() -> None:
    code = (
        "import sys, localprompt.store.history, localprompt.store.pruning;"
        "print('sqlite3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
