"""Reasons to doubt a measurement, each with what to do about it.

Pure: samples and readings in, :class:`~localprompt.records.run.RunWarning` out. A warning is data
that is stored with the figures and shown beside them; it never changes or removes a sample. Every
threshold stands below with its reason, and a warning says the figure that crossed it.

    sample_warnings      one quantity's samples: slow first run, outliers, noise, drift
    condition_warnings   two readings around the work: heat, load, swap, battery, sleep, quota
    frequency_warnings   the CPU's frequency at the end of each repetition
"""

from __future__ import annotations

from collections.abc import Sequence

from localprompt.measure.conditions import Conditions, throttled
from localprompt.measure.memory import MemoryReading
from localprompt.records.run import RunWarning
from localprompt.stats.samples import median, robust_spread, trend
from localprompt.units import format_bytes, format_seconds

FEWEST_SAMPLES = 5
"""Below, spread and outliers cannot be told apart."""
NOISY_SPREAD = 0.05
"""Robust standard deviation over median: beyond, a difference of 5 % drowns."""
NOTABLE_SHARE = 0.05
"""What deviates less from the median than this is no news, however unlikely it is."""
OUTLIER_DEVIATIONS = 10.0
"""Robust standard deviations, as hyperfine has it: times are skewed, and the 3.5 of Iglewicz and
Hoaglin (1993), meant for normal samples, would flag every second bench."""
FIRST_RUN_DEVIATIONS = 3.5
"""The first run is one suspect named beforehand, so Iglewicz and Hoaglin's threshold fits."""
DRIFT_P_VALUE = 0.01
"""A bench tests many cells: at 0.05 each twentieth would drift by chance."""
OTHER_LOAD_CORES = 0.2
"""CPU time of others, in cores: a fifth of one thread, and the others wait for that thread."""
STOLEN_SHARE = 0.02
"""Of one core's time."""
FREQUENCY_SHARE = 0.10
"""Slowest repetition against the fastest."""
SLEPT_SECONDS = 0.5
"""The two clocks are read one after the other and agree to microseconds."""
QUOTA_SHARE = 0.01
"""Of the time between two readings."""


def sample_warnings(samples: Sequence[float], what: str) -> tuple[RunWarning, ...]:
    """What one quantity's samples, in their order, give reason to doubt.

    ``what`` names the quantity in the message, as ``TTFT``. Warm-up repetitions, which are not
    samples, are left out by the caller.
    """
    if len(samples) < FEWEST_SAMPLES or median(samples) <= 0:
        return ()
    first = _slow_first(samples, what)
    # A slow start is said once: not again as an outlier, nor as a drift towards faster.
    steady = samples[1:] if first else samples
    found = (first, _outliers(steady, what), _noise(steady, what), _drift(steady, what))
    return tuple(warning for warning in found if warning)


def condition_warnings(
    before: Conditions, after: Conditions, memory: MemoryReading | None = None
) -> tuple[RunWarning, ...]:
    """What happened between two readings that the working process took around its work.

    ``memory`` is its reading at the end, for memory of its own in swap.
    """
    found = (
        _throttled(before, after),
        _battery(after),
        _other_load(before, after),
        _stolen(before, after),
        _quota(before, after),
        _swap(before, after, memory),
        _slept(before, after),
    )
    return tuple(warning for warning in found if warning)


def frequency_warnings(frequencies_hertz: Sequence[float | None]) -> tuple[RunWarning, ...]:
    """Whether repetitions ran at different frequencies; one reading at the end of each."""
    known = [frequency for frequency in frequencies_hertz if frequency]
    if len(known) < 2 or min(known) >= max(known) * (1 - FREQUENCY_SHARE):
        return ()
    return (
        RunWarning(
            code="frequency_change",
            message=f"the CPU ran at {min(known) / 1e9:.2f} to {max(known) / 1e9:.2f} GHz",
            advice="fix the frequency (governor performance, turbo off), or let the machine cool",
        ),
    )


def _slow_first(samples: Sequence[float], what: str) -> RunWarning | None:
    first, rest = samples[0], samples[1:]
    usual = median(rest)
    excess = first - usual
    if excess < NOTABLE_SHARE * usual or excess < FIRST_RUN_DEVIATIONS * robust_spread(rest):
        return None
    if first <= max(rest):
        return None
    return RunWarning(
        code="slow_first_run",
        message=f"{what}: the first run took {first / usual:.2f} times the median of the others",
        advice="add a warm-up; caches and the page cache were not filled",
    )


def _outliers(samples: Sequence[float], what: str) -> RunWarning | None:
    usual, spread = median(samples), robust_spread(samples)
    far = max(OUTLIER_DEVIATIONS * spread, NOTABLE_SHARE * usual)
    count = sum(abs(sample - usual) > far for sample in samples)
    if not count:
        return None
    return RunWarning(
        code="outliers",
        message=f"{what}: {count} of {len(samples)} samples lie far from the others",
        advice="read the median, not the mean; close other programs and repeat",
    )


def _noise(samples: Sequence[float], what: str) -> RunWarning | None:
    share = robust_spread(samples) / median(samples)
    if share <= NOISY_SPREAD:
        return None
    return RunWarning(
        code="noisy",
        message=f"{what}: samples vary by {share:.0%} of their median",
        advice="close other programs, use at most one thread per physical core, repeat more often",
    )


def _drift(samples: Sequence[float], what: str) -> RunWarning | None:
    found = trend(samples)
    if found is None or found.p_value > DRIFT_P_VALUE:
        return None
    share = found.change / median(samples)
    if abs(share) < NOTABLE_SHARE:
        return None
    return RunWarning(
        code="drift",
        message=f"{what}: samples moved by {share:+.0%} from first to last (p {found.p_value:.2g})",
        advice="let the machine reach a steady temperature, or pause between repetitions",
    )


def _throttled(before: Conditions, after: Conditions) -> RunWarning | None:
    if not throttled(before, after):
        return None
    return RunWarning(
        code="throttled",
        message="the CPU was slowed down by heat",
        advice="let it cool down, improve its cooling or use fewer threads",
    )


def _battery(after: Conditions) -> RunWarning | None:
    if not after.on_battery:
        return None
    return RunWarning(
        code="on_battery",
        message="the machine is running on battery",
        advice="plug it in: most machines lower their frequency on battery",
    )


def _other_load(before: Conditions, after: Conditions) -> RunWarning | None:
    elapsed = after.monotonic_seconds - before.monotonic_seconds
    if before.busy_seconds is None or after.busy_seconds is None or elapsed <= 0:
        return None
    all_seconds = after.busy_seconds - before.busy_seconds
    # The kernel counts everybody's time in ticks of 10 ms: what a few ticks may hide is no load.
    others = all_seconds - (after.own_seconds - before.own_seconds) - 0.02
    if others / elapsed <= OTHER_LOAD_CORES:
        return None
    return RunWarning(
        code="other_load",
        message=f"other programs kept {others / elapsed:.1f} cores busy",
        advice="close them and repeat",
    )


def _stolen(before: Conditions, after: Conditions) -> RunWarning | None:
    elapsed = after.monotonic_seconds - before.monotonic_seconds
    if before.stolen_seconds is None or after.stolen_seconds is None or elapsed <= 0:
        return None
    stolen = after.stolen_seconds - before.stolen_seconds
    if stolen <= 0.02 or stolen / elapsed <= STOLEN_SHARE:
        return None
    return RunWarning(
        code="stolen_time",
        message=f"the hypervisor gave {format_seconds(stolen)} of CPU time to other machines",
        advice="repeat at a quieter time, or measure on a machine that is not shared",
    )


def _quota(before: Conditions, after: Conditions) -> RunWarning | None:
    elapsed = after.monotonic_seconds - before.monotonic_seconds
    if before.quota_wait_seconds is None or after.quota_wait_seconds is None:
        return None
    waited = after.quota_wait_seconds - before.quota_wait_seconds
    if waited <= QUOTA_SHARE * elapsed:
        return None
    return RunWarning(
        code="cpu_quota",
        message=f"the container's CPU quota made threads wait for {format_seconds(waited)}",
        advice="use no more threads than the quota has cores, or raise it",
    )


def _swap(before: Conditions, after: Conditions, memory: MemoryReading | None) -> RunWarning | None:
    advice = "close other programs, or use a smaller model, n_ctx or KV cache type"
    own = memory.swapped_bytes if memory else None
    if own:
        message = f"{format_bytes(own)} of this process were in swap"
        return RunWarning(code="swap", message=message, advice=advice)
    if before.swap_traffic_bytes is None or after.swap_traffic_bytes is None:
        return None
    moved = after.swap_traffic_bytes - before.swap_traffic_bytes
    if moved <= 0:
        return None
    message = f"the machine moved {format_bytes(moved)} between memory and swap"
    return RunWarning(code="swap", message=message, advice=advice)


def _slept(before: Conditions, after: Conditions) -> RunWarning | None:
    if before.slept_seconds is None or after.slept_seconds is None:
        return None
    slept = after.slept_seconds - before.slept_seconds
    if slept < SLEPT_SECONDS:
        return None
    return RunWarning(
        code="clock_gap",
        message=f"the machine slept for {format_seconds(slept)} in between",
        advice="repeat these measurements; memory and caches may have been cold after it",
    )
