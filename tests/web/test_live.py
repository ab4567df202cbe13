"""What is going on in other processes, as the page shows it; and the page as others see it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localprompt.store.history import History
from tests.sample_evaluations import make_evaluation
from tests.web.conftest import Served
from tests.web.jobs import begun

_OTHER = """
import sys
from localprompt.store.under_way import announced
with announced("eval", "<tones>", sys.argv[1]) as notice:
    notice.tell("smollm2-135m, plain", 120, 400)
    print("ready", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def evaluating(result_id: str) -> Iterator[int]:
    """Another process that evaluates; its id."""
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER, result_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_what_another_process_measures_is_shown_with_how_far_it_is(served: Served) -> None:
    evaluation = make_evaluation()
    with History() as history:
        history.begin(evaluation)
    served.enter()
    with evaluating(evaluation.id) as pid:
        live = served.get("/live").text
    assert f'href="/results/{evaluation.id}"' in live
    assert "&lt;tones&gt;" in live
    assert "120 of 400" in live
    assert f"process {pid}" in live
    assert "would disturb it" in live
    assert "120 of 400" not in served.get("/live").text


def test_what_is_not_in_the_history_is_shown_without_a_link(served: Served) -> None:
    served.enter()
    with evaluating("01NOTKEPT") as pid:
        live = served.get("/live").text
    assert f"process {pid}" in live
    assert "/results/" not in live


def test_an_evaluation_that_was_cut_off_is_not_shown_as_running(served: Served) -> None:
    with History() as history:
        history.begin(make_evaluation())
    served.enter()
    assert served.get("/live").text.strip() == ""
    assert "0 of 4" in served.get("/results").text


def test_a_run_from_the_page_is_announced_to_benches(served: Served, lab_home: Path) -> None:
    job = begun(served.enter(), ("text", "Be slow."))
    while not job.text:
        time.sleep(0.02)
    assert [file.name.partition("-")[0] for file in (lab_home / "running").iterdir()] == ["page"]
    served.post(f"/jobs/{job.id}/stop")
    while not job.ended:
        time.sleep(0.02)
    assert list((lab_home / "running").iterdir()) == []
