"""Weights from a web server, over connections that may break.

A cut connection is continued where it broke, with ``Range``; ``If-Range`` carries the validator
of the first answer (a strong ETag, else Last-Modified), so that a file that changed in between is
sent from its start instead of being patched together. The validator lies beside the partial file,
which lets the next pull go on after one that was killed. Servers that ignore ``Range`` are heard:
they answer 200 and everything starts over. Proxies come from the environment, as urllib has it.

Retries are bounded by progress: as long as bytes arrive it goes on, five attempts in a row that
bring nothing end it (fewer where another source waits).
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from localprompt import __version__
from localprompt.errors import FetchError
from localprompt.models.receiver import CHUNK_BYTES, Receiver

TIMEOUT_SECONDS = 30.0
FRUITLESS_ATTEMPTS = 5
_MOST_ATTEMPTS = 200
_FIRST_WAIT_SECONDS = 0.2
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _CutError(Exception):
    """The connection did not come about or broke; another attempt may help."""


def fetch_https(
    url: str,
    receiver: Receiver,
    *,
    attempts: int = FRUITLESS_ATTEMPTS,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Bring the rest of the file into ``receiver``.

    Args:
        url: http or https.
        receiver: may hold the beginning of the file already.
        attempts: how many in a row may bring nothing before it gives up.
        wait: called with the seconds between two attempts, 0.2 to 3.2.

    Raises:
        FetchError: the server refuses, has a file of another length, or the connection broke too
            often. What was received stays in the receiver's file for a later attempt.
        ChecksumError, OSError: from the receiver.
    """
    fruitless = 0
    for _ in range(_MOST_ATTEMPTS):
        before = receiver.position
        try:
            _attempt(url, receiver)
        except _CutError as cut:
            fruitless = 0 if receiver.position > before else fruitless + 1
            if fruitless >= attempts:
                raise _gave_up(url, receiver, str(cut)) from cut
            wait(_FIRST_WAIT_SECONDS * 2**fruitless)
        else:
            return
    raise _gave_up(url, receiver, f"the connection broke {_MOST_ATTEMPTS} times")


def discard_partial(receiver: Receiver) -> None:
    """Delete what was received and what was noted about it."""
    receiver.discard()
    _validator_path(receiver).unlink(missing_ok=True)


def _attempt(url: str, receiver: Receiver) -> None:
    """One request, until the file is complete.

    Raises:
        _CutError: the network failed or the server is busy.
        FetchError: the server's answer will not change.
    """
    size = receiver.card.size_bytes
    if receiver.position == size:
        return
    with _open(url, receiver) as response:
        _follow(url, response, receiver)
        for chunk in _chunks(response):
            receiver.write(chunk)
    if receiver.position < size:
        raise _CutError(f"the connection ended after {receiver.position} of {size} bytes")


def _open(url: str, receiver: Receiver) -> http.client.HTTPResponse:
    headers = {"User-Agent": f"localprompt/{__version__}", "Accept-Encoding": "identity"}
    if receiver.position:
        headers["Range"] = f"bytes={receiver.position}-"
        if validator := _read_validator(receiver):
            headers["If-Range"] = validator
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # the card allows http(s)
    try:
        response: http.client.HTTPResponse = urllib.request.build_opener().open(
            request, timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as refusal:
        refusal.close()
        if refusal.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            receiver.restart()
            raise _CutError("the server has no such range") from refusal
        if refusal.code in _TRANSIENT:
            raise _CutError(f"HTTP {refusal.code} {refusal.reason}") from refusal
        raise _refused(url, receiver, refusal) from refusal
    except urllib.error.URLError as failure:
        raise _CutError(str(failure.reason)) from failure
    except (OSError, http.client.HTTPException) as failure:
        raise _CutError(str(failure) or type(failure).__name__) from failure
    return response


def _follow(url: str, response: http.client.HTTPResponse, receiver: Receiver) -> None:
    """Bring the receiver to where the answer begins, or refuse an answer of the wrong length."""
    size = receiver.card.size_bytes
    if response.status == http.client.PARTIAL_CONTENT:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != receiver.position:
            receiver.restart()
            raise _CutError("the server sent a different range than was asked for")
        if match[2] not in {"*", str(size)}:
            discard_partial(receiver)
            raise _wrong_length(url, size, match[2])
        return
    receiver.restart()
    length = response.headers.get("Content-Length")
    if length is not None and length != str(size):
        raise _wrong_length(url, size, length)
    _write_validator(receiver, response)


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """What arrives; only failures of the network become :class:`_CutError`."""
    while True:
        try:
            chunk = response.read(CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as failure:
            raise _CutError(str(failure) or type(failure).__name__) from failure
        if not chunk:
            return
        yield chunk


def _validator_path(receiver: Receiver) -> Path:
    return receiver.path.with_name(receiver.path.name + ".validator")


def _read_validator(receiver: Receiver) -> str | None:
    try:
        return _validator_path(receiver).read_text(encoding="latin-1").strip() or None
    except OSError:
        return None


def _write_validator(receiver: Receiver, response: http.client.HTTPResponse) -> None:
    etag = response.headers.get("ETag", "")
    # RFC 9110, 13.1.5: a weak ETag must not be used in If-Range.
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    _validator_path(receiver).write_text(validator, encoding="latin-1")


def _refused(url: str, receiver: Receiver, refusal: urllib.error.HTTPError) -> FetchError:
    return FetchError(
        f"the server refuses to give out {receiver.card.file}",
        where=url,
        expected="HTTP 200 or 206",
        found=f"HTTP {refusal.code} {refusal.reason}",
        next_step="fetch the file in a browser, then: localprompt models add FILE",
    )


def _wrong_length(url: str, size: int, found: str) -> FetchError:
    return FetchError(
        "the server has a different file than the card describes",
        where=url,
        expected=f"{size} bytes",
        found=f"{found} bytes",
        next_step="correct the url, size_bytes and sha256 in the model card",
    )


def _gave_up(url: str, receiver: Receiver, why: str) -> FetchError:
    kept = f", {receiver.position} bytes are kept" if receiver.position else ""
    return FetchError(
        f"the download failed{kept}",
        where=url,
        found=why,
        next_step=f"check the network, then continue: localprompt models pull {receiver.card.name}",
    )
