"""Models in the page: what they took, fetching them, quantizing, and what cannot be done."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import pytest

from localprompt.store.history import History
from localprompt.web.chore_worker import Pull
from localprompt.web.chores import Chores
from tests.sample_runs import make_run
from tests.web.conftest import Served

_CARD = """
name = "tiny"
description = "A model of no use."
file = "tiny.gguf"
sha256 = "{sha256}"
size_bytes = {size}

[licence]
name = "{licence}"
needs_acceptance = {needs}

[[sources]]
kind = "file"
path = "{path}"
"""


def _card(folder: Path, content: bytes = b"tiny", *, needs: bool = False, sha: str = "") -> None:
    """A card in ./models whose weights lie in a file."""
    source = folder / "weights.bin"
    source.write_bytes(content)
    Path("models").mkdir()
    Path("models/tiny.toml").write_text(
        _CARD.format(
            sha256=sha or hashlib.sha256(content).hexdigest(),
            size=len(content),
            licence="Terms",
            needs=str(needs).lower(),
            path=source,
        )
    )


def _ended(served: Served, seconds: float = 60.0) -> str:
    """What stands there when the chore is through."""
    limit = time.monotonic() + seconds
    while "hx-trigger" in (text := served.get("/models/under-way").text):
        assert time.monotonic() < limit, text
        time.sleep(0.1)
    return text


def test_the_peak_of_the_last_run_stands_beside_what_was_predicted(served: Served) -> None:
    peak = make_run(0).memory.peak_rss_bytes
    assert f'data-order="{peak}"' not in served.enter().get("/models").text
    with History() as history:
        history.record(make_run(0))
    page = served.get("/models").text
    assert "measured peak" in page
    assert f'data-order="{peak}"' in page
    assert make_run(0).id in page


def test_a_model_is_fetched_and_then_here(served: Served, tmp_path: Path) -> None:
    _card(tmp_path)
    page = served.enter().get("/models").text
    assert '<option value="tiny">' in page
    began = served.post("/models/pull", [("model", "tiny")])
    assert began.status == 200
    assert "tiny" in began.text
    assert "tiny is here now" in _ended(served)
    assert '<option value="tiny">' not in served.get("/models").text


def test_a_licence_has_to_be_accepted_first(served: Served, tmp_path: Path) -> None:
    _card(tmp_path, needs=True)
    served.enter().post("/models/pull", [("model", "tiny")])
    assert "you have to accept first" in _ended(served)
    served.post("/models/pull", [("model", "tiny"), ("accept", "yes")])
    assert "tiny is here now" in _ended(served)


def test_weights_that_are_something_else_are_not_kept(served: Served, tmp_path: Path) -> None:
    _card(tmp_path, sha="0" * 64)
    served.enter().post("/models/pull", [("model", "tiny")])
    ended = _ended(served)
    assert 'role="alert"' in ended
    assert "sha256" in ended
    assert '<option value="tiny">' in served.get("/models").text


@pytest.mark.parametrize(
    ("path", "fields", "word"),
    [
        ("/models/pull", [], "nothing is chosen"),
        ("/models/quantize", [("model", "nonesuch"), ("to", "Q4_0")], "no model"),
        ("/models/quantize", [("model", "/etc/passwd"), ("to", "Q4_0")], "no model"),
        ("/models/quantize", [("model", "smollm2-135m")], "nothing is chosen"),
    ],
)
def test_what_cannot_be_begun_is_explained(
    served: Served, path: str, fields: list[tuple[str, str]], word: str
) -> None:
    got = served.enter().post(path, fields, HX_Request="true")
    assert 'role="alert"' in got.text
    assert word in got.text


def test_a_type_that_llama_cpp_does_not_make_is_explained(served: Served) -> None:
    served.enter().post("/models/quantize", [("model", "smollm2-135m"), ("to", "Q99")])
    assert "Q99" in _ended(served)


def test_a_read_only_page_fetches_nothing_and_still_asks_the_doctor(read_only: Served) -> None:
    read_only.enter()
    assert read_only.post("/models/pull", [("model", "tiny")]).status == 403
    page = read_only.get("/models").text
    assert "hx-post" not in page
    assert "llama.cpp" in read_only.get("/doctor").text


# Stands in for the worker: says how far it is and then waits, or dies.
_WAITS = """
import sys, time
sys.stdin.readline()
print('{"is": "stage", "name": "download", "done": 1, "total": 4}', flush=True)
time.sleep(60)
"""
_DIES = "import os, sys; sys.stdin.readline(); os.abort()"


def _begun(program: str) -> Chores:
    chores = Chores((sys.executable, "-c", program))
    chores.begin(Pull("tiny"))
    return chores


def _until(condition: object) -> None:
    limit = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_what_is_under_way_can_be_stopped_and_nothing_else_begins_meanwhile() -> None:
    from localprompt.errors import InputError

    chores = _begun(_WAITS)
    chore = chores.last
    assert chore is not None
    _until(lambda: chore.total == 4)
    with pytest.raises(InputError, match="one thing at a time"):
        chores.begin(Pull("other"))
    chores.stop()
    _until(lambda: chore.ended)
    assert (chore.stopped, chore.problem) == (True, None)


def test_a_process_that_dies_is_explained_and_the_next_one_begins() -> None:
    chores = _begun(_DIES)
    first = chores.last
    assert first is not None
    _until(lambda: first.ended)
    assert first.problem is not None
    assert "was killed by signal 6" in first.problem.message
    assert chores.begin(Pull("tiny")) is not first
    chores.close()


def test_closing_ends_the_process() -> None:
    chores = _begun(_WAITS)
    chore = chores.last
    assert chore is not None
    _until(lambda: chore.total == 4)
    child = chores._child
    assert child is not None
    chores.close()
    assert chore.ended
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
