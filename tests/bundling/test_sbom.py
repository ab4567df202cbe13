"""The bill of materials is CycloneDX, by its own schema, and says the same as the bundle."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from localprompt import compiling
from localprompt.bundling import licences
from localprompt.bundling.contents import pack_model
from localprompt.bundling.licences import spdx_id, terms_of, wheel_pieces
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
    # The package's copies name each other by their files, and themselves by their addresses.
    loaded = {
        name: json.loads((folder / name).read_text(encoding="utf-8").replace(".SNAPSHOT", ""))
        for name in names
    }
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
    assert components["tiny"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert components["one"]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert components["two-words"]["purl"] == "pkg:pypi/two-words@2.0"
    assert components["two-words"]["licenses"] == [{"license": {"name": "BSD License"}}]
    assert "licenses" not in components["three"]
    assert all(len(c["hashes"][0]["content"]) == 64 for c in components.values())


def test_llama_cpp_is_a_component_of_its_own(near: Path, tmp_path: Path) -> None:
    library = b"compiled"
    files = {
        "llama_cpp/lib/libggml-base.so.0.25.3": b"",
        "llama_cpp/lib/libllama.so.0.5.0": library,
    }
    builds = [
        write_wheel(tmp_path / version, "llama_cpp_python", version, files=files)
        for version in (compiling.VERSION, "0.0.1")
    ]
    wheels = [_wheel(file, f"wheels/{n}/x.whl", f"build {n}") for n, file in enumerate(builds)]
    content = sbom_piece([pack_model("tiny", no_progress)], wheels).content
    assert isinstance(content, bytes)
    bill = json.loads(content)
    pinned, other = (c for c in bill["components"] if c["name"] == "llama.cpp")
    assert pinned["version"] == compiling.LLAMA_CPP_COMMIT
    assert pinned["purl"] == f"pkg:github/ggml-org/llama.cpp@{compiling.LLAMA_CPP_COMMIT}"
    assert pinned["licenses"] == [{"license": {"id": "MIT"}}]
    assert pinned["hashes"][0]["content"] == hashlib.sha256(library).hexdigest()
    assert {"name": "localprompt:ggml", "value": "0.25.3"} in pinned["properties"]
    assert "version" not in other
    assert "purl" not in other
    depends = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert [other["bom-ref"]] in depends.values()
    assert {c["bom-ref"] for c in bill["components"]} >= depends.keys()


def test_the_commit_that_is_named_is_the_one_that_is_compiled() -> None:
    base = _library().parent / "libggml-base.so"
    ggml = ctypes.CDLL(str(base))
    ggml.ggml_commit.restype = ctypes.c_char_p
    said = ggml.ggml_commit().decode().removesuffix("-dirty")
    if said == "unknown":
        pytest.skip("this build of llama.cpp does not say of which commit it is")
    assert compiling.LLAMA_CPP_COMMIT.startswith(said)


def _library() -> Path:
    found = importlib.util.find_spec("llama_cpp")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "lib" / "libllama.so"


def test_licences_have_the_identifiers_of_spdx() -> None:
    schemas = pytest.importorskip("cyclonedx.schema", reason=needs.DEV_EXTRA)
    known = json.loads(
        (resources.files(schemas) / "_res" / "spdx.SNAPSHOT.schema.json").read_text()
    )
    assert set(licences._SPDX.values()) | set(licences._ALSO_CALLED.values()) <= set(known["enum"])
    assert spdx_id("apache-2.0") == "Apache-2.0"
    assert spdx_id("MIT License") == "MIT"
    assert spdx_id("BSD License") is None
    assert spdx_id("Gemma Terms of Use") is None


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


def test_a_licence_file_deep_in_its_wheel_comes_along(tmp_path: Path) -> None:
    deep = "vendor/" * 12
    member = f"one-1.0.dist-info/licenses/{deep}LICENSE"
    wheel = _wheel(write_wheel(tmp_path, "one", files={member: b"MIT"}), "wheels/one.whl")
    (piece,) = wheel_pieces([wheel])
    assert piece.content == b"MIT"
    assert Path(piece.path).name == f"{deep.replace('/', '-')}LICENSE"[-80:]


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
