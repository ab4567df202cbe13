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

GOOD = {"home/prompts/a.txt": b"one", "sbom.cdx.json": b"{}"}


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
    """A good archive by Python's own library, with one more member of any kind."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        manifest = manifest_of(GOOD)
        first = ((MANIFEST, manifest), (DIGEST, digest_line(manifest)))
        for path, data in (*first, *GOOD.items()):
            plain = tarfile.TarInfo(f"kit/{path}")
            plain.size = len(data)
            tar.addfile(plain, io.BytesIO(data))
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read(folder: Path, data: bytes) -> Manifest:
    """What comes of reading these bytes as a bundle."""
    path = folder / "read.tar"
    path.write_bytes(data)
    return read_bundle(path).manifest
