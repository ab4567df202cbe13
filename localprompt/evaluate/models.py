"""Open models, and contexts large enough for what is asked of them.

An evaluation opens each model once. While its files are being watched, models stay open from one
evaluation to the next, which is what makes a small change of a prompt quick to try.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

import msgspec

from localprompt.engine.base import Engine
from localprompt.errors import EngineError
from localprompt.evaluate.measured import Measured
from localprompt.evaluate.room import (
    MOST_APART_BYTES,
    USUAL,
    Room,
    room_apart,
    shared_room,
)
from localprompt.evaluate.ways import Shape, Way, reason
from localprompt.measure import memory
from localprompt.models.predict import with_mapping_decided
from localprompt.records.cell import Cell
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import Memory, RequestedSettings, Sampling, Settings
from localprompt.running.admission import (
    predicted_kv_cache,
    predicted_peak,
    resident_before_opening,
)
from localprompt.running.attention import OnNote

OpenEngine = Callable[[ModelRecord, EvalRequest], Engine]

_SHARE_OF_FREE = 4
"""Cells of their own may take one part in so many of the memory that is free."""


class Encoder(Protocol):
    """As much of a model as it takes to make requests of cases."""

    @property
    def engine(self) -> Engine: ...

    @property
    def most_tokens(self) -> int:
        """What one prompt and its answer may take together."""
        ...

    @property
    def embedders(self) -> dict[str | None, Engine]:
        """What is open here with its weights, by the model's sha256."""
        ...


def open_llama(model: ModelRecord, request: EvalRequest) -> Engine:
    """The engine for real models."""
    from localprompt.engine.llama.engine import LlamaEngine

    path = Path(model.path)
    return LlamaEngine(
        path,
        with_mapping_decided(request.settings, path),
        chat_template=request.chat_template,
        model_sha256=model.sha256,
        prove=not request.force,
    )


class OpenModel:
    """A model with a context that grows when it has to.

    Args:
        model: what to open.
        request: how; its ``force`` opens even what is predicted not to fit.
        on_note: told what a user has to wait for, beside the model.

    Raises:
        ModelFileError, EngineError: llama.cpp refuses the model.
        NotEnoughMemoryError: predicted not to fit.
    """

    def __init__(
        self,
        model: ModelRecord,
        request: EvalRequest,
        open_engine: OpenEngine,
        on_note: OnNote = lambda _: None,
    ) -> None:
        self.model = model
        self._reason: str | None = None
        """Why attention is computed as it is in the open context."""
        self._request = request
        self._baseline = memory.read()
        self._resident = resident_before_opening(self._baseline, reads_logits=True)
        memory.reset_peak()
        self._check_memory()
        started = time.perf_counter()
        self.engine: Engine = open_engine(model, request)
        self._load_seconds = time.perf_counter() - started
        self._measured = Measured(model, request.settings, self.engine, on_note)
        self._room: Room | None = None
        self._largest = 0
        """Cells that a request with a generated answer ever needed."""
        self.most_parallel = 1
        """Requests that were answered at once, at most."""

    @property
    def embedders(self) -> dict[str | None, Engine]:
        """This model, for examples that it says are near."""
        return {self.model.sha256: self.engine}

    @property
    def parallel(self) -> int:
        """Requests that are answered at once."""
        return self._room.parallel if self._room else 1

    @property
    def cells(self) -> int:
        """KV cache cells that one request can have; 0 where there is no context."""
        return self._room.cells if self._room else 0

    @property
    def most_tokens(self) -> int:
        """What one prompt and its answer may take together."""
        return self._request.settings.n_ctx or self.engine.facts.n_ctx_train

    def prepare(
        self,
        needs: list[int],
        *,
        shared: int = 0,
        generating: bool = True,
        shape: Shape | None = None,
    ) -> None:
        """Open a context for requests that need so many cells each, as many at once as fit.

        A context that serves already stays, and none becomes too small for what it served: a
        judge that is the same model asks in between, one request at a time.

        Args:
            needs: at least one.
            shared: cells of what all of them begin with.
            generating: whether answers are generated; choices are scored in shared cells only.
            shape: what the requests of the whole plan look like, by which the way through
                attention is chosen; None: as the open context has it.

        Raises:
            EngineError, NotEnoughMemoryError: it cannot be allocated.
        """
        largest = sorted(needs, reverse=True)
        if generating:
            largest[0] = self._largest = max(self._largest, largest[0])
        chosen = () if shape is None else self._measured.ways(shape, generating=generating)
        room = self._room_for(chosen, largest, shared)
        if room is None:
            room = self._usual_room(largest, shared, generating=generating, kept=shape is None)
        before = self._room
        usable = before if before and (generating or before.kv_unified) else None
        if usable and usable.computes_like(room) and usable.holds(largest, shared, room.parallel):
            return
        started = time.perf_counter()
        self._room = None
        self.engine.prepare(
            self._settings(room),
            n_ctx=room.cells,
            parallel=room.parallel,
            kv_unified=room.kv_unified,
        )
        self._load_seconds += time.perf_counter() - started
        self._room = room
        self.most_parallel = max(self.most_parallel, room.parallel)

    def _usual_room(self, largest: list[int], shared: int, *, generating: bool, kept: bool) -> Room:
        """Where there is nothing to choose by, or nothing of what was counted fits.

        Args:
            kept: compute as the open context does.
        """
        wanted, before = self._request.parallel, self._room
        like = before if kept and before else USUAL
        room = None
        if generating:
            room = room_apart(largest, wanted, self._fits, before, self._kv_cache, like)
        return room or shared_room(largest, shared, wanted, self._fits, before, like)

    def _room_for(self, chosen: Sequence[Way], largest: list[int], shared: int) -> Room | None:
        """The room of the fastest way that fits into memory; None: none does."""
        typed = self._request.settings.n_ubatch
        for way in chosen:
            wanted = self._request.parallel or way.parallel
            like = msgspec.structs.replace(
                USUAL,
                flash_attn=way.flash_attn,
                n_ubatch=None if typed or way.flash_attn else way.n_ubatch,
            )
            before = self._room
            if way.apart:
                most = (memory.available().available_bytes or 0) // _SHARE_OF_FREE
                room = room_apart(
                    largest,
                    wanted,
                    self._fits,
                    before,
                    self._kv_cache,
                    like,
                    max(most, MOST_APART_BYTES),
                    least=2,
                )
            else:
                room = shared_room(largest, shared, wanted, self._fits, before, like)
            if room is None or room.parallel < min(wanted, len(largest)) / 2:
                continue
            if self._fits(room):
                self._reason = reason(way, chosen)
                return room
        self._reason = self._measured.why_not
        return None

    def _settings(self, room: Room) -> RequestedSettings:
        """What is asked of llama.cpp for a room."""
        settings = self._request.settings
        if room.flash_attn is not None:
            settings = msgspec.structs.replace(settings, flash_attn=room.flash_attn)
        if room.n_ubatch is not None:
            settings = msgspec.structs.replace(settings, n_ubatch=room.n_ubatch)
        return settings

    def take_load_seconds(self) -> float:
        """What opening the model and its contexts took since this was last asked."""
        taken, self._load_seconds = self._load_seconds, 0.0
        return taken

    def settings(self) -> Settings | None:
        """The effective ones; None where no context was opened."""
        with suppress(EngineError):
            if self._room:
                return msgspec.structs.replace(self.engine.settings, attention=self._reason)
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
            predicted_peak_bytes=self._peak(self._room) if self._room else None,
        )

    def close(self) -> None:
        self.engine.close()

    def _kv_cache(self, cells: int) -> int | None:
        return predicted_kv_cache(self.model, self._request.settings, cells)

    def _peak(self, room: Room) -> int | None:
        cell = Cell(
            kind="eval",
            model=self.model,
            template=PromptTemplate(name="", body=""),
            params={},
            sampling=Sampling(),
            settings=self._settings(room),
        )
        peak = predicted_peak(cell, room.cells, self._resident)
        if peak is None or room.kv_unified:
            return peak
        return peak + (room.sequences - 1) * (self._kv_cache(room.cells) or 0)

    def _fits(self, room: Room) -> bool:
        """Whether a context of that shape is predicted to fit beside what is resident."""
        available = memory.available().available_bytes
        peak, resident = self._peak(room), memory.read().rss_bytes
        if available is None or peak is None or resident is None:
            return True
        return peak - resident + memory.KEPT_FREE_BYTES <= available

    def _check_memory(self) -> None:
        peak = self._peak(USUAL)
        if self._request.force or peak is None:
            return
        memory.require(
            peak - (self._baseline.rss_bytes or 0),
            f"{self.model.name} would not fit into free memory",
            next_step="use a smaller model, or --force to try",
        )


class Models:
    """The open models of an evaluation.

    Args:
        keep: whether models stay open until the end; otherwise at most one answers, and one
            judges, at any time.
        on_note: told what a user has to wait for, beside a model.
    """

    def __init__(
        self,
        open_engine: OpenEngine = open_llama,
        *,
        keep: bool = False,
        on_note: OnNote = lambda _: None,
    ) -> None:
        self._open_engine = open_engine
        self._on_note = on_note
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
            self._open[key] = OpenModel(model, request, self._open_engine, self._on_note)
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
