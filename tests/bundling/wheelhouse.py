"""Wheels of a few bytes, and the running pip as the wheel that it once was."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

TAG = "py3-none-any"


def write_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, bytes] | None = None,
    tag: str = TAG,
    more: str = "",
) -> Path:
    """A wheel with these files; ``more`` are further lines of its metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata_lines = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}"
    wheel_lines = f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {tag}\n"
    content = {
        **(files or {}),
        f"{info}/METADATA": metadata_lines.encode(),
        f"{info}/WHEEL": wheel_lines.encode(),
    }
    path = folder / f"{name}-{version}-{tag}.whl"
    record = "".join(f"{file},,\n" for file in [*content, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in {**content, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(file), data)
    return path


def pip_wheel(folder: Path) -> Path:
    """The pip of this environment, packed again."""
    pip = metadata.distribution("pip")
    files = {
        str(file): Path(str(file.locate())).read_bytes()
        for file in pip.files or ()
        if file.parts[0] == "pip" and file.suffix != ".pyc"
    }
    return write_wheel(folder, "pip", pip.version, files=files)
