"""The manifest: what is in a bundle, for which machine, and the size and sha256 of every file.

It is the first file of the archive, so that everything after it can be checked while it is read,
and the only thing that a signature has to cover. It holds no time and no name of a machine: the
same input gives the same bytes.
"""

from __future__ import annotations

import msgspec

from localprompt.bundling.rules import DIGEST, LONGEST_PATH, MANIFEST, SIGNATURE, is_safe_path
from localprompt.errors import MachineError
from localprompt.records.bundle import Manifest
from localprompt.records.json import decode_as

MOST_BYTES = 16 * 1024**2
"""The largest manifest that is read: some 80,000 files."""

HOME = "home/"
"""What lies below goes into the home of the other side; see :func:`goes_home`."""


def encode(manifest: Manifest) -> bytes:
    """Readable JSON, the same bytes for the same content."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(data: bytes, where: str) -> Manifest:
    """A manifest, checked: known version, safe and different paths, nothing foreign in the home.

    Raises:
        MachineError: it is not.
    """
    try:
        manifest = decode_as(data, Manifest)
    except msgspec.DecodeError as cause:
        raise MachineError(
            "the bundle's manifest cannot be read", where=f"{where}: {MANIFEST}", found=str(cause)
        ) from cause
    seen = {MANIFEST, DIGEST, SIGNATURE}
    for file in manifest.files:
        check_path(file.path, where)
        if file.path.casefold() in seen:
            raise MachineError("the bundle names a file twice", where=where, found=repr(file.path))
        seen.add(file.path.casefold())
    return manifest


def check_path(path: str, where: str) -> None:
    """The path is one that a bundle may contain.

    Raises:
        MachineError: absolute, escaping, unprintable, or at a place of the home where no bundle
            may write.
    """
    if not is_safe_path(path):
        raise MachineError(
            "the bundle contains a path that is not safe",
            where=where,
            expected=f"a relative path below the bundle, at most {LONGEST_PATH} bytes",
            found=repr(path),
        )
    if path.startswith(HOME) and goes_home(path) is None:
        raise MachineError(
            "the bundle would write outside the folders that a bundle may write to",
            where=where,
            expected="models, prompts and benchmarks",
            found=repr(path),
        )


def goes_home(path: str) -> str | None:
    """Where below the home a file of the bundle goes; None for those that do not.

    Only cards and weights directly in ``models``, and what lies in ``prompts`` and
    ``benchmarks``: never the history, caches or anything else that localprompt keeps there.
    """
    if not path.startswith(HOME):
        return None
    inside = path.removeprefix(HOME)
    folder, _, rest = inside.partition("/")
    in_models = folder == "models" and "/" not in rest and rest.endswith((".toml", ".gguf"))
    hidden = any(part.startswith(".") for part in rest.split("/"))
    allowed = in_models or folder in {"prompts", "benchmarks"}
    return inside if rest and allowed and not hidden else None
