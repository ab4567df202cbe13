"""A client as a process of its own, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from localprompt.evaluate import runner
from tests.cluster.harness import LOOPBACK, ClusterLab


def main(folder: str, address: str, insecure: str) -> None:
    runner._SECONDS_BETWEEN_SAVES = 0.05
    hosts = LOOPBACK._replace(insecure=insecure == "insecure")
    with ClusterLab(Path(folder), hosts) as lab:
        lab.address = address
        planned = lab.plan()
        print(planned.evaluation.id, file=sys.stderr, flush=True)
        with lab.hands() as hands:
            lab.carry_out(planned, hands)


if __name__ == "__main__":
    main(*sys.argv[1:])
