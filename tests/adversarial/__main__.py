"""``make fuzz``: the whole campaign from the command line."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.adversarial.areas import AREAS
from tests.adversarial.campaign import campaign
from tests.adversarial.kills import WRITERS, kill_writers


def main() -> int:
    """Run all areas, or one; 1 where an input was not withstood."""
    parser = argparse.ArgumentParser(prog="python -m tests.adversarial")
    parser.add_argument("--seconds", type=float, default=3600.0, help="for all areas together")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    parser.add_argument("--area", choices=list(AREAS), action="append")
    parser.add_argument("--inputs", type=int, help="at most so many of each area")
    parser.add_argument("--kills", type=int, default=100, help="of writers (%(default)s)")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    given = parser.parse_args()
    chosen = given.area or list(AREAS)
    print(f"seed {given.seed}", flush=True)
    faults = tried = 0
    deadline = time.monotonic() + given.seconds
    for number, area in enumerate(chosen):
        # What one leaves of its time the others share.
        seconds = (deadline - time.monotonic()) / (len(chosen) - number)
        with tempfile.TemporaryDirectory(prefix="localprompt-fuzz-") as folder:
            tally = campaign(
                area,
                Path(folder),
                seed=given.seed,
                seconds=seconds,
                inputs=given.inputs,
                keep=given.keep,
            )
        print(f"{area}: {tally}", flush=True)
        tried += tally.tried
        for fault in tally.faults:
            faults += 1
            print(f"  {fault.kind}: {[a[:120] for a in fault.arguments]} {fault.kept or ''}")
            for line in fault.err.strip().splitlines()[-4:]:
                print(f"    {line[:200]}")
    print(f"{tried} tried, {faults} not withstood", flush=True)
    return 1 if not _killed(given.seed, given.kills) or faults else 0


def _killed(seed: int, kills: int) -> bool:
    """Whether all that killed writers left was whole."""
    if not kills:
        return True
    with tempfile.TemporaryDirectory(prefix="localprompt-fuzz-") as folder:
        try:
            before = kill_writers(Path(folder), seed=seed, kills=kills)
        except AssertionError as error:
            print(f"kills: {error}")
            return False
    print(f"kills: {kills} of {len(WRITERS)} writers, {sum(before.values())} before the end")
    return True


if __name__ == "__main__":
    sys.exit(main())
