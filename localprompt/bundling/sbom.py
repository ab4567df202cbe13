"""The bill of materials: CycloneDX 1.6 as JSON.

Written by hand because it is small: a component for every model, every wheel, and the llama.cpp
inside those of llama-cpp-python, with its sha256 and its licence, by SPDX's identifier where it has
one. It says the same as the manifest, in the words of tools that look for known holes
and terms. There is no time in it, and its serial number follows from its content.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable
from typing import Any

import localprompt
from localprompt import compiling
from localprompt.bundling.contents import PackedModel, Piece, text_piece
from localprompt.bundling.licences import Terms, opened, spdx_id, terms_of
from localprompt.bundling.wheels import Wheel

PATH = "sbom.cdx.json"
INSIDE = "!"
"""Between a wheel's path and that of a library in it."""
_BINDINGS = "llama-cpp-python"
_LIBRARY = re.compile(r"llama_cpp/lib/libllama\.(?:so|dylib)(?:\.[0-9.]+)?")
_GGML = re.compile(r"llama_cpp/lib/libggml-base\.(?:so\.)?([0-9]+\.[0-9]+\.[0-9]+)(?:\.dylib)?")
_NAMESPACE = uuid.UUID("7b0b1a8e-4c39-5b6f-9f0e-3f3c5d1a2b60")


def sbom_piece(models: Iterable[PackedModel], wheels: Iterable[Wheel]) -> Piece:
    """The bill of what is in a bundle."""
    wheels = tuple(wheels)
    inside = {_reference(wheel): _llama_cpp(wheel) for wheel in wheels if wheel.name == _BINDINGS}
    components = [*map(_model, models), *map(_package, wheels), *inside.values()]
    facts = json.dumps(components, sort_keys=True)
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, facts)}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [
                    {
                        "type": "application",
                        "name": "localprompt",
                        "version": localprompt.__version__,
                    }
                ]
            },
            "component": {"type": "application", "name": "localprompt-bundle"},
        },
        "components": components,
        "dependencies": [
            {"ref": wheel, "dependsOn": [library["bom-ref"]]} for wheel, library in inside.items()
        ],
    }
    return text_piece(PATH, (json.dumps(bill, indent=1, ensure_ascii=False) + "\n").encode())


def _model(model: PackedModel) -> dict[str, Any]:
    card = model.card
    licence = _named(card.licence.name)
    if card.licence.url:
        licence["url"] = card.licence.url
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{card.name}",
        "name": card.name,
        "version": card.sha256[:12],
        "hashes": [{"alg": "SHA-256", "content": card.sha256}],
        "licenses": [{"license": licence}],
    }
    if card.description:
        component["description"] = card.description
    return component


def _package(wheel: Wheel) -> dict[str, Any]:
    url = f"pkg:pypi/{wheel.name}@{wheel.version}"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _reference(wheel),
        "name": wheel.name,
        "version": wheel.version,
        "purl": url,
        "hashes": [{"alg": "SHA-256", "content": wheel.piece.sha256}],
        "properties": [{"name": "localprompt:path", "value": wheel.piece.path}],
    }
    if licences := _licences(terms_of(wheel.file)):
        component["licenses"] = licences
    return component


def _reference(wheel: Wheel) -> str:
    return f"pkg:pypi/{wheel.name}@{wheel.version}?file_name={wheel.piece.path}"


def _llama_cpp(wheel: Wheel) -> dict[str, Any]:
    """llama.cpp as it lies compiled in a wheel of its bindings.

    Its commit is known for the version that is pinned here; of other wheels there is the version
    of ggml, which its library's file is named after.
    """
    with opened(wheel.file) as archive:
        names = archive.namelist()
        library = next((name for name in sorted(names) if _LIBRARY.fullmatch(name)), None)
        content = b"" if library is None else archive.read(library)
    ggml = next((match[1] for name in names if (match := _GGML.fullmatch(name))), None)
    pinned = wheel.version == compiling.VERSION
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"llama.cpp in {wheel.piece.path}",
        "name": "llama.cpp",
        "licenses": [{"license": {"id": "MIT"}}],
        "properties": [
            {"name": "localprompt:path", "value": f"{wheel.piece.path}{INSIDE}{library or ''}"},
            *([{"name": "localprompt:build", "value": wheel.build}] if wheel.build else []),
            *([{"name": "localprompt:ggml", "value": ggml}] if ggml else []),
        ],
    }
    if pinned:
        component["version"] = compiling.LLAMA_CPP_COMMIT
        component["purl"] = f"pkg:github/ggml-org/llama.cpp@{compiling.LLAMA_CPP_COMMIT}"
    if content:
        digest = hashlib.sha256(content).hexdigest()
        component["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return component


def _licences(terms: Terms) -> list[dict[str, Any]]:
    if terms.expression:
        return [{"expression": terms.expression}]
    return [{"license": _named(terms.name)}] if terms.name else []


def _named(licence: str) -> dict[str, Any]:
    known = spdx_id(licence)
    return {"name": licence} if known is None else {"id": known}
