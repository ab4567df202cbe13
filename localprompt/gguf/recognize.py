"""What a file that should be a model seems to be instead.

Most files that are no GGUF got there by one of a few accidents: the download page was saved
instead of the download, git was cloned without its large files, the archive was not unpacked, or
the weights are of another format. Naming the accident is half of the help.
"""

from __future__ import annotations

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a git-lfs pointer: the large file itself was not fetched"),
    (b"PK\x03\x04", "a zip archive (a wheel, or a PyTorch checkpoint)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x80\x02", "a Python pickle (an old PyTorch checkpoint)"),
    (b"lmgg", "a model in the GGML format that came before GGUF"),
    (b"fmgg", "a model in the GGMF format that came before GGUF"),
    (b"tjgg", "a model in the GGJT format that came before GGUF"),
    (b"%PDF", "a PDF"),
)


def what_it_seems_to_be(beginning: bytes) -> str:
    """A guess in words from the first bytes of a file (a few hundred are enough)."""
    if not beginning:
        return "an empty file"
    for prefix, what in _BEGINNINGS:
        if beginning.startswith(prefix):
            return what
    # safetensors: the length of a JSON header in 8 bytes, then the header.
    if beginning[8:9] == b"{" and int.from_bytes(beginning[:8], "little") < 1 << 30:
        return "a safetensors file (convert it to GGUF first)"
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page (the page about the file, or an error page)"
    if text.startswith((b"<?xml", b"<error")):
        return "an XML document (an error message of a server?)"
    if text.startswith((b"{", b"[")):
        return "a JSON document (an error message of a server?)"
    if not any(beginning[:16]):
        return "a file of zeros (a download that was never written)"
    return f"a file that begins with {beginning[:16]!r}"
