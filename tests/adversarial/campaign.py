"""The campaign: inputs without number through every door, and the counts of what became of them.

    python -m tests.adversarial --seconds 3600 [--seed N] [--area NAME] [--kills N] [--keep FOLDER]

The seed is printed; the same seed and area give the same inputs.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

from tests.adversarial.areas import AREAS
from tests.adversarial.harness import Ran, Tally, Zygote
from tests.adversarial.hostile import MARKUP
from tests.adversarial.inputs import Try, prepare

_FOR_PROGRAMS = frozenset({"--json", "--format", "-f", "--each"})


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
        deadline = None
        for one in AREAS[area](rng, zygote, places):
            # The clock starts with the first input: until then, its area prepares itself.
            deadline = deadline or time.monotonic() + seconds
            if time.monotonic() > deadline or (inputs is not None and tally.tried >= inputs):
                break
            patience = 5.0 if one.long else 20.0
            ran = zygote.run(*one.arguments, stdin=one.stdin, seconds=patience, page=one.page)
            exported = one.page or not _FOR_PROGRAMS.isdisjoint(one.arguments)
            fault = ran.fault(long=one.long, exported=exported)
            fault = "markup" if _markup(zygote.work) else fault
            kept = _kept(one, ran, keep / f"{area}-{tally.tried}") if keep and fault else None
            tally.add(ran, one.arguments, fault, kept=kept)
    return tally


def _kept(one: Try, ran: Ran, place: Path) -> str:
    """Where the input lies now: its file, and beside it a JSON file with all the rest."""
    place.parent.mkdir(parents=True, exist_ok=True)
    said = {"arguments": one.arguments, "stdin": one.stdin, "page": one.page, "err": ran.err}
    place.with_suffix(".json").write_text(json.dumps(said, indent=1))
    if one.file is not None and one.file.is_file():
        shutil.copy(one.file, place.with_suffix(f".input{one.file.suffix}"))
    return str(place)


def _markup(folder: Path) -> bool:
    """Whether a page that was written has markup of a stranger's; pages are taken away."""
    found = False
    for page in folder.glob("*.html"):
        if page.is_file():
            found |= MARKUP in page.read_text(encoding="utf-8", errors="replace")
            page.unlink()
    return found
