"""Signatures say whose manifest it is, also to people who have OpenSSL and no localprompt."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.bundling.check import read_bundle
from localprompt.bundling.make import Made, make
from localprompt.bundling.rules import DIGEST, MANIFEST, digest_line
from localprompt.bundling.signing import check_signature, sign
from localprompt.errors import ChecksumError, InputError, MachineError
from tests import needs
from tests.bundling.conftest import wanted

library = pytest.importorskip("cryptography", reason=needs.DEV_EXTRA)


def _keys(folder: Path, name: str) -> tuple[Path, Path]:
    """A private and a public key, in files."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return _keys(tmp_path, "key")


@pytest.fixture
def signed(near: Path, keys: tuple[Path, Path]) -> Made:
    return make(msgspec.structs.replace(wanted(near), sign_with=keys[0]))


def test_the_right_key_says_who_signed(signed: Made, keys: tuple[Path, Path]) -> None:
    opened = read_bundle(signed.path, key=keys[1])
    assert opened.signed
    assert opened.signer is not None
    assert opened.signer in keys[1].read_text().replace("MCowBQYDK2VwAyEA", "")


def test_without_a_key_the_signature_is_not_claimed_to_be_right(signed: Made) -> None:
    opened = read_bundle(signed.path)
    assert (opened.signed, opened.signer) == (True, None)


def test_another_key_does_not_do(signed: Made, tmp_path: Path) -> None:
    _, other = _keys(tmp_path, "other")
    with pytest.raises(ChecksumError, match="signature does not match"):
        read_bundle(signed.path, key=other)


def test_a_changed_manifest_is_noticed(signed: Made, keys: tuple[Path, Path]) -> None:
    shutil.unpack_archive(signed.path, signed.path.parent / "unpacked")
    kit = signed.path.parent / "unpacked" / "kit"
    changed = (kit / MANIFEST).read_bytes().replace(b'"localprompt": "0', b'"localprompt": "9')
    (kit / MANIFEST).write_bytes(changed)
    (kit / DIGEST).write_bytes(digest_line(changed))
    with pytest.raises(ChecksumError, match="signature does not match"):
        read_bundle(kit, key=keys[1])


def test_a_bundle_without_a_signature_does_not_do_where_one_is_wanted(
    near: Path, keys: tuple[Path, Path]
) -> None:
    made = make(wanted(near))
    with pytest.raises(ChecksumError, match="not signed"):
        read_bundle(made.path, key=keys[1])


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(InputError, match="no Ed25519 private key"):
        sign(b"manifest", tmp_path / "key.pem")


def test_a_key_of_another_kind_is_said_to_be_none(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    other = X25519PrivateKey.generate().private_bytes(
        form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(other)
    with pytest.raises(InputError, match="no Ed25519 private key") as caught:
        sign(b"manifest", tmp_path / "key.pem")
    assert caught.value.found == "X25519PrivateKey"


@pytest.mark.skipif(shutil.which("openssl") is None, reason=needs.OPENSSL)
def test_openssl_agrees(signed: Made, keys: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.unpack_archive(signed.path, tmp_path / "unpacked")
    kit = tmp_path / "unpacked" / "kit"
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin"]
    command += ["-in", str(kit / "manifest.json"), "-sigfile", str(kit / "manifest.json.sig")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Verified Successfully" in done.stdout


def test_without_the_library_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked: dict[str, Any] = {
        name: None for name in sys.modules if name.startswith("cryptography")
    }
    for name in {*blocked, "cryptography.exceptions"}:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MachineError, match="not installed") as caught:
        sign(b"manifest", tmp_path / "key.pem")
    assert "localprompt[sign]" in str(caught.value.next_step)


@pytest.mark.parametrize("kind", ["PUBLIC", "PRIVATE"])
def test_a_key_of_a_kind_that_nobody_knows_is_said_to_be_none(tmp_path: Path, kind: str) -> None:
    """One of the algorithm 1.2.3.4, which the library reports by an exception of its own."""
    body = {"PUBLIC": "MAswBQYDKgMEAwIAAQ==", "PRIVATE": "MA0CAQAwBQYDKgMEBAEB"}[kind]
    file = tmp_path / "key.pem"
    file.write_text(f"-----BEGIN {kind} KEY-----\n{body}\n-----END {kind} KEY-----\n")
    use = partial(check_signature, where="here") if kind == "PUBLIC" else _signed
    with pytest.raises(InputError, match=f"the file holds no Ed25519 {kind.lower()} key"):
        use(b"manifest", bytes(64), file)


def _signed(manifest: bytes, _: bytes, key_file: Path) -> None:
    sign(manifest, key_file)
