"""Signatures: Ed25519 over the manifest, which holds the sha256 of everything else.

Keys are PEM files and the signature is its 64 bytes, as OpenSSL writes and reads them, so that a
bundle can be signed and checked with and without localprompt. The ``cryptography`` package does the
work; it comes with ``localprompt[sign]`` and nothing but ``--sign`` and ``--key`` needs it.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from localprompt import doors
from localprompt.errors import ChecksumError, InputError, MachineError

SIGNATURE_BYTES = 64


def sign(manifest: bytes, key_file: Path) -> bytes:
    """The signature of a manifest's bytes.

    Raises:
        MachineError: ``cryptography`` is not installed.
        InputError: the file holds no Ed25519 private key without a password.
    """
    serialization, ed25519, _, unsupported = _library()
    data = _read(key_file)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, unsupported) as cause:
        raise _no_key(key_file, "private", cause) from cause
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _no_key(key_file, "private", type(key).__name__)
    signature: bytes = key.sign(manifest)
    return signature


def check_signature(manifest: bytes, signature: bytes, key_file: Path, where: str) -> str:
    """The key's fingerprint, if the signature is the key's and the manifest's.

    Raises:
        MachineError: ``cryptography`` is not installed.
        InputError: the file holds no Ed25519 public key.
        ChecksumError: the signature is another's, or the manifest was changed.
    """
    serialization, ed25519, invalid_signature, unsupported = _library()
    data = _read(key_file)
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, unsupported) as cause:
        raise _no_key(key_file, "public", cause) from cause
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _no_key(key_file, "public", type(key).__name__)
    try:
        key.verify(signature, manifest)
    except invalid_signature:
        raise ChecksumError(
            "the bundle's signature does not match: another key, or a changed manifest",
            where=where,
            expected=f"a signature by {key_file}",
            next_step="ask its sender for the right key, and for the archive's sha256",
        ) from None
    return fingerprint(data)


def fingerprint(public_pem: bytes) -> str:
    """The last 32 bytes of a public key in base64: what people compare."""
    body = b"".join(line for line in public_pem.splitlines() if not line.startswith(b"-----"))
    return base64.b64encode(base64.b64decode(body)[-32:]).decode()


def _library() -> tuple[Any, Any, type[Exception], type[Exception]]:
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as cause:
        raise MachineError(
            "signatures need the package cryptography, which is not installed",
            next_step="python -m pip install 'localprompt[sign]', or check with OpenSSL",
        ) from cause
    return serialization, ed25519, InvalidSignature, UnsupportedAlgorithm


def _read(key_file: Path) -> bytes:
    try:
        return doors.read_bytes(key_file, doors.MOST_SMALL_BYTES)
    except OSError as cause:
        raise InputError(
            "the key cannot be read", where=str(key_file), found=cause.strerror
        ) from cause


def _no_key(key_file: Path, kind: str, found: object) -> InputError:
    return InputError(
        f"the file holds no Ed25519 {kind} key",
        where=str(key_file),
        expected=f"an unencrypted {kind} key in PEM form",
        found=str(found),
        next_step="openssl genpkey -algorithm ed25519 -out key.pem && "
        "openssl pkey -in key.pem -pubout -out key.pub",
    )
