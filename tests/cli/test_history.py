"""A history that cannot be written never takes an answer away; and what is in it can be read."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from localprompt.store.history import History
from tests.cli.conftest import Localprompt
from tests.cli.program import SHORT, Ran, command_line, completed
from tests.sample_runs import in_bench, make_experiment, make_run

pytestmark = pytest.mark.model

ASK = ("ask", "Name three colours.", *SHORT)


def _answered_but_not_recorded(ran: Ran, error: str) -> dict[str, str]:
    assert ran.code == 0
    assert ran.out.strip()
    assert "the run was not recorded:" in ran.err
    assert ran.fields()["error"] == error
    return ran.fields()


def test_a_home_that_is_a_file_leaves_the_answer(
    localprompt: Localprompt,
    work: Path,
    starter_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (work / "home").write_text("a file")
    monkeypatch.setenv("LOCALPROMPT_HOME", str(work / "home"))
    ran = localprompt(*ASK, "-m", str(starter_model))
    told = _answered_but_not_recorded(ran, "the history of runs cannot be kept here")
    assert told["where"] == str(work / "home" / "history.db")
    assert told["expected"] == "a folder that can be written"
    assert told["found"] == f"a file, {work / 'home'}"
    assert "LOCALPROMPT_HOME" in told["try"]
    assert "--no-log" in told["try"]


def test_a_damaged_history_leaves_the_answer_and_says_how_to_begin_anew(
    localprompt: Localprompt, lab_home: Path
) -> None:
    database = lab_home / "history.db"
    database.write_bytes(b"garbage " * 1000)
    told = _answered_but_not_recorded(localprompt(*ASK), "the history is not a SQLite database")
    assert told["where"] == str(database)
    assert told["try"].startswith(f"mv '{database}'")
    assert database.read_bytes() == b"garbage " * 1000
    for reading in (("runs", "list"), ("runs", "show", "last"), ("runs", "export"), ("doctor",)):
        ran = localprompt(*reading)
        assert ran.code == 3, reading
        assert "not a SQLite database" in " ".join((ran.out + ran.err).split())


def test_a_locked_history_leaves_the_answer_and_says_who_to_look_for(
    localprompt: Localprompt, lab_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        History.__init__, "__kwdefaults__", {"read_only": False, "busy_seconds": 0.05}
    )
    with History():
        pass
    other = sqlite3.connect(lab_home / "history.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        ran = localprompt(*ASK)
    finally:
        other.close()
    told = _answered_but_not_recorded(ran, "the history is locked by another process")
    assert "fuser" in told["try"]
    assert localprompt(*ASK).code == 0
    with History(read_only=True) as history:
        assert history.stats().runs == 1


def test_a_full_disk_leaves_the_answer(lab_home: Path, tmp_path: Path, starter_model: Path) -> None:
    """A home on a file system of 32 KiB: a new history needs more."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = f'mount -t tmpfs -o size=32k none {small} && LOCALPROMPT_HOME={small} exec "$@"'
    prefix = ("unshare", "-rm", "sh", "-c", mounted, "sh")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system of their own")
    ran = completed(*ASK, "-m", str(starter_model), prefix=prefix)
    told = _answered_but_not_recorded(ran, "the disk is full")
    assert told["where"] == str(small / "history.db")
    assert "--no-log" in told["try"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_answer_that_cannot_be_written_is_recorded_all_the_same(
    lab_home: Path, unbuffered: str
) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command_line(*ASK),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment,
        )
    assert done.returncode == 3
    assert "Exception ignored" not in done.stderr
    ran = Ran(done.returncode, "", done.stderr)
    assert ran.fields()["error"] == "the disk is full"
    assert ran.fields()["where"] == "stdout"
    with History(read_only=True) as history:
        record = history.get("last")
    assert record.output.finish_reason == "interrupted"
    assert record.output.text


def test_two_processes_that_write_at_once_lose_nothing(lab_home: Path) -> None:
    writing = [
        subprocess.Popen(command_line(*ASK), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in writing:
        process.communicate()
    assert [process.returncode for process in writing] == [0, 0]
    with History(read_only=True) as history:
        assert history.stats().runs == 2


def test_what_was_run_is_listed_shown_exported_and_pruned(
    localprompt: Localprompt, work: Path
) -> None:
    assert "nothing yet; make a run with" in localprompt("runs", "list").err
    localprompt(*ASK)
    localprompt("ask", "Say \x1b[31mred\x1b[0m.", *SHORT)
    listed = localprompt("runs", "list")
    assert listed.err == ""
    assert listed.out.count("smollm2-135m") == 2
    assert max(map(len, listed.out.splitlines())) <= 80
    shown = localprompt("runs", "show", "last").out
    assert "Say ␛[31mred" in shown
    assert "\x1b" not in shown
    exported = localprompt("runs", "export", "--format", "csv", "-o", "runs.csv")
    assert (exported.code, exported.out) == (0, "")
    assert len((work / "runs.csv").read_text().splitlines()) == 3
    assert localprompt("runs", "export").out.count("\n") == 2
    pruned = localprompt("runs", "prune", "--keep-last", "1")
    assert "deleted 1 run, 1 left" in pruned.out


def test_what_another_process_measures_is_said_beside_the_list(
    localprompt: Localprompt, lab_home: Path
) -> None:
    program = (
        "import sys\nfrom localprompt.store.under_way import announced\n"
        "with announced('improve', 'tone') as notice:\n"
        "    notice.tell('racing', 7)\n    print(flush=True)\n    sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        said = localprompt("runs", "list").err
        other.kill()
    assert f"running now: search for a better prompt tone, 7 (process {other.pid})" in said
    assert "running now" not in localprompt("runs", "list").err


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["show", "last~3"], 2, "there is no 'last~3'"),
        (["show", "nonsense!"], 2, "nothing is called 'nonsense!'"),
        (["list", "--since", "yesterday"], 2, "not a date or an age"),
        (["list", "--since", "²d"], 2, "not a date or an age"),
        (["list", "--kind", "walk"], 2, "unknown value"),
        (["export", "--format", "xml"], 2, "unknown value"),
        (["export", "-o", "nowhere/runs.jsonl"], 3, "the output cannot be written"),
        (["export", "-o", "/dev/full"], 3, "the disk is full"),
    ],
)
def test_a_wrong_question_to_the_history_is_told(
    arguments: list[str], code: int, error: str, localprompt: Localprompt, lab_home: Path
) -> None:
    with History() as history:
        history.record(make_run())
    ran = localprompt("runs", *arguments)
    assert ran.code == code
    assert ran.fields()["error"].startswith(error)


def test_a_number_that_no_database_can_hold_is_refused_in_words(localprompt: Localprompt) -> None:
    ran = localprompt("runs", "list", "--limit", str(2**63))
    assert ran.code == 2
    assert ran.fields()["error"] == "a number is larger than this program can hold"


def test_two_runs_are_compared_with_their_answers(localprompt: Localprompt, lab_home: Path) -> None:
    with History() as history:
        for number, text in enumerate(("A grey cat.", "A black dog.", "A black dog.")):
            run = make_run(number)
            output = msgspec.structs.replace(run.output, text=text)
            history.record(msgspec.structs.replace(run, output=output))
    shown = localprompt("compare", "last~2", "last").out
    assert shown.index("A grey cat.") < shown.index("A black dog.")
    assert shown.count("A black dog.") == 1
    equal = localprompt("compare", "last~1", "last").out
    assert "answer of both" in equal
    assert equal.count("A black dog.") == 1


def test_lists_hold_everything_and_pass_over_what_cannot_be_read(
    localprompt: Localprompt, lab_home: Path
) -> None:
    with History() as history:
        for number in range(2):
            history.record(make_run(number))
        history.begin(make_experiment())
        history.record(in_bench(make_run(5, kind="bench")))
    with closing(sqlite3.connect(lab_home / "history.db")) as connection, connection:
        connection.execute(
            "UPDATE runs SET record = json_set(record, '$.tokens', 'none') WHERE id = ?",
            (make_run(0).id,),
        )
    listed = localprompt("runs", "list")
    assert listed.code == 0
    assert make_run(1).id[:10] in listed.out
    assert make_experiment().title in listed.out
    assert make_run(5).id[:10] not in listed.out  # a repetition is found through its bench
    assert make_run(0).id in listed.err
    assert localprompt("runs", "list", "--kind", "bench").out.count("(bench)") == 1
    exported = localprompt("runs", "export", "-n", "1")
    assert [json.loads(line)["id"] for line in exported.out.splitlines()] == [make_run(5).id]
