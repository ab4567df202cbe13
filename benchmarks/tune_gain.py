"""What a profile gives: cases/s of an evaluation with it and without, in turn.

    python benchmarks/tune_gain.py [--tune] [-m MODEL] [-n 3] [-o RESULT.json]

``--tune`` makes the profile first and notes how long that took; otherwise the model's own profile
on this machine is used. The evaluations take turns (with, without, with, …), answer everything
anew, and are counted by their own wall times, in which loading is not contained. Run it on a quiet
machine, with a LOCALPROMPT_HOME of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localprompt.measure import machine
from localprompt.stats.paired import compare_passes
from localprompt.store.history import History

SUITE = "benchmarks/sentiment.yaml"
LOCALPROMPT = str(Path(sys.executable).with_name("localprompt"))


def main() -> None:
    options = _options()
    tuning = _tuned(options.model) if options.tune else None
    rounds = [
        {side: _evaluated(options.model, side) for side in ("default", "none")}
        for _ in range(options.n)
    ]
    ratios = sorted(
        r["default"]["cases_per_second"] / r["none"]["cases_per_second"] for r in rounds
    )
    facts = machine.describe()
    result = {
        "what": f"cases/s of {SUITE} with the profile of {options.model} and without, in turn",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": facts.cpu, "cores": facts.physical_cores, "os": facts.os},
        "target": "at least 1.8 times, no loss shown; tuning within 360 s",
        "ratio": {"median": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1]},
        "n": len(ratios),
        "cases": _paired(rounds[0]),  # the first round; greedy answers hardly differ after it
        "tuning": tuning,
        "rounds": [
            {side: {k: v for k, v in one.items() if k != "passed"} for side, one in both.items()}
            for both in rounds
        ],
    }
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    print(text)


def _tuned(model: str) -> dict[str, Any]:
    """Tune, and keep what was chosen and how long it took."""
    started = time.monotonic()
    command = [LOCALPROMPT, "tune", model, "--suite", SUITE, "--format", "json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall = time.monotonic() - started
    found = json.loads(done.stdout)
    chosen = next((t for t in found["trials"] if t["key"] == found["chosen"]), None)
    return {
        "wall_seconds": wall,
        "trials": len(found["trials"]),
        "chosen": chosen and {"model": chosen["model"]["name"], "changes": chosen["changes"]},
        "speed_up_of_one_request": found["speed_up"],
    }


def _evaluated(model: str, profile: str) -> dict[str, Any]:
    command = [LOCALPROMPT, "eval", SUITE, "-m", model, "--no-cache", "--quiet", "-f", "json"]
    command += ["--scoring", "generate"]  # as tune itself asks, and as run answers
    if profile == "none":
        command += ["--profile", "none"]
    subprocess.run(command, capture_output=True, check=True)
    with History(read_only=True) as store:
        evaluation = store.evaluation("last")
        uses = store.uses(evaluation.id)
        passed = [result.score.passed is True for result in store.results(evaluation.id)]
    target = evaluation.targets[0]
    return {
        "model": target.model.name,
        "profile": target.profile.name if target.profile else None,
        "cases_per_second": sum(u.answered for u in uses) / sum(u.wall_seconds for u in uses),
        "passed": passed,
    }


def _paired(sides: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Case by case; the raw verdicts are not kept."""
    without, with_it = (sides[side]["passed"] for side in ("none", "default"))
    found = compare_passes(without, with_it)
    return {
        "n": found.n,
        "passed_without": found.passed_a,
        "passed_with": found.passed_b,
        "broken": found.only_a,
        "repaired": found.only_b,
        "p_value": found.p_value,
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tune", action="store_true", help="make the profile first")
    parser.add_argument("-m", "--model", default="smollm2-135m")
    parser.add_argument("-n", type=int, default=3, help="rounds")
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
