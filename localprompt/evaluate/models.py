"""Open models, and contexts large enough for what is asked of them.

An evaluation opens each model once. While its files are being watched, models stay open from one
evaluation to the next, which is what makes a small change of a prompt quick to try.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec

from localprompt.engine.base import Engine
from localprompt.errors import EngineError, NotEnoughMemoryError
from localprompt.evaluations import EvalRequest
from localprompt.fit import predicted_peak, resident_before_opening
from localprompt.measure import memory
from localprompt.plan import Cell
from localprompt.records import Memory, ModelRecord, PromptTemplate, Sampling, Settings
from localprompt.units import format_bytes

OpenEngine = Callable[[ModelRecord, EvalRequest], Engine]

MOST_PARALLEL = 16
"""Beyond it a CPU gains little: decoding is then bound by arithmetic, as prefill is."""
_KEPT_FREE_BYTES = 64 * 1024**2
_CELL_STEP = 256


def open_llama(model: ModelRecord, request: EvalRequest) -> Engine:
    """The engine for real models."""
    from localprompt.engine.llama import LlamaEngine

    return LlamaEngine(Path(model.path), request.settings, chat_template=request.chat_template)


class OpenModel:
    """A model with a context that grows when it has to.

    Args:
        model: what to open.
        request: how; its ``force`` opens even what is predicted not to fit.

    Raises:
        ModelFileError, EngineError: llama.cpp refuses the model.
        NotEnoughMemoryError: predicted not to fit.
    """

    def __init__(self, model: ModelRecord, request: EvalRequest, open_engine: OpenEngine) -> None:
        self.model = model
        self._request = request
        self._baseline = memory.read()
        self._resident = resident_before_opening(self._baseline)
        memory.reset_peak()
        self._check_memory()
        started = time.perf_counter()
        self.engine = open_engine(model, request)
        self._load_seconds = time.perf_counter() - started
        self.parallel = 1
        self._cells = 0

    @property
    def cells(self) -> int:
        """KV cache cells of the open context; 0 where there is none."""
        return self._cells

    @property
    def most_tokens(self) -> int:
        """What one prompt and its answer may take together."""
        return self._request.settings.n_ctx or self.engine.facts.n_ctx_train

    def prepare(self, needs: list[int]) -> None:
        """Open a context for requests that need so many cells each, as many at once as fit.

        A context that is large enough already stays.

        Raises:
            EngineError, NotEnoughMemoryError: it cannot be allocated.
        """
        wanted = min(self._request.parallel or MOST_PARALLEL, max(1, len(needs)))
        largest = sorted(needs, reverse=True)
        if wanted <= self.parallel and sum(largest[:wanted]) <= self._cells:
            return
        wanted = max(wanted, self.parallel)
        while wanted > 1 and not self._fits(sum(largest[:wanted])):
            wanted -= 1
        cells = -(-max(sum(largest[:wanted]), self._cells) // _CELL_STEP) * _CELL_STEP
        started = time.perf_counter()
        self.engine.prepare(self._request.settings, n_ctx=cells, parallel=wanted)
        self._load_seconds += time.perf_counter() - started
        self._cells, self.parallel = cells, wanted

    def take_load_seconds(self) -> float:
        """What opening the model and its contexts took since this was last asked."""
        taken, self._load_seconds = self._load_seconds, 0.0
        return taken

    def settings(self) -> Settings | None:
        """The effective ones; None where no context was opened."""
        with suppress(EngineError):
            return self.engine.settings if self._cells else None
        return None

    def memory(self) -> Memory:
        """What this process takes now, and its peak since the model was opened."""
        reading, buffers = memory.read(), self.engine.buffers
        return Memory(
            baseline_rss_bytes=self._baseline.rss_bytes,
            peak_rss_bytes=reading.peak_rss_bytes,
            anonymous_bytes=reading.anonymous_bytes,
            file_backed_bytes=reading.file_backed_bytes,
            weights_bytes=buffers.weights_bytes,
            kv_cache_bytes=buffers.kv_cache_bytes,
            compute_bytes=buffers.compute_bytes,
            predicted_peak_bytes=self._peak(self._cells) if self._cells else None,
        )

    def close(self) -> None:
        self.engine.close()

    def _peak(self, cells: int) -> int | None:
        cell = Cell(
            kind="eval",
            model=self.model,
            template=PromptTemplate(name="", body=""),
            params={},
            sampling=Sampling(),
            settings=self._request.settings,
        )
        return predicted_peak(cell, cells, self._resident)

    def _fits(self, cells: int) -> bool:
        """Whether a context of so many cells is predicted to fit beside what is resident."""
        available = memory.available().available_bytes
        peak, resident = self._peak(cells), memory.read().rss_bytes
        if available is None or peak is None or resident is None:
            return True
        return peak - resident + _KEPT_FREE_BYTES <= available

    def _check_memory(self) -> None:
        available, peak = memory.available().available_bytes, self._peak(_CELL_STEP)
        if self._request.force or available is None or peak is None:
            return
        needed = peak - (self._baseline.rss_bytes or 0)
        if needed + _KEPT_FREE_BYTES > available:
            raise NotEnoughMemoryError(
                f"{self.model.name} would not fit into free memory",
                expected=f"{format_bytes(needed)} (estimated)",
                found=f"{format_bytes(available)} free",
                next_step="use a smaller model, or --force to try",
            )


class Models:
    """The open models of an evaluation.

    Args:
        keep: whether models stay open until the end; otherwise at most one answers, and one
            judges, at any time.
    """

    def __init__(self, open_engine: OpenEngine = open_llama, *, keep: bool = False) -> None:
        self._open_engine = open_engine
        self._keep = keep
        self._open: dict[bytes, OpenModel] = {}

    def get(self, model: ModelRecord, request: EvalRequest, *, beside: bool = False) -> OpenModel:
        """The model, opened if it is not.

        Args:
            beside: whether the others stay open in any case, as for a judge.
        """
        key = _identity(model, request)
        if key not in self._open:
            if not self._keep and not beside:
                self.close()
            self._open[key] = OpenModel(model, request, self._open_engine)
        return self._open[key]

    def close(self) -> None:
        for opened in self._open.values():
            opened.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _identity(model: ModelRecord, request: EvalRequest) -> bytes:
    """What has to be equal for an open model to serve."""
    return msgspec.json.encode(
        (model.path, model.sha256, request.settings, request.chat_template, request.parallel)
    )
