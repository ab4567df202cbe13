"""The bill of materials is CycloneDX, by its own schema, and says the same as the bundle."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from localprompt.bundling.contents import pack_model
from localprompt.bundling.licences import terms_of, wheel_pieces
from localprompt.bundling.sbom import sbom_piece
from localprompt.bundling.target import target_of, wanted_target
from localprompt.bundling.wheels import Wheels, _wheel
from localprompt.models.receiver import no_progress
from tests import needs
from tests.bundling.wheelhouse import write_wheel


def _bill(tmp_path: Path) -> dict[str, Any]:
    spdx = write_wheel(tmp_path, "one", more="License-Expression: MIT OR Apache-2.0\n")
    words = write_wheel(
        tmp_path, "two_words", "2.0", more="Classifier: License :: OSI Approved :: BSD License\n"
    )
    none = write_wheel(tmp_path, "three")
    wheels = [_wheel(file, f"wheels/{file.name}") for file in (spdx, words, none)]
    content = sbom_piece([pack_model("tiny", no_progress)], wheels).content
    assert isinstance(content, bytes)
    bill: dict[str, Any] = json.loads(content)
    return bill


def test_it_is_valid_by_the_schema(near: Path, tmp_path: Path) -> None:
    schemas = pytest.importorskip("cyclonedx.schema", reason=needs.DEV_EXTRA)
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource

    folder = resources.files(schemas) / "_res"
    names = [p.name for p in folder.iterdir() if p.name.endswith(".schema.json")]
    loaded = {name: json.loads((folder / name).read_text(encoding="utf-8")) for name in names}
    main = next(s for name, s in loaded.items() if name.startswith("bom-1.6"))
    registry: Registry[Any] = Registry().with_resources(
        (s.get("$id", name), Resource.from_contents(s)) for name, s in loaded.items()
    )
    problems = [
        e.message for e in Draft7Validator(main, registry=registry).iter_errors(_bill(tmp_path))
    ]
    assert problems == []
    broken = _bill(tmp_path) | {"specVersion": 16, "components": [{"name": "x"}]}
    assert len(list(Draft7Validator(main, registry=registry).iter_errors(broken))) >= 2


def test_it_names_models_and_packages_with_their_hashes_and_terms(
    near: Path, tmp_path: Path
) -> None:
    components = {c["name"]: c for c in _bill(tmp_path)["components"]}
    assert components["tiny"]["type"] == "machine-learning-model"
    assert components["tiny"]["licenses"] == [{"license": {"name": "mit"}}]
    assert components["one"]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert components["two-words"]["purl"] == "pkg:pypi/two-words@2.0"
    assert components["two-words"]["licenses"] == [{"license": {"name": "BSD License"}}]
    assert "licenses" not in components["three"]
    assert all(len(c["hashes"][0]["content"]) == 64 for c in components.values())


def test_the_same_content_has_the_same_serial_number(near: Path, tmp_path: Path) -> None:
    assert _bill(tmp_path)["serialNumber"] == _bill(tmp_path)["serialNumber"]


def test_licence_files_come_out_of_the_wheels(tmp_path: Path) -> None:
    info = "one-1.0.dist-info"
    files = {
        f"{info}/licenses/LICENSE": b"MIT",
        f"{info}/licenses/vendor/COPYING": b"BSD",
        "one/license.py": b"code",
    }
    wheel = _wheel(write_wheel(tmp_path, "one", files=files), "wheels/one.whl")
    assert {piece.path: piece.content for piece in wheel_pieces([wheel, wheel])} == {
        "licences/packages/one-1.0/LICENSE": b"MIT",
        "licences/packages/one-1.0/vendor-COPYING": b"BSD",
    }


def test_a_whole_licence_in_one_field_is_no_name(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "one", more=f"License: {'word ' * 200}\n")
    assert terms_of(wheel).name is None


def test_requirements_pin_every_wheel_by_its_hash(tmp_path: Path) -> None:
    builds = [write_wheel(tmp_path / name, "llama_cpp_python", files={name: b""}) for name in "ab"]
    wheels = [_wheel(file, f"wheels/{n}/x.whl", str(n)) for n, file in enumerate(builds)]
    gathered = Wheels(target_of(wanted_target(None, ()), []), (), tuple(wheels))
    content = gathered.requirements.content
    assert isinstance(content, bytes)
    line = content.decode().split()
    assert line[0] == "llama-cpp-python==1.0"
    assert line[1:] == [f"--hash=sha256:{wheel.piece.sha256}" for wheel in wheels]
