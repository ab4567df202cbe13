"""The answer to one request, as it comes: its tokens with their moments, its text, its end.

What ends it early does not take away what there is until then: Ctrl-C and a reader that went away
leave an interrupted answer, a failure of llama.cpp behind the prefill one that ends in an error.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from localprompt.engine import crashes
from localprompt.engine.base import (
    NO_SHORTCUTS,
    ChoiceRequest,
    Engine,
    Finished,
    GenerationRequest,
    Prefilled,
    Token,
)
from localprompt.errors import LocalPromptError
from localprompt.measure import timeline
from localprompt.records.cell import Cell
from localprompt.records.run import FinishReason
from localprompt.running.closed import weigh_choices
from localprompt.running.prefix.beginning import Beginning
from localprompt.running.prefix.turns import Continued

OnText = Callable[[str], None]
OnEvent = Callable[[Token | Finished], None]
"""Told of what brings a text, just before the text."""


class Answer:
    """Collects the events of one request."""

    def __init__(
        self, ready: float, tokenize_seconds: float, beginning: Beginning | Continued
    ) -> None:
        self._submitted = ready - tokenize_seconds
        self._ready = ready
        self._prefilled: float | None = None
        self._released: float | None = None
        self._finished: float | None = None
        self._beginning = beginning
        self.tokens: list[timeline.TokenEvent] = []
        self.text = ""
        self.shortcuts = NO_SHORTCUTS
        self.finish_reason: FinishReason = "interrupted"
        self.failure: LocalPromptError | None = None

    def collect(
        self,
        engine: Engine,
        request: GenerationRequest,
        on_text: OnText | None,
        on_event: OnEvent | None = None,
    ) -> None:
        beginning = self._beginning
        crashes.doing("prefill")
        try:
            beginning.hold()
            if not beginning.held_tokens:
                engine.cut_held(0)
            request = msgspec.structs.replace(request, held_tokens=beginning.held_tokens)
            for event in engine.generate([request]):
                if isinstance(event, Prefilled):
                    self._prefilled = event.seconds
                    continue
                if isinstance(event, Finished):
                    self._finished = event.seconds
                    self.finish_reason = event.reason
                    self._released = event.seconds if event.text else None
                else:
                    self.tokens.append(timeline.TokenEvent(event.seconds, bool(event.text)))
                    crashes.token(event.text)
                self.text += event.text
                self.shortcuts = event.shortcuts
                if on_event is not None:
                    on_event(event)
                if event.text and on_text is not None:
                    on_text(event.text)
        except (KeyboardInterrupt, BrokenPipeError):
            self.finish_reason = "interrupted"
        except LocalPromptError as error:
            if self._prefilled is None:
                beginning.abandon()
                raise
            self.finish_reason, self.failure = "error", error

    def choose(
        self, engine: Engine, request: ChoiceRequest, cell: Cell, on_text: OnText | None
    ) -> None:
        """Score closed answers instead of generating one."""
        crashes.doing("scoring choices")
        engine.cut_held(0)
        try:
            taken = weigh_choices(engine, request, cell.template)
            self._prefilled = self._released = self._finished = taken.seconds
            self.finish_reason, self.text = "stop", taken.text
            if on_text is not None:
                on_text(taken.text)
        except (KeyboardInterrupt, BrokenPipeError):
            self.finish_reason = "interrupted"

    def marks(self) -> timeline.Marks:
        return timeline.Marks(
            submitted=self._submitted,
            tokenized=self._ready,
            prefill_start=self._ready,
            prefill_end=self._prefilled,
            released=self._released,
            finished=self._finished,
            prefix_store_seconds=self._beginning.store_seconds,
        )
