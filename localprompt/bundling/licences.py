"""The terms of everything in a bundle, collected into its ``licences`` folder.

Packages bring their licence files inside their wheels. Of models there is what their card says; the
full text goes along where this package has it (Apache-2.0, which asks for that) or the user gives
it. A text that is missing is said, not passed over: passing weights on usually means passing their
terms on.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path

import msgspec

from localprompt import doors
from localprompt.bundling.contents import PackedModel, Piece, text_piece
from localprompt.bundling.wheels import Wheel
from localprompt.errors import InputError, MachineError
from localprompt.records.run import RunWarning

_FOLDER = "licences"
_TEXTS = Path(__file__).parent / "licence_texts"
_LONGEST_MEMBER = 1000
"""A wheel's member with a longer path than this is not looked at."""
_LICENCE_FILE = re.compile(
    r"[^/]+\.dist-info/(?P<name>(?:.*/)?[^/]*(?:licen[cs]e|copying|notice|authors)[^/]*)",
    re.IGNORECASE,
)
_LONGEST_NAME = 80
"""Of a licence file in the bundle; a longer name loses its beginning."""
_LONGEST_TERMS = 100


class Terms(msgspec.Struct, frozen=True):
    """What a wheel says of its licence."""

    expression: str | None
    """SPDX, where the package gives it so."""
    name: str | None
    """In the package's own words, where not."""


def licence_texts(given: Iterable[str], models: Iterable[PackedModel]) -> dict[str, bytes]:
    """``NAME=FILE`` → the text by the model's name.

    Raises:
        InputError: no such form, no such model in the bundle, or no such file.
    """
    names = {model.card.name for model in models}
    texts: dict[str, bytes] = {}
    for item in given:
        name, _, file = item.partition("=")
        if name not in names or not file:
            raise InputError(
                "not the licence of a model in the bundle",
                where="--license-text",
                expected=f"NAME=FILE, with one of {', '.join(sorted(names)) or 'no models'}",
                found=item,
            )
        try:
            texts[name] = doors.read_bytes(file, doors.MOST_SMALL_BYTES)
        except OSError as cause:
            raise InputError(
                "the licence cannot be read", where=file, found=cause.strerror
            ) from cause
    return texts


def model_pieces(
    models: Iterable[PackedModel], texts: Mapping[str, bytes]
) -> Iterator[Piece | RunWarning]:
    """What is known of each model's terms, and a warning where their text is not among it."""
    for model in models:
        licence, name = model.card.licence, model.card.name
        lines = [f"{name}: {licence.name}", licence.url or "", "", licence.notice]
        yield text_piece(f"{_FOLDER}/models/{name}.txt", ("\n".join(lines).strip() + "\n").encode())
        shipped = _TEXTS / f"{licence.name}.txt"
        if name in texts:
            yield text_piece(f"{_FOLDER}/models/{name}-text.txt", texts[name])
        elif re.fullmatch(r"[A-Za-z0-9.+-]+", licence.name) and shipped.is_file():
            yield text_piece(f"{_FOLDER}/models/{name}-text.txt", shipped.read_bytes())
        else:
            yield RunWarning(
                "licence_text",
                f"the text of {name}'s licence ({licence.name}) is not in the bundle",
                f"--license-text {name}=FILE, where its terms ask for it"
                + (f": {licence.url}" if licence.url else ""),
            )


def wheel_pieces(wheels: Iterable[Wheel]) -> Iterator[Piece]:
    """The licence files inside the wheels; one of llama.cpp's builds stands for all."""
    done: set[str] = set()
    for wheel in wheels:
        if wheel.name in done:
            continue
        done.add(wheel.name)
        folder = f"{_FOLDER}/packages/{wheel.name}-{wheel.version}"
        with opened(wheel.file) as archive:
            for member in sorted(archive.namelist()):
                if len(member) > _LONGEST_MEMBER:
                    continue
                if match := _LICENCE_FILE.fullmatch(member):
                    flat = match["name"].removeprefix("licenses/").replace("/", "-")
                    yield text_piece(f"{folder}/{flat[-_LONGEST_NAME:]}", archive.read(member))


def terms_of(wheel: Path) -> Terms:
    """What a wheel's metadata say: an SPDX expression, or else a short name.

    Raises:
        MachineError: the wheel cannot be read.
    """
    with opened(wheel) as archive:
        name = next((n for n in archive.namelist() if n.endswith(".dist-info/METADATA")), None)
        text = archive.read(name).decode("utf-8", "replace") if name else ""
    fields = HeaderParser().parsestr(text)
    words = " ".join((fields.get("License") or "").split())
    classified = [
        value.rsplit(" :: ", 1)[1]
        for value in fields.get_all("Classifier", [])
        if value.startswith("License :: ") and value.count(" :: ") > 1
    ]
    short = words if 0 < len(words) <= _LONGEST_TERMS else " and ".join(classified)
    return Terms(fields.get("License-Expression"), short or None)


_SPDX = {
    name.casefold(): name
    for name in (
        "0BSD", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause",
        "BSD-3-Clause", "BSL-1.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-SA-4.0",
        "CC0-1.0", "CDLA-Permissive-2.0", "EPL-2.0", "GPL-2.0-only", "GPL-2.0-or-later",
        "GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-only", "LGPL-2.1-or-later",
        "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Unlicense",
        "Zlib", "ZPL-2.1",
    )
}  # fmt: skip
"""Identifiers of SPDX that packages and weights name, as written and as compared."""
_ALSO_CALLED = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
"""Only names that can mean one licence: "BSD License" stays as it is."""


def spdx_id(name: str) -> str | None:
    """The identifier that SPDX has for a licence's name; None where it has none that is certain."""
    words = name.strip().casefold()
    return _SPDX.get(words) or _ALSO_CALLED.get(words)


def opened(wheel: Path) -> zipfile.ZipFile:
    """A wheel to read from.

    Raises:
        MachineError: it cannot be read.
    """
    try:
        return zipfile.ZipFile(wheel)
    except (OSError, zipfile.BadZipFile) as cause:
        raise MachineError(
            "the wheel cannot be read", where=str(wheel), found=str(cause)
        ) from cause
