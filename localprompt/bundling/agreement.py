"""Whether the files of a bundle agree with each other.

The manifest's hashes say that nothing was changed since it was written; they say nothing about who
wrote it. Somebody who renews them can put other weights beside a card, or empty the bill of
materials. So the small files that speak about others are opened and compared: each model's card
with its weights, the bill of materials with both and with every wheel, the list of what is
installed with the wheels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from localprompt import doors
from localprompt.bundling.sbom import INSIDE
from localprompt.bundling.sbom import PATH as BILL
from localprompt.errors import ChecksumError, InputError, MachineError
from localprompt.models.cards import card_from
from localprompt.records.bundle import Manifest

REQUIREMENTS = "requirements.txt"
_MOST_BYTES = 16 << 20
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def speaks_of_others(path: str) -> bool:
    """Whether a file of a bundle is one that :func:`check_agreement` reads."""
    in_models = path.startswith("home/models/") and path.endswith(".toml")
    return in_models or path in {BILL, REQUIREMENTS}


def check_agreement(manifest: Manifest, texts: Mapping[str, bytes], where: str) -> None:
    """Cards, bill of materials and requirements are about the files of this bundle.

    Args:
        manifest: whose hashes were found to be right.
        texts: the content of the files that :func:`speaks_of_others`.
        where: the bundle, for the error.

    Raises:
        ChecksumError: one describes another file than the bundle has.
        MachineError: one cannot be read, is missing, or is about nothing in the bundle.
    """
    weights = _check_cards(manifest, texts, where)
    wheels = {file.path: file.sha256 for file in manifest.files if file.path.endswith(".whl")}
    _check_bill(texts.get(BILL), weights, wheels, where)
    if wheels or REQUIREMENTS in texts:
        listed = set(_HASH.findall(texts.get(REQUIREMENTS, b"").decode("utf-8", "replace")))
        if listed != set(wheels.values()):
            raise ChecksumError(
                "the bundle would install packages that it does not contain",
                where=f"{where}: {REQUIREMENTS}",
                expected=f"the sha256 of {len(wheels)} wheels",
                found=f"{len(listed & set(wheels.values()))} of them, and "
                f"{len(listed - set(wheels.values()))} others",
            )


def _check_cards(manifest: Manifest, texts: Mapping[str, bytes], where: str) -> dict[str, str]:
    """Each model's card is one and is of weights in the bundle; their sha256 by its name."""
    hashes = {file.path: file.sha256 for file in manifest.files}
    found: dict[str, str] = {}
    described: set[str] = set()
    for model in manifest.models:
        place = f"home/models/{model.name}.toml"
        try:
            card = card_from(texts.get(place, b""), f"{where}: {place}", model.name)
        except InputError as error:
            raise MachineError(
                f"the bundle's card of {model.name} cannot be used",
                where=error.where,
                expected=error.expected,
                found=error.found or error.message,
            ) from error
        weights = f"home/models/{card.file}"
        if card.path is not None or hashes.get(weights) != card.sha256:
            raise ChecksumError(
                f"the bundle's card of {model.name} does not match its weights",
                where=f"{where}: {place}",
                expected=f"sha256 {card.sha256}",
                found=hashes.get(weights, "no such file"),
            )
        if card.licence != model.licence:
            raise ChecksumError(
                f"the bundle's card of {model.name} has different licence terms than its manifest",
                where=f"{where}: {place}",
                expected=model.licence.name,
                found=card.licence.name,
            )
        described |= {place, weights}
        found[model.name] = card.sha256
    in_store = {path for path in hashes if path.startswith("home/models/")}
    if more := sorted(in_store - described):
        raise MachineError(
            "the bundle has a card or weights of a model that it does not list",
            where=f"{where}: {more[0]}",
        )
    return found


def _check_bill(
    text: bytes | None, weights: Mapping[str, str], wheels: Mapping[str, str], where: str
) -> None:
    """Every model and every wheel is a component with its sha256; a library inside a wheel may be
    one, too, and nothing else is."""
    place = f"{where}: {BILL}"
    try:
        bill = doors.parse_json((text or b"")[:_MOST_BYTES])
        subjects = [(*_subject(component), component) for component in bill["components"]]
        listed = {
            (kind, name): _sha256(component)
            for kind, name, component in subjects
            if not (kind == "wheel" and name.partition(INSIDE)[0] in wheels and INSIDE in name)
        }
        if bill["bomFormat"] != "CycloneDX" or bill["specVersion"] != "1.6":
            raise ValueError("not CycloneDX 1.6")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as cause:
        raise MachineError(
            "the bundle's bill of materials cannot be read",
            where=place,
            expected="CycloneDX 1.6 in JSON",
            found="no such file" if text is None else f"{type(cause).__name__}: {cause}"[:200],
        ) from cause
    expected = {("model", name): sha256 for name, sha256 in weights.items()}
    expected |= {("wheel", path): sha256 for path, sha256 in wheels.items()}
    if listed != expected:
        differing = sorted({key for key, _ in listed.items() ^ expected.items()})
        raise ChecksumError(
            "the bundle's bill of materials does not match its files",
            where=place,
            expected=f"{len(expected)} components with the sha256 of the bundle's files",
            found=f"a difference in {differing[0][1]}",
        )


def _subject(component: Any) -> tuple[str, str]:
    if component["type"] == "machine-learning-model":
        return "model", str(component["name"])
    paths = [p["value"] for p in component["properties"] if p["name"] == "localprompt:path"]
    return "wheel", str(paths[0])


def _sha256(component: Any) -> str:
    (only,) = component["hashes"]
    return str(only["content"]) if only["alg"] == "SHA-256" else ""
