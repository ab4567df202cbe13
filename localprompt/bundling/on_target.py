"""Installs localprompt from an unpacked bundle, without a network.

A bundle carries this module with :mod:`.rules` and starts it with whatever Python the machine has:
localprompt is not there yet, so nothing but the standard library is imported.

In order: every file is compared with the manifest, the machine with the bundle's target, a new
environment is made with the bundle's own pip, llama.cpp's fastest build that this CPU can run is
installed and opened once, and the installed localprompt takes over models and prompts. Nothing
is made before everything was checked, and what a failure leaves is removed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from localprompt.bundling.rules import (
    check_folder,
    check_licences,
    check_target,
    read_manifest,
    suitable_builds,
)
from localprompt.errors import MachineError

_INCOMPLETE = ".incomplete"
_VENV = "localprompt-venv"
_SYSTEM_VENV = Path("/opt/localprompt")
_SYSTEM_LINK = Path("/usr/local/bin")
_UNPACKED = 5
"""How much larger than its wheels an environment is at most: 4.1 times was measured."""
_LOADS = (
    "from localprompt.engine.llama.library import cpu_features, library; library(); "
    "print(' '.join(cpu_features()))"
)


def main(folder: Path, arguments: Sequence[str]) -> int:
    """Install from an unpacked bundle; the exit codes are localprompt's."""
    options = _options(folder).parse_args(arguments)
    _decide_places(folder, options)
    try:
        _install(folder, options)
    except MachineError as refusal:
        return _told(refusal)
    except OSError as error:
        reason = MachineError(
            "the installation failed", where=error.filename, found=error.strerror or str(error)
        )
        return _told(reason)
    except KeyboardInterrupt:
        print("interrupted; nothing was installed", file=sys.stderr)  # noqa: T201
        return 130
    return 0


def _told(error: MachineError) -> int:
    """Print it as localprompt does, which may not be here yet; the exit code."""
    details = {
        "where": error.where,
        "expected": error.expected,
        "found": error.found,
        "try": error.next_step,
    }
    lines = [f"  {name + ':':<10}{text}" for name, text in details.items() if text]
    print("\n".join([f"error: {error.message}", *lines]), file=sys.stderr)  # noqa: T201
    return error.exit_code


def _options(folder: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="install.sh", description="Install localprompt from this folder, without a network."
    )
    parser.add_argument(
        "--venv", type=Path, help=f"the new environment; by default {folder.parent / _VENV}"
    )
    parser.add_argument("--home", type=Path, help="LOCALPROMPT_HOME, where models and prompts go")
    parser.add_argument(
        "--system",
        action="store_true",
        help=f"for all users: the environment in {_SYSTEM_VENV}, models and prompts in "
        f"/var/lib/localprompt (or LOCALPROMPT_SHARED), the command in {_SYSTEM_LINK}",
    )
    parser.add_argument("--link", type=Path, help="link the command into this folder, as ~/bin")
    parser.add_argument("--accept-license", action="store_true", help="accept the models' licences")
    parser.add_argument(
        "--replace", action="store_true", help="replace files in LOCALPROMPT_HOME that differ"
    )
    return parser


def _decide_places(folder: Path, options: argparse.Namespace) -> None:
    """What was not given, for one user or for all."""
    if options.system:
        os.umask(0o022)  # what is installed now is for all to read
        options.link = options.link or _SYSTEM_LINK
    options.venv = options.venv or (_SYSTEM_VENV if options.system else folder.parent / _VENV)


def _install(folder: Path, options: argparse.Namespace) -> None:
    manifest = read_manifest(folder)
    _say(f"checking {len(manifest['files'])} files")
    check_folder(folder, manifest["files"])
    check_target(manifest["target"])
    builds = suitable_builds(manifest["llama_builds"])
    check_licences(manifest["models"], accepted=options.accept_license)
    environment = _clean_environment(options.home)
    place = options.venv.expanduser().absolute()
    _prepare(place)
    _check_space(folder / "wheels", place)
    try:
        _make_environment(place)
        (place / _INCOMPLETE).touch()
        _install_packages(folder, place / "bin" / "python", builds, environment)
        _register(folder, place / "bin" / "localprompt", options, environment)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    (place / _INCOMPLETE).unlink()
    _farewell(place / "bin" / "localprompt", manifest["models"], options)


def _make_environment(place: Path) -> None:
    try:
        import venv
    except ImportError as cause:
        raise MachineError(
            "this Python has no venv, which makes the new environment",
            where=sys.executable,
            next_step="install it from this system's own packages (python3-venv on Debian)",
        ) from cause
    venv.EnvBuilder(with_pip=False, symlinks=True).create(place)


def _prepare(place: Path) -> None:
    """Make sure that nothing is at the place of the new environment."""
    if (place / _INCOMPLETE).exists():  # left by an installation that was killed
        shutil.rmtree(place)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise MachineError(
            "there is already something where the new environment would go",
            where=str(place),
            expected="an empty folder, or none",
            next_step="remove it, or choose another place: --venv DIR",
        )
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / _INCOMPLETE).touch()
    except OSError as cause:
        raise MachineError(
            "the new environment cannot be made",
            where=str(place),
            found=cause.strerror,
            next_step="choose another place: --venv DIR",
        ) from cause


def _check_space(wheels: Path, place: Path) -> None:
    packed = sum(path.stat().st_size for path in wheels.rglob("*.whl"))
    free = shutil.disk_usage(place).free
    if free < _UNPACKED * packed:
        raise MachineError(
            "not enough disk space for the new environment",
            where=str(place),
            expected=f"{_UNPACKED * packed >> 20} MiB free",
            found=f"{free >> 20} MiB free",
            next_step="free some space, or choose another place: --venv DIR",
        )


def _clean_environment(home: Path | None) -> dict[str, str]:
    """Without settings of the user's pip and Python, which may name an index or other packages."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    kept["PIP_CONFIG_FILE"] = os.devnull
    if home is not None:
        kept["LOCALPROMPT_HOME"] = str(home.expanduser().absolute())
    return kept


def _install_packages(
    folder: Path, python: Path, builds: Sequence[dict[str, Any]], environment: dict[str, str]
) -> None:
    """Everything from the wheels, with the first build of llama.cpp that opens."""
    wheels = folder / "wheels"
    pip = [str(python), "-I", str(next(wheels.glob("pip-*.whl")) / "pip"), "--isolated"]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir"]
    for position, build in enumerate(builds):
        _say(
            f"installing {len(list(wheels.glob('*.whl'))) + 1} packages, llama.cpp {build['name']}"
        )
        sources = ["--find-links", str(wheels), "--find-links", str(wheels / build["name"])]
        command = [*pip, "install", *quiet, "--no-index", *sources]
        command += ["--require-hashes", "--requirement", str(folder / "requirements.txt")]
        done = _run(command, environment)
        if done.returncode:
            raise MachineError("pip did not install the packages", found=_last_line(done))
        opened = _run([str(python), "-I", "-c", _LOADS], environment)
        if opened.returncode == 0:
            _say(f"llama.cpp uses: {opened.stdout.strip()}")
            return
        problem = _last_line(opened)
        if position + 1 < len(builds):
            _say(f"llama.cpp for {build['name']} does not open here ({problem})")
            _run([*pip, "uninstall", "--quiet", "--yes", "llama-cpp-python"], environment)
    raise MachineError(
        "llama.cpp cannot be opened on this machine",
        found=problem,
        next_step="install the library that it names (libgomp1 and libstdc++6 on Debian)",
    )


def _register(
    folder: Path, program: Path, options: argparse.Namespace, environment: dict[str, str]
) -> None:
    """Models and prompts into the home: from here on localprompt itself does the work."""
    flags = [name for name in ("accept_license", "replace", "system") if getattr(options, name)]
    command = [str(program), "bundle", "install", str(folder)]
    command += [f"--{name.replace('_', '-')}" for name in flags]
    if subprocess.run(command, env=environment, check=False).returncode:
        raise MachineError(
            "localprompt did not install models and prompts; see its reason above",
            where=shlex.join(command),
        )


def _farewell(program: Path, models: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    if options.link is not None:
        link = options.link.expanduser().absolute() / program.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.exists() and not link.is_symlink():
            _say(f"{link} is there already and stays as it is")
        else:
            link.unlink(missing_ok=True)
            link.symlink_to(program)
    setting = f"LOCALPROMPT_HOME={shlex.quote(str(options.home))} " if options.home else ""
    model = f" -m {models[0]['name']}" if models else ""
    _say(f"\ninstalled; a first run:\n  {setting}{shlex.quote(str(program))} ask{model} 'Hello.'")


def _run(command: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}"
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201
