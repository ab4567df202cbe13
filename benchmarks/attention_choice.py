"""The way through attention that ``ask`` chooses, beside each fixed one: CPU seconds of requests.

    python -m benchmarks.attention_choice [-n 5] [--model NAME]

Requests of a prompt and an answer of so many tokens, each asked three ways in turns, in new
processes: as it is chosen, ``--flash-attn``, ``--no-flash-attn``. One thread, and CPU time of the
whole process, loading included, because on a machine that others use a wall clock shows the
others. A ratio above 1 is a request that takes less with the choice. The table is measured before
(it takes seconds, once).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from itertools import product
from statistics import geometric_mean

from localprompt.stats.samples import median

_WAYS = {"chosen": (), "on": ("--flash-attn",), "off": ("--no-flash-attn",)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--prompts", type=int, nargs="*", default=[60, 500, 2000])
    parser.add_argument("--answers", type=int, nargs="*", default=[8, 128])
    arguments = parser.parse_args()
    _asked(arguments.model, 300, 1, ())  # the table
    print("| prompt, answer | way | chosen s | on / chosen | off / chosen | n |")
    print("| --- | --- | --- | --- | --- | --- |")
    ratios: dict[str, list[float]] = {"on": [], "off": []}
    for words, answer in product(arguments.prompts, arguments.answers):
        taken: dict[str, list[float]] = {way: [] for way in _WAYS}
        for _ in range(arguments.n):
            for way, flags in _WAYS.items():
                seconds, record = _asked(arguments.model, words, answer, flags)
                taken[way].append(seconds)
                if way == "chosen":
                    chosen = record
        usual = median(taken["chosen"])
        for way, found in ratios.items():
            found.append(median(taken[way]) / usual)
        print(
            f"| {chosen['tokens']['prompt']}, {chosen['tokens']['completion']} "
            f"| {chosen['settings']['attention']} | {usual:.2f} | {ratios['on'][-1]:.2f} "
            f"| {ratios['off'][-1]:.2f} | {arguments.n} |",
            flush=True,
        )
    for way, found in ratios.items():
        print(f"geometric mean, {way} / chosen: {geometric_mean(found):.2f}")


def _asked(
    model: str, words: int, answer: int, flags: tuple[str, ...]
) -> tuple[float, dict[str, dict[str, object]]]:
    text = " ".join(f"{number % 10}" for number in range(words // 2))
    command = [sys.executable, "-m", "localprompt", "ask", f"{text} Go on.", "-m", model]
    limits = ["--threads", "1", "--max-tokens", str(answer), "--no-log", "--json", "-q"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, *limits, *flags], check=True, capture_output=True, env=os.environ
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, json.loads(done.stdout)


if __name__ == "__main__":
    main()
