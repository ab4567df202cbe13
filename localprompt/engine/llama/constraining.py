"""A model's vocabulary, made ready for constraints while the model is loading.

llguidance builds a tree of all tokens: a third of a second for 152,000 of them. It is begun before
the weights are opened, in a thread beside that, from the tokens' bytes as an earlier run wrote them
down; llama.cpp itself says them only when the model is open, and slowly. The file is keyed by the
weights' sha256, because that is known before anything is read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from localprompt import paths
from localprompt.engine.base import Constraint
from localprompt.engine.constraints.matching import Matcher, Matching, Pieces
from localprompt.engine.crashes import doing
from localprompt.engine.llama.vocab import Vocabulary
from localprompt.files import replace_file

_VERSION = 1
"""Of the file's meaning; part of its name."""
MOST_FILES = 32
"""Vocabularies that are kept; the oldest gives way."""


class Constraining:
    """The constraints of one open model.

    Args:
        model_sha256: of the weights; None keeps nothing on disk.
        vocabulary: called when the model is open, from any thread.
    """

    def __init__(self, model_sha256: str | None, vocabulary: Callable[[], Vocabulary]) -> None:
        self._file = None if model_sha256 is None else _file(model_sha256)
        self._vocabulary = vocabulary
        self._matching: Matching | None = None
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._opened = threading.Event()
        self._made = threading.Event()

    def begin(self) -> None:
        """Make ready in the background, if it was not begun yet."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._make, name="constraint", daemon=True)
            self._thread.start()

    def opened(self) -> None:
        """The model is open, or will never be: what waits for its vocabulary may go on."""
        self._opened.set()

    def matcher(self, constraint: Constraint) -> Matcher:
        """A new answer's place in a constraint; waits until it can be had.

        Raises:
            EngineError: llguidance refuses the constraint.
        """
        self.begin()
        self._made.wait()
        if self._matching is None:
            raise self._failure or RuntimeError("the vocabulary was closed")
        doing("compiling what the answer is held to")
        return self._matching.matcher(constraint)

    def close(self) -> None:
        """Wait until nothing reads the model any more."""
        self._opened.set()
        if self._thread is not None:
            self._thread.join()

    def _make(self) -> None:
        try:
            pieces = _read(self._file)
            if pieces is None:
                self._opened.wait()
                pieces = self._vocabulary().pieces()
                _keep(self._file, pieces)
            self._matching = Matching(pieces, self._tokenize)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._failure = error
        finally:
            self._made.set()
        import numpy as np  # noqa: F401 - the first mask would have to wait for it

    def _tokenize(self, text: str) -> list[int]:
        return self._vocabulary().tokenize_inside(text)


def _file(model_sha256: str) -> Path:
    return paths.cache_folder() / "vocabularies" / f"{model_sha256}.{_VERSION}"


def _read(file: Path | None) -> Pieces | None:
    """What an earlier run wrote; a file that cannot be read is as good as none."""
    if file is None:
        return None
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=Pieces)
    except (OSError, msgspec.DecodeError):
        return None


def _keep(file: Path | None, pieces: Pieces) -> None:
    """A vocabulary that cannot be kept is read from the model again the next time."""
    if file is None:
        return
    with suppress(OSError):
        replace_file(file, msgspec.msgpack.encode(pieces))
        files = sorted(file.parent.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in files[MOST_FILES:]:
            old.unlink(missing_ok=True)
