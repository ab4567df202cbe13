"""What computing on one's own machine costs: its electricity. An estimate, with its assumptions.

Nobody bills a laptop by the second. What is spent is power: so many watts for each busy core, the
rest of the machine included in proportion, at a household's price. Both are ranges wide enough for
most laptops and most countries; ratios between two ways do not depend on them.
"""

from __future__ import annotations

from localprompt.stats.ranges import Range

WATTS_PER_BUSY_CORE = Range(3.0, 8.0, 20.0)
"""From an efficient laptop to an older desktop."""
USD_PER_KWH = Range(0.08, 0.20, 0.45)


def usd_of(cpu_seconds: float) -> Range:
    """The electricity of so many seconds of one busy core."""
    hours = cpu_seconds / 3600 / 1000
    return Range(
        hours * WATTS_PER_BUSY_CORE.low * USD_PER_KWH.low,
        hours * WATTS_PER_BUSY_CORE.typical * USD_PER_KWH.typical,
        hours * WATTS_PER_BUSY_CORE.high * USD_PER_KWH.high,
    )
