"""A few of the campaign's inputs in every run of the tests; ``make fuzz`` takes an hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adversarial.areas import AREAS
from tests.adversarial.campaign import campaign
from tests.adversarial.harness import Ran

SECONDS_OF_AN_AREA = 6.0
INPUTS_OF_AN_AREA = 60
SEED = 20261126
"""The same inputs in each run, so that a change is what breaks it; ``make fuzz`` takes new ones."""


@pytest.mark.slow
@pytest.mark.parametrize("area", AREAS)
def test_whatever_comes_in_is_answered_in_words(area: str, tmp_path: Path) -> None:
    tally = campaign(
        area, tmp_path, seed=SEED, seconds=SECONDS_OF_AN_AREA, inputs=INPUTS_OF_AN_AREA
    )
    faults = [f"{fault.kind}: {fault.arguments}\n{fault.err[-800:]}" for fault in tally.faults]
    again = f"python -m tests.adversarial --seed {SEED} --area '{area}' --seconds 60"
    assert not faults, f"{again}\n" + "\n".join(faults)
    assert tally.tried > 0


@pytest.mark.parametrize(
    ("code", "err", "interrupted", "fault"),
    [
        (0, "", False, None),
        (3, "error: no", False, None),
        (3, "", False, "no words"),
        (-6, "GGML_ASSERT", False, "signal 6"),
        (70, "", False, "exit code 70"),
        (1, "Traceback (most recent call last)", False, "traceback"),
        (130, "interrupted", True, "hang"),
    ],
)
def test_what_counts_as_withstood(
    code: int, err: str, interrupted: bool, fault: str | None
) -> None:
    ran = Ran(code, interrupted, 0.1, 1000, "", err)
    assert ran.fault() == fault
    assert Ran(0, False, 0.1, 3 << 30, "", "").fault() == "memory"
