"""Asking the page for answers, and waiting for what becomes of them."""

from __future__ import annotations

import json
import re
import time

from localprompt.records.run import RunRecord
from localprompt.store.history import History
from localprompt.web.host import Host, Job
from tests.web.conftest import Served

MODEL = ("model", "smollm2-135m")


def begun(served: Served, *fields: tuple[str, str]) -> Job:
    got = served.post("/try", [MODEL, *fields])
    assert got.status == 200, got.text
    found = re.search(r'data-job="(\w+)"', got.text)
    assert found, got.text
    assert served.host is not None
    job = served.host.job(found[1])
    assert job is not None
    return job


def ended(job: Job, seconds: float = 30.0) -> Job:
    limit = time.monotonic() + seconds
    while not job.ended:
        assert time.monotonic() < limit, job.state
        time.sleep(0.02)
    return job


def gave_back(host: Host) -> bool:
    return host.open_model is None


def stored() -> list[RunRecord]:
    with History(read_only=True) as history:
        return list(history.runs())


def streamed(served: Served, job: Job) -> list[tuple[str, str]]:
    text = served.get(f"/jobs/{job.id}/events").text
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(kind.removeprefix("event: "), json.loads(data[6:])) for kind, data in blocks]
