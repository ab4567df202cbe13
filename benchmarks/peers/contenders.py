"""One turn of each program that can answer a workload."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.peers.installs import QUIET_PROMPTFOO
from benchmarks.peers.loop import Job, Looped
from benchmarks.peers.processes import localprompt_command, run, scratch_home
from benchmarks.peers.server import running
from benchmarks.peers.setup import Setup
from benchmarks.peers.workloads import Workload, write_suite
from localprompt.errors import WorkerError

PROMPTFOO_REQUESTS = 4
"""Parallel ones: promptfoo's own default."""
_NOWHERE = "http://127.0.0.1:9"
"""localprompt reads the same suite and never looks at its server."""


class Answers(msgspec.Struct, frozen=True):
    wall_seconds: float
    texts: tuple[str, ...]
    """In the order of the cases."""


class Evaluated(msgspec.Struct, frozen=True):
    """One turn of ``localprompt eval``."""

    answers: Answers
    repacked: bool
    """Whether the weights were, for this CPU."""
    peak_rss_bytes: int
    """Of the process."""


def localprompt_eval(
    setup: Setup, workload: Workload, folder: Path, *, limit: int | None = None
) -> Evaluated:
    """``localprompt eval`` with plain completion.

    Args:
        limit: only the first so many cases.

    Raises:
        WorkerError: it fails, or leaves cases unanswered.
    """
    suite = write_suite(workload, folder, _NOWHERE)
    plain = folder / "plain.jinja"
    plain.write_text("", encoding="utf-8")
    words = ["eval", str(suite), *setup.model_and_threads, "--chat-template", str(plain)]
    words += ["--max-tokens", str(workload.max_tokens), "--temperature", "0"]
    words += ["--choices", ",".join(workload.choices)] if workload.choices else []
    words += [] if limit is None else ["--limit", str(limit)]
    words += ["--no-cache", "--no-log", "--quiet", "--format", "json"]
    with scratch_home() as env:
        finished = run(localprompt_command(*words), env=env)
    done = json.loads(finished.stdout)
    (use,) = done["uses"]
    texts = [case["answer"] for case in sorted(done["results"], key=lambda c: c["case_index"])]
    _all_there(texts, limit or len(workload.cases), "localprompt eval")
    return Evaluated(
        Answers(use["wall_seconds"], tuple(texts)),
        repacked=bool(use["settings"]["repack"]),
        peak_rss_bytes=finished.peak_rss_bytes,
    )


def loop(setup: Setup, workload: Workload) -> Looped:
    """The loop over llama-cpp-python, in a process of its own.

    Raises:
        WorkerError: it fails.
    """
    job = Job(str(setup.weights), setup.threads, workload.prompts, workload.max_tokens)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.loop"],
        input=msgspec.json.encode(job),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise WorkerError("the loop failed", found=" | ".join(said[-3:]))
    return msgspec.json.decode(done.stdout, type=Looped)


def server(setup: Setup, workload: Workload, slots: int) -> Answers:
    """llama-server, freshly started, with as many clients as slots."""
    with running(setup.tools, setup.weights, threads=setup.threads, slots=slots) as ready:
        wall_seconds, texts = ready.complete_all(workload.prompts, workload.max_tokens)
    return Answers(wall_seconds, tuple(texts))


def promptfoo(setup: Setup, program: Path, workload: Workload, folder: Path) -> Answers:
    """promptfoo as a process, in front of a server that is running already.

    Raises:
        WorkerError: it fails, or leaves cases unanswered.
    """
    output = folder / "promptfoo.json"
    env = {
        **QUIET_PROMPTFOO,
        "PROMPTFOO_CONFIG_DIR": str(folder / "promptfoo"),
        # A case that does not pass is no failure of the program.
        "PROMPTFOO_FAILED_TEST_EXIT_CODE": "0",
    }
    requests = str(PROMPTFOO_REQUESTS)
    with running(
        setup.tools, setup.weights, threads=setup.threads, slots=PROMPTFOO_REQUESTS
    ) as ready:
        suite = write_suite(workload, folder, ready.url)
        words = ["eval", "-c", str(suite), "-j", requests, "-o", str(output)]
        words += ["--no-cache", "--no-write", "--no-table", "--no-progress-bar"]
        done = run([str(program), *words], env=env)
    texts = promptfoo_texts(json.loads(output.read_text(encoding="utf-8")))
    _all_there(texts, len(workload.cases), "promptfoo")
    return Answers(done.wall_seconds, tuple(texts))


def promptfoo_texts(output: dict[str, Any]) -> list[str]:
    """The answers in the order of the cases, from what promptfoo writes.

    Raises:
        WorkerError: a case has none; with promptfoo's reason.
    """
    rows = sorted(output["results"]["results"], key=lambda row: row["testIdx"])
    for row in rows:
        if not isinstance((row.get("response") or {}).get("output"), str):
            raise WorkerError("promptfoo has no answer for a case", found=str(row.get("error")))
    return [row["response"]["output"] for row in rows]


def _all_there(texts: list[str], cases: int, who: str) -> None:
    if len(texts) != cases:
        raise WorkerError(
            f"{who} has not answered every case",
            expected=f"{cases} answers",
            found=f"{len(texts)}",
        )
