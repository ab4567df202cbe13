"""Readings of a machine, judged."""

from __future__ import annotations

import pytest

from localprompt import doctor as checkup
from localprompt.measure.memory import AvailableMemory
from localprompt.records.run import Machine, RunWarning
from localprompt.units import GIB, MIB
from tests.sample_runs import make_run


def facts(**changes: object) -> Machine:
    import msgspec

    machine = make_run().machine
    plain = {"physical_cores": 4, "logical_cores": 8, "usable_cores": None}
    return msgspec.structs.replace(machine, **{**plain, **changes})


def free(
    available: int, *, limit: int | None = None, swapped: int | None = None
) -> AvailableMemory:
    return AvailableMemory(16 * GIB, limit, available, None, swapped)


def test_a_build_that_leaves_instructions_unused_is_built_anew_with_one_command() -> None:
    found = checkup.of_build(("AVX", "AVX2"), {"avx", "avx2", "avx512f", "sse2"})
    assert found.level == "slow"
    assert found.text == "AVX, AVX2; this CPU also has AVX512"
    assert found.command.endswith(" -m localprompt.compiling --again")


@pytest.mark.parametrize("flags", [None, set(), {"avx", "avx2", "fpu"}])
def test_a_build_that_uses_what_there_is_is_fine(flags: set[str] | None) -> None:
    found = checkup.of_build(("AVX", "AVX2", "REPACK"), flags)
    assert (found.level, found.command) == ("ok", "")


def test_a_build_without_vectors_is_slow_whatever_is_known_of_the_cpu() -> None:
    assert checkup.of_build((), None).level == "slow"


def test_cores_that_a_container_keeps_back_are_named() -> None:
    kept = checkup.of_cores(facts(usable_cores=1.5), 1)
    assert kept.level == "slow"
    assert kept.text == "4 physical, 8 logical, 1.5 usable here; 1 thread by default"
    assert checkup.of_cores(facts(), 4).level == "ok"
    assert checkup.of_cores(facts(usable_cores=4), 4).level == "ok"


def test_little_memory_and_much_swap_are_slow() -> None:
    (fine,) = checkup.of_memory(free(8 * GIB, swapped=MIB))
    assert (fine.level, fine.text) == ("ok", "8.00 GiB free of 16.0 GiB")
    tight, swap = checkup.of_memory(free(GIB // 2, limit=GIB, swapped=GIB))
    assert tight.level == swap.level == "slow"
    assert tight.text == "512 MiB free of 1.00 GiB (the container's limit)"
    assert swap.command == ""
    _, back = checkup.of_memory(free(8 * GIB, swapped=GIB))
    assert back.command == "sudo swapoff -a && sudo swapon -a"


def test_a_model_that_does_not_fit_comes_with_the_command_that_makes_it_fit() -> None:
    peaks = {"small": 200 * MIB, "large": 9 * GIB}
    found = checkup.of_models(peaks, 4096, 2 * GIB)
    assert found.level == "slow"
    assert "large 9.00 GiB (does not fit)" in found.text
    assert "small 200 MiB," in found.text
    assert "estimated" in found.text
    assert found.command == "localprompt ask -m large --max-memory 2048MiB 'Hello'"
    assert checkup.of_models(peaks, 4096, None).level == "ok"


@pytest.mark.parametrize(
    ("governor", "level"),
    [("performance", "ok"), ("schedutil", "ok"), ("powersave", "slow"), ("a+powersave", "slow")],
)
def test_a_governor_that_saves_power_is_slow(governor: str, level: str) -> None:
    (found,) = checkup.of_power(facts(governor=governor, on_battery=False))
    assert found.level == level
    assert bool(found.command) is (level == "slow")


def test_a_battery_is_said_and_no_governor_is_no_news() -> None:
    (found,) = checkup.of_power(facts(governor=None, on_battery=True))
    assert (found.name, found.level) == ("power", "slow")


def test_a_full_and_a_rotating_disk_are_slow() -> None:
    assert checkup.of_disk("home", 9 * GIB, None).level == "ok"
    assert checkup.of_disk("home", MIB, None).advice.startswith("free some space")
    rotating = checkup.of_disk("home", 9 * GIB, rotating=True)
    assert rotating.level == "slow"
    assert "LOCALPROMPT_HOME=" in rotating.command


def test_other_load_is_passed_on_and_the_battery_said_once() -> None:
    busy = RunWarning("other_load", "other programs kept 1.0 cores busy", "close them")
    (found,) = checkup.of_others([busy, RunWarning("on_battery", "on battery", "plug it in")])
    assert (found.text, found.level, found.advice) == (busy.message, "slow", "close them")
