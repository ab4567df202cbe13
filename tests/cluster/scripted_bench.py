"""The child that benches on a machine, with scripted models."""

from __future__ import annotations

import sys

from localprompt.bench.remote import main
from tests.bench.scripted_worker import COMMAND

MODULE = "tests.cluster.scripted_bench"

if __name__ == "__main__":
    sys.exit(main(COMMAND))
