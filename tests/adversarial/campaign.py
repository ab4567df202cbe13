"""The campaign: inputs without number through every door, and the counts of what became of them.

    python -m tests.adversarial --seconds 3600 [--seed N] [--area NAME] [--kills N] [--keep FOLDER]

The seed is printed; the same seed and area give the same inputs.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from tests.adversarial.areas import AREAS
from tests.adversarial.harness import Tally, Zygote
from tests.adversarial.hostile import MARKUP
from tests.adversarial.inputs import prepare


def campaign(
    area: str,
    folder: Path,
    *,
    seed: int,
    seconds: float,
    inputs: int | None = None,
    keep: Path | None = None,
) -> Tally:
    """Try inputs of one area.

    Args:
        folder: where it may write; a home and a working folder of its own are made there.
        seconds: for so long, or until so many ``inputs`` were tried.
        keep: where the files of inputs go that were not withstood.
    """
    tally = Tally()
    rng = random.Random(f"{area} {seed}")
    with Zygote(folder) as zygote:
        places = prepare(zygote)
        deadline = time.monotonic() + seconds
        for one in AREAS[area](rng, zygote, places):
            if time.monotonic() > deadline or (inputs is not None and tally.tried >= inputs):
                break
            patience = 5.0 if one.long else 20.0
            ran = zygote.run(*one.arguments, stdin=one.stdin, seconds=patience, page=one.page)
            kept = None
            if ran.fault(long=one.long) and keep is not None and one.file is not None:
                keep.mkdir(parents=True, exist_ok=True)
                kept = str(keep / f"{area.replace(' ', '-')}-{tally.tried}{one.file.suffix}")
                if one.file.is_file():
                    shutil.copy(one.file, kept)
            tally.add(ran, one.arguments, long=one.long, kept=kept, markup=_markup(zygote.work))
    return tally


def _markup(folder: Path) -> bool:
    """Whether a page that was written has markup of a stranger's; pages are taken away."""
    found = False
    for page in folder.glob("*.html"):
        if page.is_file():
            found |= MARKUP in page.read_text(encoding="utf-8", errors="replace")
            page.unlink()
    return found
