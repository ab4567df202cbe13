"""What comes over a socket: requests to the local page, and schedulers that are none."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote, urlencode

from tests.adversarial.harness import Zygote
from tests.adversarial.hostile import MARKUP, NUMBERS, SCALARS, TEMPLATES, TEXTS, Places, spoiled
from tests.adversarial.inputs import FAST, Try
from tests.adversarial.seeds import PROMPT

_PATHS = (
    "/", "/try/inputs", "/jobs/{}", "/jobs/{}/received", "/jobs/{}/events", "/prompts/{}", "/chat",
    "/chat/{}", "/runs", "/runs/{}", "/runs/{}/json", "/results", "/results/{}", "/compare",
    "/difference", "/cases", "/live", "/models", "/models/under-way", "/static/{}", "/{}", "//{}",
)  # fmt: skip
_POSTS = ("/try", "/chat", "/prompts/{}", "/jobs/{}/stop", "/models/quantize", "/models/stop")
_QUERIES = (
    "prompt", "kind", "model", "grep", "before", "id", "evaluation", "case", "language", "key",
)  # fmt: skip
_FIELDS = (
    "model", "prompt", "text", "param.text", "param.count", "temperature", "max_tokens", "seed",
    "n_ctx", "source", "digest", "parent", "instead", "system", "to", "param.", "",
)  # fmt: skip


def pages(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Requests of every page, over a history whose texts are markup."""
    del places
    _fill(zygote)
    values = ("last", "last~1", "say", "tiny", "mine", "eval", "pt-BR", MARKUP, *TEXTS, *NUMBERS)
    while True:
        post = rng.random() < 0.4
        path = rng.choice(_POSTS if post else _PATHS).replace("{}", _quoted(rng, values))
        names = _QUERIES if not post or rng.random() < 0.1 else ()
        query = [
            (rng.choice(names), rng.choice(values)) for _ in range(rng.randrange(4) if names else 0)
        ]
        if rng.random() < 0.2:
            query += [("id", "last"), ("id", rng.choice(("last", "last~1", "last~2")))]
        target = path + ("?" + urlencode(query, errors="surrogateescape") if query else "")
        body = _form(rng, values) if post else ""
        more = rng.choice(
            (
                (),
                ("hx-request: true",),
                ("accept-language: pt;q=x,,",),
                ("hx-target: rows",),
                ("read-only: yes",),
            )
        )
        yield Try(["POST" if post else "GET", target, body, *more], page=True)


def _fill(zygote: Zygote) -> None:
    """Runs and results with names that a page must not take for markup."""
    hostile = zygote.work / "prompts" / "hostile.prompty"
    hostile.write_text(PROMPT.replace("name: say", f"name: '{MARKUP}'").replace("Says", MARKUP))
    suite = zygote.work / "hostile.yaml"
    suite.write_text(
        f"description: '{MARKUP}'\nprompts: ['{MARKUP} {{{{ x }}}}']\n"
        f"tests: [{{vars: {{x: '{MARKUP}'}}, description: '{MARKUP}', "
        f"assert: [{{type: contains, value: '{MARKUP}', metric: '{MARKUP}'}}]}}]\n"
    )
    for command in (
        ["ask", MARKUP, "-m", "tiny", *FAST],
        ["ask", "And?", "--continue", "last", *FAST],
        ["run", str(hostile), "-p", f"text={MARKUP}", "-m", "tiny", *FAST],
        ["eval", str(suite), "-m", "tiny", *FAST],
        ["eval", str(suite), "-m", "tiny", "--no-cache", *FAST],
        [
            "bench",
            "say",
            "-p",
            f"text={MARKUP}",
            "-m",
            "tiny",
            "--threads",
            "1",
            "-r",
            "2",
            "-y",
            "-q",
        ],
    ):
        zygote.run(*command)


def _quoted(rng: random.Random, values: tuple[str, ...]) -> str:
    text = quote(rng.choice(values), safe=rng.choice(("", "/")), errors="surrogateescape")
    return rng.choice((text, text, "last", "%00", "%ff%fe", "..%2f..", text + ".prompty"))


def _form(rng: random.Random, values: tuple[str, ...]) -> str:
    usual = [
        ("model", "tiny"),
        ("prompt", "say"),
        ("param.text", "red"),
        ("text", "Hi."),
        ("to", "q4_0"),
    ]
    fields = [field for field in usual if rng.random() < 0.7]
    more = rng.choice((0, 1, 3, 600 if rng.random() < 0.1 else 2))
    fields += [(rng.choice(_FIELDS), rng.choice(values)) for _ in range(more)]
    if rng.random() < 0.2:
        source = spoiled(rng, PROMPT, (*SCALARS, *TEMPLATES, *TEXTS)).decode("utf-8", "replace")
        fields.append(("source", source))
    body = urlencode(fields, errors="surrogateescape")
    return body if rng.random() < 0.95 else body.replace("=", rng.choice(("%", "&", ";", "\udcff")))


def clusters(rng: random.Random, zygote: Zygote, places: Places) -> Iterator[Try]:
    """Addresses that are none, certificates that are none, and whoever answers in a scheduler's
    place."""
    folder = zygote.work / "certificates"
    folder.mkdir(exist_ok=True)
    bad = (
        "", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:x", "tcp://127.0.0.1:99999", "udp://[::1]:1",
        "tcp://[::1", "tcp://" + "a" * 300 + ":1", "tcp://" + "é" * 200 + ":1", "tls://127.0.0.1:1",
        "tcp://127.0.0.1:1/path", "tcp://u:p@127.0.0.1:1", "http://127.0.0.1:1", *TEXTS,
    )  # fmt: skip
    with _Impostor(rng) as impostor:
        while True:
            for name in ("ca.pem", "cert.pem", "key.pem"):
                (folder / name).write_bytes(spoiled(rng, _PEM, (*TEXTS, "-----BEGIN X-----")))
            address = rng.choice((impostor.address, impostor.address, rng.choice(bad)))
            command = rng.choice((
                ["cluster", "check", address],
                ["cluster", "worker", address, "--name", rng.choice(TEXTS)],
                ["eval", "suite.yaml", "-m", "tiny", "--cluster", address, *FAST],
                ["bench", "say", "-m", "tiny", "-p", "text=x", "-y", "--cluster", address],
                ["cluster", "scheduler", "--port", "0", "--interface", rng.choice(TEXTS)],
            ))  # fmt: skip
            if rng.random() < 0.3:
                command += ["--tls", rng.choice((str(folder), places.any(rng)))]
            yield Try([part.replace("\0", "") for part in command], long=True)


_PEM = """-----BEGIN CERTIFICATE-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END CERTIFICATE-----
"""


class _Impostor:
    """Listens on loopback and answers in a way of its own."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = random.Random(rng.random())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> _Impostor:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        # A thread in accept() is not woken by closing alone.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(2)
                self._rng.choice((self._nothing, self._garbage, self._web, self._frames))(
                    connection
                )

    def _nothing(self, connection: socket.socket) -> None:
        connection.recv(1)

    def _garbage(self, connection: socket.socket) -> None:
        connection.sendall(self._rng.randbytes(self._rng.choice((1, 8, 5000))))
        connection.recv(65536)

    def _web(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    def _frames(self, connection: socket.socket) -> None:
        """Lengths as Dask writes them, of what does not follow."""
        connection.recv(65536)
        count = self._rng.choice((1, 2, 10**6, 2**63))
        connection.sendall(struct.pack("<QQ", self._rng.choice((8, 2**40, 0)), count))
        connection.sendall(self._rng.randbytes(64))
