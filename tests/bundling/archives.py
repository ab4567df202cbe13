"""Writes archives member by member, right ones and wrong ones."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from localprompt.bundling import archive
from localprompt.bundling.check import read_bundle
from localprompt.bundling.manifest import encode
from localprompt.bundling.rules import DIGEST, MANIFEST, digest_line
from localprompt.records.bundle import BundleFile, Manifest


def bill(components: tuple[dict[str, Any], ...] = ()) -> bytes:
    """A bill of materials of these."""
    return msgspec.json.encode(
        {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components}
    )


GOOD = {"home/prompts/a.txt": b"one", "sbom.cdx.json": bill()}


def listed(files: Mapping[str, bytes]) -> tuple[BundleFile, ...]:
    """Files as a manifest has them."""
    return tuple(
        BundleFile(path, len(content), hashlib.sha256(content).hexdigest())
        for path, content in files.items()
    )


def manifest_of(files: Mapping[str, bytes], **changes: Any) -> bytes:
    manifest = Manifest(localprompt="0.1.0", files=listed(files))
    return encode(msgspec.structs.replace(manifest, **changes))


def packed(*parts: tuple[str, bytes], top: str = "kit/") -> bytes:
    """An archive of these files, in this order; a manifest brings its digest."""
    if parts[0][0] == MANIFEST:
        parts = (parts[0], (DIGEST, digest_line(parts[0][1])), *parts[1:])
    blocks = [
        archive.header(top + path, len(content), executable=False)
        + content
        + archive.padding(len(content))
        for path, content in parts
    ]
    return b"".join(blocks) + archive.END


def with_member(info: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """A good archive with one more member of any kind, as Python's own library writes it."""
    good = packed((MANIFEST, manifest_of(GOOD)), *GOOD.items()).removesuffix(archive.END)
    buffer = io.BytesIO()
    form = tarfile.USTAR_FORMAT if info.isreg() else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        info.mtime = info.mtime or archive._MTIME
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return good + buffer.getvalue()


def read(folder: Path, data: bytes) -> Manifest:
    """What comes of reading these bytes as a bundle."""
    path = folder / "read.tar"
    path.write_bytes(data)
    return read_bundle(path).manifest
