"""The bill of materials: CycloneDX 1.6 as JSON.

Written by hand because it is small: a component for every model and every wheel, with its sha256
and its licence. It says the same as the manifest, in the words of tools that look for known holes
and terms. There is no time in it, and its serial number follows from its content.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

import localprompt
from localprompt.bundling.contents import PackedModel, Piece, text_piece
from localprompt.bundling.licences import Terms, terms_of
from localprompt.bundling.wheels import Wheel

PATH = "sbom.cdx.json"
_NAMESPACE = uuid.UUID("7b0b1a8e-4c39-5b6f-9f0e-3f3c5d1a2b60")


def sbom_piece(models: Iterable[PackedModel], wheels: Iterable[Wheel]) -> Piece:
    """The bill of what is in a bundle."""
    components = [*map(_model, models), *map(_package, wheels)]
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
    }
    return text_piece(PATH, (json.dumps(bill, indent=1, ensure_ascii=False) + "\n").encode())


def _model(model: PackedModel) -> dict[str, Any]:
    card = model.card
    licence: dict[str, Any] = {"name": card.licence.name}
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
        "bom-ref": f"{url}?file_name={wheel.piece.path}",
        "name": wheel.name,
        "version": wheel.version,
        "purl": url,
        "hashes": [{"alg": "SHA-256", "content": wheel.piece.sha256}],
        "properties": [{"name": "localprompt:path", "value": wheel.piece.path}],
    }
    if licences := _licences(terms_of(wheel.file)):
        component["licenses"] = licences
    return component


def _licences(terms: Terms) -> list[dict[str, Any]]:
    if terms.expression:
        return [{"expression": terms.expression}]
    return [{"license": {"name": terms.name}}] if terms.name else []
