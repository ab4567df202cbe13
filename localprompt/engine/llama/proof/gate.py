"""Whether a model may be opened here, and with which paths; asked by everything that opens one.

The verdict on a library lies in ``cache/proof`` of ``$LOCALPROMPT_HOME``, under a name that is a
digest of what it depends on: the library's files (size, time, inode), the CPU's model and what
the kernel says that it can do. A home that is used from several machines holds several. A verdict
that cannot be read is made again; one that cannot be written is made again the next time, which
costs a third of a second and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import msgspec

from localprompt import paths
from localprompt.errors import EngineError
from localprompt.measure import machine
from localprompt.records.json import decode_as
from localprompt.records.proof import Proof
from localprompt.records.run import RunWarning

VARIABLE = "LOCALPROMPT_PROOF"
"""``off``: open models without asking."""
VERSION = 1
"""Of the tiny model and of how it is judged."""
WITHOUT_EXTRA = "plain_path"
"""Code of the warning that the paths made for this CPU are not used."""

_OFF = frozenset({"off", "0", "no", "skip"})


def rebuild_command() -> str:
    """What to type so that llama.cpp is built for this CPU, by flags that compute right."""
    from localprompt import compiling  # imported only where somebody has to read it

    return compiling.rebuild_command()


def passed() -> Proof | None:
    """The verdict on the library that is installed; made now if there is none yet.

    Returns:
        None where nobody asks (:data:`VARIABLE`) or nothing could be shown.

    Raises:
        EngineError: not even the plain path computes right.
    """
    proof = verdict()
    if proof is None or proof.plain.wrong is None:
        return proof
    raise EngineError(
        "this build of llama.cpp does not work on this CPU",
        where=str(library_folder()),
        expected="a tiny model computed right",
        found=proof.plain.wrong,
        next_step=f"{rebuild_command()}\n{_OR_SKIP}",
    )


_OR_SKIP = f"            (to try anyway: --force, or {VARIABLE}=off)"


def verdict() -> Proof | None:
    """As :func:`passed`, for those who want to know and not to open anything."""
    if os.environ.get(VARIABLE, "").lower() in _OFF:
        return None
    return _settled(verdict_path())


@cache
def _settled(path: Path) -> Proof | None:
    return _read(path) or _made(path)


def prove_again() -> Proof | None:
    """The verdict made anew, whatever is kept and whoever asks."""
    proof = _made(verdict_path())
    _settled.cache_clear()
    return proof


def remarks() -> tuple[RunWarning, ...]:
    """What has to be said about runs that go on without the extra path."""
    proof = verdict()
    if proof is None or proof.extra.wrong is None:
        return ()
    message = (
        "llama.cpp runs without its kernels for this CPU (repacked weights, AMX): in a test of "
        f"this build {proof.extra.wrong}. Answers are right; reading a prompt may take several "
        "times as long"
    )
    advice = f"{rebuild_command()}\n            (--no-repack stops this warning)"
    return (RunWarning(WITHOUT_EXTRA, message, advice),)


def verdict_path() -> Path:
    return paths.cache_folder() / "proof" / f"{_key()}.json"


def _read(path: Path) -> Proof | None:
    try:
        return decode_as(path.read_bytes(), Proof)
    except (OSError, msgspec.DecodeError):
        return None


def _made(path: Path) -> Proof | None:
    from localprompt.engine.llama.proof.verdict import prove
    from localprompt.files import replace_file

    proof = prove()
    if proof is not None:
        with suppress(OSError):  # doctor says that the home cannot be written
            replace_file(path, msgspec.json.encode(proof))
    return proof


@cache
def library_folder() -> Path | None:
    """Where llama.cpp's libraries lie; found without opening them."""
    spec = find_spec("llama_cpp")
    places = spec.submodule_search_locations if spec else None
    return Path(places[0]) / "lib" if places else None


@cache
def _key() -> str:
    cpu, flags = machine.cpu_identity()
    facts = (VERSION, cpu, sorted(flags or ()), _files())
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:24]


def _files() -> list[tuple[str, int, int, int]]:
    """Which build this is: its files, by what changes when they are replaced."""
    folder = library_folder()
    if folder is None or not folder.is_dir():
        return []
    return [
        (entry.name, status.st_size, status.st_mtime_ns, status.st_ino)
        for entry in sorted(folder.iterdir())
        if ("ggml" in entry.name or "llama" in entry.name) and (status := entry.stat())
    ]
