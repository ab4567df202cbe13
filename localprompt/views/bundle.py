"""What is in a bundle, and what became of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from localprompt.units import format_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from localprompt.records.bundle import Manifest


def made_note(path: Path, manifest: Manifest, size_bytes: int) -> str:
    """That it is there, and what to type on the other side."""
    name = shlex.quote(path.name)
    lines = [f"{path} is here: {format_bytes(size_bytes)}, {len(manifest.files)} files"]
    if manifest.target is None:
        lines += [
            "on the other side, where localprompt is:",
            f"  localprompt bundle install {name}",
        ]
    else:
        lines += [
            f"on the other side ({_machine(manifest)}):",
            f"  tar xf {name} && sh {shlex.quote(path.stem)}/install.sh",
        ]
    return "\n".join(lines)


def print_bundle(manifest: Manifest, signed: bool, signer: str | None, console: Console) -> None:
    """What was verified, a line for each kind of content."""
    from localprompt.views.terminal import facts_lines, print_lines

    print_lines(facts_lines(_lines(manifest, signed, signer), console.width), console)


def installed_note(models: Sequence[str], new: Sequence[str], unchanged: int) -> str:
    """What is new, and how to use it."""
    kinds = {"models": "models/", "prompts": "prompts/", "suites": "benchmarks/"}
    counts = [
        f"{sum(place.startswith(folder) for place in new)} files of {kind}"
        for kind, folder in kinds.items()
        if any(place.startswith(folder) for place in new)
    ]
    said = f"installed {', '.join(counts)}" if counts else "nothing is new"
    known = f"; {unchanged} were here already" if unchanged else ""
    hint = f"; try:  localprompt ask -m {models[0]} 'Hello.'" if models else ""
    return said + known + hint


def _lines(manifest: Manifest, signed: bool, signer: str | None) -> Iterator[tuple[str, str]]:
    yield "intact", f"{len(manifest.files)} files, {format_bytes(manifest.total_bytes)}"
    if signer:
        yield "signed by", signer
    else:
        yield "signed", "yes; not checked without --key" if signed else "no"
    yield "made by", f"localprompt {manifest.localprompt}"
    for model in manifest.models:
        yield "model", f"{model.name} ({model.licence.name})"
    for kind, folder in (("prompts", "home/prompts/"), ("suites", "home/benchmarks/")):
        if count := sum(file.path.startswith(folder) for file in manifest.files):
            yield kind, f"{count} files"
    if manifest.target is None:
        yield "wheels", "none: for machines that have localprompt"
        return
    wheels = sum(file.path.endswith(".whl") for file in manifest.files)
    yield "wheels", f"{wheels} for {_machine(manifest)}"
    for build in manifest.llama_builds:
        uses = ", ".join(build.features) or "not asked"
        yield "llama.cpp", f"{build.name}: {uses}"


def _machine(manifest: Manifest) -> str:
    target = manifest.target
    if target is None:
        return "every machine"
    library = f", glibc {target.glibc} or newer" if target.glibc else ""
    return f"{target.system} {target.machine}, Python {target.python}{library}"
