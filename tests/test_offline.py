"""Once a model is in the store, nothing opens a connection: shown where there is no network to
open one to, and shown for every command while connections raise."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest

from localprompt.__main__ import run
from localprompt.bundling.make import Wanted, make
from localprompt.cli.app import COMMANDS
from localprompt.records import json as record_json
from localprompt.store.history import History
from localprompt.tuning import search
from tests.cli.program import SHORT, write_prompt
from tests.evidence.harness import TestBench
from tests.finetune.training.tiny_model import write_trainable
from tests.sample_runs import make_run

pytestmark = pytest.mark.model

PROMPT = """---
name: say
inputs:
  text: {kind: string, required: true}
metadata:
  localprompt:
    cases: say.jsonl
    choices: [yes it is, no it is not]
---
user:
Is {{ text }} a colour?
"""
CASES = [
    {"text": text, "expected": answer}
    for text in ("red", "it")
    for answer in ("yes it is", "no it is not")
]
"""Whatever the model answers, some of them pass."""
TEXT = "The lamp in the hall was lit before the ship came in. " * 100
SUITE = Path(__file__).parents[1] / "benchmarks" / "sentiment.yaml"
RUNS = (make_run(0), make_run(1))

# What each command is called with here; {MODEL} stands for the starter model's file.
CALLS: dict[str, list[str]] = {
    "ask": ["Hi", *SHORT],
    "chat": [*SHORT],
    "run": ["say", "-p", "text=red", "--threads", "1"],
    "prompts list": [],
    "prompts show": ["say", "-p", "text=red"],
    "prompts new": ["another"],
    "prompts lint": ["say"],
    "models list": [],
    "models show": ["smollm2-135m"],
    "models add": ["{MODEL}", "--name", "mine"],
    "models verify": ["smollm2-135m"],
    "models quantize": ["smollm2-135m", "--to", "q4_0"],
    "models quality": ["smollm2-135m", "--text", "text.txt", "--n-ctx", "64"],
    "models bundle": ["smollm2-135m"],
    "models remove": ["smollm2-135m"],
    "bundle verify": ["say.tar"],
    "bundle install": ["say.tar"],
    "bench": ["say", "-p", "text=red", "-r", "1", "--yes", "--quiet", "--threads", "1"],
    "eval": ["say", "--threads", "1"],
    "choose": [str(SUITE), "--limit", "2", "-r", "1", "--quiet", "--threads", "1"],
    "compare": [RUNS[0].id, RUNS[1].id],
    "improve": [
        "say",
        "--cases",
        "prompts/say.jsonl",
        "--force",
        "--search",
        "scoring",
        "--threads",
        "1",
        "-o",
        "better.prompty",
    ],
    "tune": [
        "smollm2-135m",
        "--prompt",
        "say",
        "-p",
        "text=red",
        "--suite",
        "say",
        "--types",
        "",
        "--text",
        "text.txt",
        "--quiet",
    ],
    "finetune estimate": ["smollm2-135m"],
    "finetune measure": [
        "tiny.gguf",
        "--prompt",
        "say",
        "--train",
        "prompts/say.jsonl",
        "--epochs",
        "1",
    ],
    "contrast": ["--from", "contrast.json"],
    "evidence": ["--plan"],
    "runs list": [],
    "runs show": ["last"],
    "runs export": [],
    "runs stats": [],
    "runs tag": ["last", "good"],
    "runs repeat": ["last"],
    "config show": [],
    "config set": ["threads", "1"],
    "config unset": ["threads"],
    "runs prune": ["--keep-last", "1"],
    "runs merge": ["part.jsonl"],
    "report": ["last"],
    "doctor": [],
}
FEW_CHANGES = ({"repack": False},)
"""What ``tune`` tries here: it asks for the same things as with all its changes, less often; this
one hardly ever pays, so that nothing has to be proved."""
BEFORE = {
    "runs repeat": ["ask", "Hi", *SHORT],
    "runs merge": ["eval", "say", "--shard", "1/1", "--threads", "1", "-o", "part.jsonl"],
}
"""What has to be there first."""
TYPED = {"chat": b"Name a colour.\n"}
"""On stdin."""
ENDS_WITH = {"improve": 1}
"""Other codes than 0: four cases show no gain."""
FETCHES = {"models pull"}
"""The one command whose purpose it is."""
LISTENS = {"serve", "cluster scheduler", "cluster worker", "cluster check"}
"""What talks over a network is their purpose; tests/web sees that serve opens no connection, and
tests/cluster that a cluster stays on loopback."""

_IN_THE_NAMESPACE = (
    "ask", "run", "doctor", "models list", "models show", "models verify", "prompts show",
    "runs list", "runs show", "runs export",
)  # fmt: skip

BLOCKED = ("connect", "connect_ex", "sendto", "bind")
BLOCKS_CHILDREN = f"""
import socket

def refuse(*_, **__):
    raise AssertionError("a worker opened a connection")

socket.getaddrinfo = refuse
for name in {BLOCKED}:
    setattr(socket.socket, name, refuse)
"""


def _all_commands() -> Iterator[str]:
    for name, entry in COMMANDS.items():
        if entry.group:
            module = import_module(f"localprompt.cli.{entry.module}")
            yield from (f"{name} {command.name}" for command in module.app.registered_commands)
        else:
            yield name


@pytest.fixture
def lab(lab_home: Path) -> Path:
    """A home with two runs in its history; beside it a prompt with a case, and a bundle of it."""
    write_prompt(Path.cwd(), "say", PROMPT)
    cases = "".join(json.dumps(case) + "\n" for case in CASES)
    (Path.cwd() / "prompts" / "say.jsonl").write_text(cases)
    Path("text.txt").write_text(TEXT)
    write_trainable(Path("tiny.gguf"))
    for name, made in _made().items():
        Path(name).write_bytes(made)
    with History() as history:
        for record in RUNS:
            history.record(record)
    return lab_home


@cache
def _made() -> dict[str, bytes]:
    """A contrast and a bundle, the same for every command; made by the first that needs them."""
    report = TestBench(Path.cwd()).contrast(str(SUITE))
    bundle = Path("say.tar")
    make(Wanted(output=bundle, prompts=(Path("prompts"),)))
    return {"contrast.json": record_json.encode(report), bundle.name: bundle.read_bytes()}


@pytest.fixture
def no_connections(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Connections raise, here and in child processes."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in BLOCKED:
        monkeypatch.setattr(socket.socket, name, refuse)
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(BLOCKS_CHILDREN)
    monkeypatch.setenv("PYTHONPATH", str(site))


@pytest.mark.usefixtures("lab", "no_connections")
@pytest.mark.parametrize("command", sorted(set(_all_commands()) - FETCHES - LISTENS))
def test_a_command_needs_no_connection(
    command: str,
    starter_model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TYPED.get(command, b""))))
    monkeypatch.setattr(search, "variations", lambda *_, **__: FEW_CHANGES)
    if command in BEFORE:
        assert run(BEFORE[command]) == 0
    arguments = [text.replace("{MODEL}", str(starter_model)) for text in CALLS[command]]
    code = run([*command.split(), *arguments])
    assert code == ENDS_WITH.get(command, 0), capsys.readouterr().err


@pytest.mark.usefixtures("no_connections")
def test_the_block_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match="was opened"):
        socket.create_connection(("localhost", 9))
    child = "import socket; socket.create_connection(('localhost', 9))"
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, check=False)
    assert b"a worker opened a connection" in done.stderr


@pytest.mark.usefixtures("lab")
def test_everything_runs_where_there_is_no_network_at_all() -> None:
    """In a network namespace whose only interface is a loopback that is down."""
    alone = ("unshare", "-rn")
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody have a network namespace of their own")
    script = f"""
import json, socket, sys
from localprompt.records import json as record_json
from localprompt.__main__ import run

try:
    socket.create_connection(("127.0.0.1", 9))
except OSError as error:
    codes = {{"network": error.strerror}}
for call in {[[*name.split(), *CALLS[name]] for name in _IN_THE_NAMESPACE]}:
    codes[" ".join(call[:2])] = run(call)
print(json.dumps(codes), file=sys.stderr)
"""
    done = subprocess.run(
        [*alone, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stderr.splitlines()[-1])
    assert codes.pop("network") == "Network is unreachable"
    assert set(codes.values()) == {0}, done.stderr
    assert len(codes) == len(_IN_THE_NAMESPACE)
