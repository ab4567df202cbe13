"""Schedulers and workers as a user starts them: names, ports, signals, other protocols."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from localprompt.cluster import serving
from localprompt.cluster.network import Network
from localprompt.errors import InputError, MachineError
from tests.cluster.harness import ClusterLab, until

pytestmark = pytest.mark.slow

COMMAND = ("-m", "localprompt", "cluster")
SOON = """
from localprompt.__main__ import main
from localprompt.cluster import serving
serving._SECONDS_TO_CONNECT = 0.5
main()
"""
"""The program, with less patience for addresses where nobody is."""


LEFT_BEHIND = """
import time
from localprompt.cluster.serving import Rooms
Rooms(0.2).teardown(None)
time.sleep(60)
"""


def _said(lab: ClusterLab, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *COMMAND, *arguments],
        capture_output=True,
        text=True,
        cwd=lab.folder,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


def test_workers_of_one_host_are_told_apart(lab: ClusterLab) -> None:
    lab.scheduler()
    host = socket.gethostname()
    for name in (host, f"{host}-2"):
        worker = ("worker", lab.address)
        _, line = lab.start(*COMMAND, *worker, until="works for")
        assert line.startswith(f"{name} works for")


def test_a_name_that_is_taken_and_a_port_that_is_taken_are_said(lab: ClusterLab) -> None:
    lab.scheduler()
    lab.worker("one")
    code, said = _said(lab, "worker", lab.address, "--name", "one")
    assert code == 2
    assert "name taken" in said
    assert "Traceback" not in said
    code, said = _said(lab, "scheduler", "--port", lab.address.rpartition(":")[2])
    assert code == 3
    assert "nothing can listen on this port" in said
    assert "Traceback" not in said


def test_a_name_that_was_this_workers_is_waited_for_until_the_scheduler_has_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ValueError("name taken, one")
    chosen, host = serving._Name("one"), serving._Name(None)
    with pytest.raises(InputError, match="refuses this worker"):
        chosen.refused(error)
    first = host.now
    assert not host.refused(error)
    assert host.now == f"{first}-2"
    for name in (serving._Name("one"), host):
        before = name.now
        name.given_up()
        assert name.refused(error)
        assert name.now == before
    monkeypatch.setattr(serving, "SECONDS_TO_BE_FORGOTTEN", 0.0)
    assert not host.refused(error)
    assert host.now == f"{first}-3"


def test_a_worker_waits_for_a_scheduler_and_ends_when_it_is_told_to(lab: ClusterLab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    worker, line = lab.start("-c", SOON, "cluster", "worker", address, until="waiting for a sched")
    assert address in line
    lab.end(worker)
    assert worker.returncode == 0


def test_a_scheduler_that_is_told_to_end_does_so(lab: ClusterLab) -> None:
    scheduler = lab.scheduler()
    lab.worker("one")
    lab.end(scheduler)
    assert scheduler.returncode == 0
    until(lambda: scheduler.poll() is not None, 10)


def test_what_answers_in_another_way_is_not_worked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_SECONDS_TO_CONNECT", 0.5)
    monkeypatch.setattr(serving, "_SECONDS_TO_ANSWER", 1.0)
    listening = ("-u", "-m", "http.server", "0", "--bind", "127.0.0.1")
    process = subprocess.Popen(
        [sys.executable, *listening], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().split(" port ")[1].split()[0]
        with pytest.raises(MachineError, match="no scheduler of a cluster answers"):
            serving.run_worker(f"tcp://127.0.0.1:{port}", None, 0, Network(), print)
    finally:
        process.kill()
        process.communicate()


def test_beyond_loopback_is_refused_before_anything_listens(lab: ClusterLab) -> None:
    code, said = _said(lab, "worker", "tcp://192.0.2.7:8786")
    assert code == 2
    assert "needs certificates" in said
    code, said = _said(lab, "scheduler", "--interface", "nowhere9")
    assert code == 2
    assert "no such interface" in said


def test_the_process_of_a_plain_worker_that_does_not_come_to_its_end_is_ended(
    lab: ClusterLab,
) -> None:
    subprocess.run([sys.executable, "-c", LEFT_BEHIND], cwd=lab.folder, timeout=40, check=True)
