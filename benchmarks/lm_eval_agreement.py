"""Tasks of lm-evaluation-harness: the answers that lm-eval gives on the same weights, and the time.

    python -m benchmarks.lm_eval_agreement [-m MODEL] [-n PAIRS] [--threads N] [--lm-eval PYTHON]

lm-eval is installed from PyPI into the cache folder when it is first needed (about 500 MB, most of
it pyarrow and scikit-learn); ``--lm-eval`` names the Python of an environment that has it. The two
programs take turns on the task files of this folder, each as a new process.

lm-eval has no backend that runs a GGUF in its own process. Its ``gguf`` backend asks a server for
the log-probabilities of every token of every request as JSON, and cuts context from continuation by
counting characters. So that what is compared is lm-eval and not a protocol, it is given a model
class here (``benchmarks/lm_eval_model.py``): lm-eval's own ``TemplateLM``, which tokenizes, around
llama-cpp-python's high-level class with the same library. Like the server it keeps what a request
shares with the one before it. ``--server ROWS`` times that backend as well, on the first rows and
in turns with localprompt on the same rows: a request takes it seconds.

Where the two disagree, ``-m`` with the same weights written out in f32 says whether it is rounding:
then neither side quantizes what goes into a product, and both have to give the same choices.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

from benchmarks.peers.builds import cache
from benchmarks.peers.processes import run, say
from localprompt.measure import machine
from localprompt.running.assemble import model_record

TASKS = ("tickets", "reviews", "last-words", "ticket-words")
LM_EVAL = "lm_eval==0.4.13"
SERVER = ("diskcache", "uvicorn", "fastapi", "pydantic-settings", "sse-starlette",
          "starlette-context", "pyyaml", "requests")  # fmt: skip
"""What llama-cpp-python and its server import beside what lm-eval brings."""
PORT = 18765
HERE = Path(__file__).parent
NEAR = 0.3
"""Log-odds below which the batch decides (see results/2026-11-26-near-ties.md)."""


def main() -> None:
    options = _options()
    python = options.lm_eval or _install()
    model = model_record(options.model)
    rows = [_compared(task, python, model.path, options) for task in options.task]
    result = {
        "what": "tasks of lm-evaluation-harness, localprompt beside lm-eval with the same library",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": machine.describe().cpu, "os": machine.describe().os},
        "model": model.name,
        "threads": options.threads,
        "lm_eval": LM_EVAL,
        "targets": "the same choices in >= 99 % of the cases, lm-eval / localprompt >= 3",
        "tasks": rows,
    }
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    print(text)


def _compared(task: str, python: Path, weights: str, options: argparse.Namespace) -> dict[str, Any]:
    """One task, both sides in turns."""
    ours: list[float] = []
    theirs: list[float] = []
    evaluated: list[float] = []
    answers: tuple[Sequence[Any], Sequence[Any]] = ((), ())
    for _ in range(options.pairs):
        seconds, own = _ours(task, options)
        ours.append(seconds)
        seconds, inside, others = _theirs(task, python, weights, options)
        theirs.append(seconds)
        evaluated.append(inside)
        answers = own, others
        say(f"{task}: {ours[-1]:.1f} s and {theirs[-1]:.1f} s")
    server = {}
    if options.server:
        server = {"lm_eval_by_its_own_backend": _by_server(task, python, weights, options)}
    return {
        "task": task,
        **server,
        **_agreement(*answers),
        "wall_seconds": {"localprompt": ours, "lm_eval": theirs},
        "lm_eval_without_start_and_load_seconds": evaluated,
        "lm_eval_over_localprompt": statistics.median(theirs) / statistics.median(ours),
        "lm_eval_without_start_over_localprompt_with": (
            statistics.median(evaluated) / statistics.median(ours)
        ),
        "n": options.pairs,
    }


def _by_server(task: str, python: Path, weights: str, options: argparse.Namespace) -> Any:
    """lm-eval's own backend for GGUF files on the first rows, in turns with localprompt: seconds
    of each (localprompt's with start and load, the other's without), and what it says."""
    url = f"http://127.0.0.1:{PORT}"
    few = argparse.Namespace(**{**vars(options), "limit": options.server})
    ours: list[float] = []
    theirs: list[float] = []
    cases: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        command = [str(python), "-m", "llama_cpp.server", "--model", weights, "--port", str(PORT)]
        command += ["--logits_all", "true", "--n_ctx", "2048", "--n_threads", str(options.threads)]
        server = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(_library(Path(folder)))},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(f"{url}/v1/models", server)
            for _ in range(options.pairs):
                ours.append(_ours(task, few)[0])
                _, seconds, cases = _theirs(task, python, url, few)
                theirs.append(seconds)
                say(f"{task}, {len(cases)} rows: {ours[-1]:.1f} s and {theirs[-1]:.1f} s")
        finally:
            server.terminate()
            server.wait()
    return {
        "rows": len(cases),
        "localprompt_seconds_with_start_and_load": ours,
        "server_seconds": theirs,
        "server_over_localprompt": statistics.median(theirs) / statistics.median(ours),
        "log_probabilities": [log for case in cases for log in case["logs"]],
    }


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(120):
        try:
            with urlopen(url, timeout=5):
                return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(1)
    raise SystemExit("llama-cpp-python's server did not start")


def _library(folder: Path) -> Path:
    """A folder in which nothing but the installed llama-cpp-python is found."""
    library = find_spec("llama_cpp")
    if library is None or library.origin is None:
        raise SystemExit("llama-cpp-python is not installed here")
    (folder / "llama_cpp").symlink_to(Path(library.origin).parent)
    return folder


def _agreement(ours: Sequence[Any], theirs: Sequence[Any]) -> dict[str, Any]:
    """How many cases have the same answer, and by how much log-probabilities differ."""
    differ = [(a, b) for a, b in zip(ours, theirs, strict=True) if a["answer"] != b["answer"]]
    near = sum(_gap(b["logs"]) < NEAR for _, b in differ if b["logs"])
    moved = [
        abs(x - y)
        for a, b in zip(ours, theirs, strict=True)
        for x, y in zip(a["logs"], b["logs"], strict=True)
    ]
    return {
        "cases": len(theirs),
        "same_answers": len(theirs) - len(differ),
        "share_of_same_answers": 1 - len(differ) / len(theirs),
        "differing_that_are_near_ties": near,
        "largest_difference_of_log_probabilities": max(moved, default=None),
        "same_contexts": sum(a["text"] == b["text"] for a, b in zip(ours, theirs, strict=True)),
    }


def _gap(logs: Sequence[float]) -> float:
    best, second = sorted(logs, reverse=True)[:2] if len(logs) > 1 else (math.inf, 0.0)
    return best - second


def _ours(task: str, options: argparse.Namespace) -> tuple[float, list[dict[str, Any]]]:
    with TemporaryDirectory() as folder:
        output = Path(folder) / "cases.jsonl"
        done = run(
            [
                *(sys.executable, "-m", "localprompt", "eval", f"task-{task}.yaml"),
                *("-m", options.model, "--limit", str(options.limit)),
                *("--no-cache", "--no-log", "-q", "--profile", "none"),
                *("--threads", str(options.threads), "-o", str(output)),
            ],
            cwd=HERE,
        )
        rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    cases = sorted((row for row in rows if "case_index" in row), key=lambda r: r["case_index"])
    return done.wall_seconds, [
        {
            "answer": case["answer"] if len(_logs(case)) != 1 else bool(case["greedy"]),
            "logs": _logs(case),
            "text": case["prefix"],
        }
        for case in cases
    ]


def _logs(case: dict[str, Any]) -> list[float]:
    return list((case.get("log_probabilities") or {}).values())


def _theirs(
    task: str, python: Path, weights: str, options: argparse.Namespace
) -> tuple[float, float, list[dict[str, Any]]]:
    with TemporaryDirectory() as folder:
        output, packages = Path(folder) / "result.json", Path(folder) / "packages"
        packages.mkdir()
        _library(packages)
        done = run(
            [
                *(str(python), str(HERE / "lm_eval_model.py"), f"task-{task}.yaml", weights),
                *(str(options.threads), str(options.limit), str(output)),
            ],
            cwd=HERE,
            env={"PYTHONPATH": str(packages), "HF_HUB_OFFLINE": "1", "HF_HOME": folder},
        )
        found = json.loads(output.read_text(encoding="utf-8"))
    return done.wall_seconds, found["seconds"], found["cases"]


def _install() -> Path:
    """The Python of an environment with lm-eval, made now or earlier."""
    folder = cache() / "lm-eval"
    python = folder / "bin" / "python"
    if not python.is_file():
        say(f"Installing {LM_EVAL}.")
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        run([str(python), "-m", "pip", "install", "--quiet", LM_EVAL, *SERVER])
    return python


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-m", "--model", default="smollm2-135m")
    parser.add_argument("-n", "--pairs", type=int, default=3)
    parser.add_argument("-t", "--task", action="append", choices=TASKS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, default=1_000_000, help="only the first N rows")
    parser.add_argument("--server", type=int, default=0, metavar="ROWS")
    parser.add_argument("--lm-eval", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    options.task = options.task or list(TASKS)
    return options


if __name__ == "__main__":
    main()
