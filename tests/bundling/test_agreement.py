"""A bundle whose hashes were renewed after something in it was changed is found out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from localprompt.bundling.check import read_bundle
from localprompt.bundling.install import install
from localprompt.bundling.make import Made
from localprompt.bundling.manifest import decode
from localprompt.bundling.rules import DIGEST, MANIFEST, SIGNATURE
from localprompt.errors import LocalPromptError
from tests.bundling.archives import manifest_of, packed

Files = dict[str, bytes]
CARD, WEIGHTS, BILL = "home/models/tiny.toml", "home/models/tiny.gguf", "sbom.cdx.json"


def _bill(change: Callable[[dict[str, object]], object]) -> Callable[[Files], None]:
    def changed(files: Files) -> None:
        bill = json.loads(files[BILL])
        change(bill)
        files[BILL] = json.dumps(bill).encode()

    return changed


def _replaced(path: str, old: bytes, new: bytes) -> Callable[[Files], None]:
    def changed(files: Files) -> None:
        assert old in files[path]
        files[path] = files[path].replace(old, new)

    return changed


def _other_sha256(files: Files) -> None:
    digest = hashlib.sha256(files[WEIGHTS]).hexdigest().encode()
    files[CARD] = files[CARD].replace(digest, b"0" * 64)


CHANGES: dict[str, Callable[[Files], object]] = {
    "bill of materials emptied": lambda files: files.update({BILL: b""}),
    "bill of materials of nothing": _bill(lambda bill: bill.update(components=[])),
    "bill of materials missing": lambda files: files.pop(BILL),
    "bill of materials in another form": _bill(lambda bill: bill.update(bomFormat="SPDX")),
    "a component too many": _bill(lambda bill: bill["components"].append(  # type: ignore[attr-defined]
        {"type": "machine-learning-model", "name": "x",
         "hashes": [{"alg": "SHA-256", "content": "0" * 64}]})),
    "a library in a wheel that is not there": _bill(lambda bill: bill["components"].append(  # type: ignore[attr-defined]
        {"type": "library", "name": "llama.cpp",
         "properties": [{"name": "localprompt:path", "value": "wheels/x.whl!libllama.so"}]})),
    "a component with another hash": lambda files: files.update({BILL: files[BILL].replace(
        hashlib.sha256(files[WEIGHTS]).hexdigest().encode(), b"1" * 64)}),
    "card with another sha256": _other_sha256,
    "card of another name": _replaced(CARD, b'name = "tiny"', b'name = "other"'),
    "card with a path": _replaced(CARD, b'chat = true', b'chat = true\npath = "/etc/passwd"'),
    "card with other terms": _replaced(CARD, b'"mit"', b'"gpl"'),
    "card that is none": lambda files: files.update({CARD: b"?"}),
    "card missing": lambda files: files.pop(CARD),
    "weights replaced": lambda files: files.update({WEIGHTS: files[WEIGHTS] + b"x"}),
    "weights missing": lambda files: files.pop(WEIGHTS),
    "a second card": lambda files: files.update({"home/models/smollm2-135m.toml": files[CARD]}),
    "packages that it does not have": lambda files: files.update(
        {"requirements.txt": b"evil==1.0 --hash=sha256:" + b"2" * 64}),
}  # fmt: skip


def _contents(made: Made, tmp_path: Path) -> tuple[Files, dict[str, object]]:
    import shutil

    shutil.unpack_archive(made.path, tmp_path / "unpacked")
    kit = tmp_path / "unpacked" / "kit"
    files = {
        path.relative_to(kit).as_posix(): path.read_bytes()
        for path in sorted(kit.rglob("*"))
        if path.is_file()
    }
    manifest = decode(files.pop(MANIFEST), "kit")
    for name in (DIGEST, SIGNATURE):
        files.pop(name, None)
    kept: dict[str, object] = {"models": manifest.models, "localprompt": manifest.localprompt}
    return files, kept


def _written(files: Files, kept: dict[str, object], to: Path) -> Path:
    """The archive with all hashes right again."""
    to.write_bytes(packed((MANIFEST, manifest_of(files, **kept)), *files.items()))
    return to


def test_a_bundle_that_was_taken_apart_and_put_together_is_intact(
    made: Made, tmp_path: Path
) -> None:
    files, kept = _contents(made, tmp_path)
    assert read_bundle(_written(files, kept, tmp_path / "again.tar")).manifest.models


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_does_not_agree_is_found_by_verify_and_by_install(
    far: Path, made: Made, tmp_path: Path, change: Callable[[Files], object]
) -> None:
    files, kept = _contents(made, tmp_path)
    change(files)
    bundle = _written(files, kept, tmp_path / "changed.tar")
    for use in (read_bundle, install):
        with pytest.raises(LocalPromptError) as caught:
            use(bundle)
        assert caught.value.exit_code == 3
    assert not (far / "models" / "tiny.toml").exists()
    assert msgspec.json.encode(str(caught.value))
