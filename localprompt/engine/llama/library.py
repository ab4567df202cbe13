"""llama.cpp's functions, its log, and its failures as our errors.

``import llama_cpp`` runs the package's high-level half (numpy, chat formats, a cache), which
costs about ten times as long as the ctypes bindings that this package uses. The bindings are
therefore imported as the submodule they are, under a stand-in for the package that is taken
away again, so that an ordinary ``import llama_cpp`` elsewhere still works.

llama.cpp says why it fails only in its log. :class:`LogTail` keeps the last lines; every error
that is raised from a failed call carries those that matter.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from localprompt.engine.llama.interrupt import interruptible
from localprompt.errors import EngineError, ModelFileError

_PACKAGE = "llama_cpp"
_WARN = 3
_ERROR = 4
_CONTINUED = 5

_LONGEST_LINE = 2000
"""A line quotes what stands in the file, and that may be of any length."""
_BUFFER = re.compile(
    r"(?<!\S)(\S{1,100})[ \t]{1,40}(model|output|KV|RS|compute) buffer size = {1,20}"
    r"([\d.]{1,20}) MiB"
)


@contextmanager
def _without_package_init() -> Iterator[None]:
    """Let submodules of llama_cpp be imported without running its ``__init__``."""
    from importlib.util import find_spec

    if _PACKAGE in sys.modules:
        yield
        return
    spec = find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        from localprompt.compiling import rebuild_command

        raise EngineError(
            "llama-cpp-python is not installed",
            next_step=rebuild_command(),
        )
    stand_in = ModuleType(_PACKAGE)
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules[_PACKAGE] = stand_in
    try:
        yield
    finally:
        del sys.modules[_PACKAGE]


@cache
def library() -> Any:
    """The ctypes bindings, with the log connected and the backend started."""
    # A failed assertion inside ggml would otherwise start a debugger to print a backtrace.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    try:
        with _without_package_init():
            from llama_cpp import llama_cpp as lib
    except (OSError, RuntimeError, AttributeError) as error:
        from localprompt.compiling import rebuild_command

        raise EngineError(
            "llama.cpp's library could not be opened",
            found=str(error),
            next_step=rebuild_command(),
        ) from error
    log.connect(lib)
    lib.llama_backend_init()
    return lib


@cache
def build() -> str:
    """``llama-cpp-python 0.3.36``, read from the package's own source.

    Asking importlib.metadata for the version takes ten times as long as reading that line.
    """
    package = Path(library().__file__).parent
    text = (package / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'__version__ = "([^"]+)"', text)
    return f"llama-cpp-python {match[1] if match else '(unknown version)'}"


@cache
def cpu_features() -> tuple[str, ...]:
    """What llama.cpp's build uses of this CPU: ``("AVX2", "FMA", "AVX512", …)``."""
    info: str = library().llama_print_system_info().decode()
    return tuple(re.findall(r"\b(\w++) = 1", info))


class LogTail:
    """The last lines that llama.cpp logged, and the buffer sizes among them."""

    def __init__(self, size: int = 400) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=size)
        self._partial = ""
        self._callback: Any = None
        self._observer: Callable[[str], None] | None = None

    def connect(self, lib: Any) -> None:
        """Receive llama.cpp's log instead of letting it go to stderr."""

        def receive(level: int, text: bytes, _: object) -> None:
            if level == 1:  # debug: thousands of lines that nobody will ask for
                return
            line = text[:_LONGEST_LINE].decode(errors="replace")
            if self._observer is not None:
                self._observer(line)
            line = line.rstrip("\n")
            if level == _CONTINUED and self._lines:
                level, before = self._lines.pop()
                line = (before + line)[:_LONGEST_LINE]
            self._lines.append((level, line))

        # The library keeps the pointer for as long as it lives, and so must we.
        self._callback = lib.llama_log_callback(receive)
        lib.llama_log_set(self._callback, None)

    @contextmanager
    def observed(self, observer: Callable[[str], None]) -> Iterator[None]:
        """Within the block, hand on each piece of a line at the moment that it is logged.

        The observer is called from inside llama.cpp: what it raises is printed and forgotten.
        """
        self._observer = observer
        try:
            yield
        finally:
            self._observer = None

    def clear(self) -> None:
        self._lines.clear()

    def complaints(self, most: int = 3) -> str | None:
        """The last errors, or else warnings, as one line; None where there were none."""
        for least in (_ERROR, _WARN):
            found = [text.strip() for level, text in self._lines if level >= least]
            if found:
                return " | ".join(dict.fromkeys(found[-most:]))
        return None

    def buffers(self) -> dict[str, int]:
        """Bytes by ``<backend> <kind>``, as ``{"CPU_Mapped model": 96571392, "CPU KV": …}``."""
        sizes: dict[str, int] = {}
        for _, text in self._lines:
            match = _BUFFER.search(text)
            if match:
                key = f"{match[1]} {match[2]}"
                sizes[key] = sizes.get(key, 0) + round(float(match[3]) * 1024**2)
        return sizes

    def mentions(self, pattern: str) -> bool:
        return any(re.search(pattern, text) for _, text in self._lines)


log = LogTail()


def load_model(path: Path, params: Any) -> Any:
    """The pointer to a model that llama.cpp loads; Ctrl-C ends the loading.

    Args:
        params: ``llama_model_params``; its progress callback is set here.

    Raises:
        ModelFileError: llama.cpp cannot read the file; carries the reason from its log.
        KeyboardInterrupt: it was interrupted, and nothing is left open.
    """
    lib = library()
    params.progress_callback = interruptible().go_on(lib.llama_progress_callback)
    model = interruptible().opened(
        lambda: lib.llama_model_load_from_file(str(path).encode(), params), lib.llama_model_free
    )
    if not model:
        raise ModelFileError(
            "llama.cpp cannot load this model",
            where=str(path),
            found=log.complaints(),
            next_step=f"localprompt models show {shlex.quote(str(path))}",
        )
    return model
