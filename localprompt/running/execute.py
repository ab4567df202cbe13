"""One cell, executed and measured: what everything else in the package repeats.

``ask`` and ``run`` execute a cell in their own process; benches and evaluations do it in workers.
Nothing here prints or stores: text is handed on as it becomes certain, the record comes back.

The order follows the clock::

    render │ open the weights │ tokenize │ open the context │ prefill, decode │ read memory
           └───── load ───────┘          └───── load ───────┘

The context is opened when the prompt's length is known, so that the KV cache is as large as it
has to be and no larger. Opening it is part of load, so a request counts as submitted one
tokenization before its prefill begins: TTFT contains tokenization and no part of loading.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import msgspec

import localprompt
from localprompt.engine import crashes
from localprompt.engine.base import (
    ChoiceRequest,
    Constraint,
    EncodedPrompt,
    Engine,
    GenerationRequest,
)
from localprompt.engine.constraints.prompts import constraint_of
from localprompt.errors import LocalPromptError
from localprompt.measure import conditions, machine, memory, timeline
from localprompt.measure.memory import MemoryReading
from localprompt.measure.warnings import condition_warnings, frequency_warnings
from localprompt.records import json
from localprompt.records.cell import Cell
from localprompt.records.ids import new_run_id
from localprompt.records.prompt import Message
from localprompt.records.run import (
    Memory,
    Output,
    PromptRecord,
    RequestedSettings,
    RunRecord,
    RunWarning,
    Samples,
    Sampling,
    Timing,
    TokenCounts,
)
from localprompt.rendering.prompt import render_messages
from localprompt.running.admission import (
    check_memory,
    over_limit,
    resident_before_opening,
    with_mapping_settled,
)
from localprompt.running.answer import Answer, OnEvent, OnText
from localprompt.running.answer_checks import judge
from localprompt.running.asked import Asked, as_evaluated
from localprompt.running.attention import OnNote
from localprompt.running.closed import MOST_BRANCHES
from localprompt.running.nearness import chosen_by, embedder, with_near
from localprompt.running.prefix.beginning import Beginning
from localprompt.running.prefix.turns import (
    Continued,
    Found,
    carry_over,
    keep_turn,
)

_WARM_UP_TOKENS = 32

OpenEngine = Callable[[Cell], Engine]


class Rendered(msgspec.Struct, frozen=True):
    """A cell's messages, and how long they took."""

    messages: tuple[Message, ...]
    render_seconds: float


class Execution(msgspec.Struct, frozen=True):
    """What came out of a cell."""

    record: RunRecord
    samples: Samples
    failure: LocalPromptError | None = None
    """What ended it half-way; the record then holds what there was until that moment."""


def render(cell: Cell) -> Rendered:
    """Template and parameters → messages.

    Raises:
        PromptFileError, ParameterError: the template does not render.
        LocalPromptError: its examples are chosen by a model that cannot be opened.
    """
    started = time.perf_counter()
    template, by = cell.template, chosen_by(cell.template)
    if by is not None:
        with embedder(by) as embed:
            template = with_near(template, [cell.params], embed)
    messages = render_messages(template, cell.params, lenient=cell.lenient)
    return Rendered((*cell.before, *messages), time.perf_counter() - started)


def execute(
    cell: Cell,
    open_engine: OpenEngine,
    on_text: OnText | None = None,
    on_note: OnNote = lambda _: None,
) -> Execution:
    """Run one cell once, in this process; see :meth:`Session.attempt` for what may be raised."""
    rendered = render(cell)
    with open_session(cell, rendered, open_engine, on_note) as session:
        return session.attempt(cell, rendered, on_text)


@contextmanager
def open_session(
    cell: Cell, rendered: Rendered, open_engine: OpenEngine, on_note: OnNote = lambda _: None
) -> Iterator[Session]:
    """Open the cell's model for one run or several.

    Args:
        on_note: told what a user has to wait for, beside the model and its answer.

    Raises:
        PromptFileError: the prompt's schema is not one, or nothing can satisfy it.
        NotEnoughMemoryError: predicted not to fit; refused before the weights are touched.
        ModelFileError, EngineError: llama.cpp refuses the model.
    """
    baseline = memory.read()
    constraint_of(cell.template)
    resident = resident_before_opening(baseline)
    cell = with_mapping_settled(cell, rendered.messages, resident)
    check_memory(cell, rendered.messages, resident)
    started = time.perf_counter()
    with open_engine(cell) as engine:
        mapped = cell.settings.use_mmap
        opened = time.perf_counter() - started
        yield Session(engine, baseline, resident, opened, mapped, on_note)


class Session:
    """An open model. The context stays open from run to run while its size fits."""

    def __init__(
        self,
        engine: Engine,
        baseline: MemoryReading,
        resident: int | None,
        open_seconds: float,
        mapped: bool | None,
        on_note: OnNote = lambda _: None,
    ) -> None:
        self._engine = engine
        self._on_note = on_note
        self._baseline = baseline
        self._resident = resident
        self._open_seconds = open_seconds
        self._mapped = mapped
        self._context_seconds = 0.0
        self._n_ctx = 0
        self._parallel = 1
        self._settings: RequestedSettings | None = None
        self._frequencies: list[float | None] = []
        """At the end of each run."""

    def run(self, cell: Cell, rendered: Rendered, on_text: OnText | None = None) -> Execution:
        """:meth:`attempt` for those who have no use for half an answer: raises what ended it."""
        execution = self.attempt(cell, rendered, on_text)
        if execution.failure is not None:
            raise execution.failure
        return execution

    def attempt(
        self,
        cell: Cell,
        rendered: Rendered,
        on_text: OnText | None = None,
        on_event: OnEvent | None = None,
    ) -> Execution:
        """Run a cell on this model and measure it.

        What ends the generation early does not take away what there is until then. After a
        KeyboardInterrupt, or a BrokenPipeError from ``on_text``, it is recorded as
        ``interrupted``; after a failure of llama.cpp behind the prefill as ``error``, and the
        execution carries the ``failure``.

        Raises:
            ContextOverflowError: the prompt does not fit into n_ctx.
            NotEnoughMemoryError: nothing fits into the cell's limit of memory.
            EngineError, NotEnoughMemoryError: llama.cpp cannot allocate the context, or fails
                before there is anything to keep.
        """
        created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        before = conditions.read()
        asked = self._asked(cell, rendered)
        cell, weighed = asked.cell, asked.weighed
        found = self._prepare(cell, asked.n_ctx_opened, weighed, asked.found)

        constraint = None if weighed else constraint_of(cell.template)
        record = self._begun(asked, rendered, created_at)
        record = msgspec.structs.replace(record, sampling=_with_digest(cell, constraint))
        crashes.begun(lambda: json.encode(record))

        beginning = Continued(cell, self._engine, found) if found else self._beginning(asked)
        answer = Answer(time.perf_counter(), asked.tokenize_seconds, beginning)
        if weighed is not None:
            answer.choose(self._engine, weighed, cell, on_text)
        else:
            request = GenerationRequest(
                asked.prompt.token_ids, cell.sampling, constraint, keep=cell.after != "forget"
            )
            answer.collect(self._engine, request, on_text, on_event)
        reading, after = memory.read(), conditions.read()

        not_kept = beginning.finish()
        if answer.failure is None:
            not_kept += keep_turn(cell, self._engine, rendered.messages, answer.text)
        warnings = (
            *not_kept,
            *over_limit(cell, reading.peak_rss_bytes),
            *condition_warnings(before, after, reading),
            *self._frequency_changes(cell, after.frequency_hertz),
        )
        record = self._measured(record, asked, rendered, answer, reading, beginning.reused_tokens)
        shown = machine.after(record.machine, before, after)
        record = msgspec.structs.replace(record, machine=shown)
        record = self._ended(record, cell, asked.prompt, answer, warnings)
        if record.output.completed and on_text is not None:
            with suppress(BrokenPipeError):  # the answer is complete all the same
                on_text(record.output.completed)
        samples = timeline.samples(answer.marks(), answer.tokens)
        return Execution(record, samples, answer.failure)

    def _frequency_changes(self, cell: Cell, hertz: float | None) -> tuple[RunWarning, ...]:
        """Whether this one of several repetitions ended at another frequency than earlier ones."""
        self._frequencies.append(hertz)
        return frequency_warnings(self._frequencies) if cell.kind == "bench" else ()

    def _asked(self, cell: Cell, rendered: Rendered) -> Asked:
        """The cell as this model will evaluate it."""
        settings = msgspec.structs.replace(cell.settings, use_mmap=self._mapped)
        return as_evaluated(
            msgspec.structs.replace(cell, settings=settings),
            self._engine,
            rendered.messages,
            resident=self._resident,
            held_flash=self._settings.flash_attn if self._settings else None,
            on_note=self._on_note,
        )

    def _measured(
        self,
        record: RunRecord,
        asked: Asked,
        rendered: Rendered,
        answer: Answer,
        reading: MemoryReading,
        reused_tokens: int,
    ) -> RunRecord:
        """The record with what an answer took."""
        counts = TokenCounts(
            len(asked.prompt.token_ids),
            reused_tokens,
            len(answer.tokens),
            forced=answer.shortcuts.forced,
            drafted=answer.shortcuts.drafted,
            accepted=answer.shortcuts.accepted,
        )
        return msgspec.structs.replace(
            record,
            tokens=counts,
            timing=self._timing(answer.marks(), answer.tokens, counts, rendered),
            memory=self._memory(asked.cell, reading, record.memory.predicted_peak_bytes),
        )

    def _ended(
        self,
        record: RunRecord,
        cell: Cell,
        prompt: EncodedPrompt,
        answer: Answer,
        warnings: Sequence[RunWarning],
    ) -> RunRecord:
        """A measured record with its answer, judged, and with all that its reader should know."""
        output, remarks = judge(
            cell,
            prompt,
            record.tokens,
            answer.text,
            answer.finish_reason,
            self._engine.facts.n_ctx_train,
        )
        warnings = (*cell.notices, *self._engine.remarks, *remarks, *warnings)
        return msgspec.structs.replace(record, output=output, warnings=warnings)

    def _beginning(self, asked: Asked) -> Beginning:
        first = asked.attention.flash_beginning
        return Beginning(
            asked.cell,
            self._engine,
            asked.constant or asked.prompt.token_ids[:first],
            with_flash=first > 0,
            may_keep=bool(asked.constant),
        )

    def _begun(self, asked: Asked, rendered: Rendered, created_at: str) -> RunRecord:
        """The run's record as it is before its first token: all that stays of one that crashes."""
        engine, cell, prompt = self._engine, asked.cell, asked.prompt
        counts = TokenCounts(len(prompt.token_ids), 0, 0)
        expected = asked.attention.peak(cell, asked.n_ctx, self._resident, counts.prompt)
        settings = msgspec.structs.replace(engine.settings, attention=asked.attention.reason)
        marks = timeline.Marks(submitted=0.0, tokenized=asked.tokenize_seconds)
        return RunRecord(
            id=new_run_id(),
            kind=cell.kind,
            created_at=created_at,
            localprompt_version=localprompt.__version__,
            model=cell.model,
            prompt=_prompt_record(cell, rendered.messages, prompt),
            settings=settings,
            sampling=cell.sampling,
            tokens=counts,
            timing=self._timing(marks, (), counts, rendered),
            memory=self._memory(cell, memory.read(), expected),
            output=Output("", None, "error"),
            profile=cell.profile,
            conversation=cell.conversation,
            machine=machine.describe(
                llama_cpp_build=engine.build, cpu_features=engine.cpu_features
            ),
        )

    def warm_up(self, cell: Cell, rendered: Rendered) -> None:
        """Evaluate the beginning of the prompt and one token.

        The first evaluation finds the weights' pages unmapped and threads not yet started;
        repetitions that are compared with each other should not have that in one of them. A part
        of the prompt is enough for it, and a long one would cost as much as a repetition.

        Raises:
            as :meth:`run`.
        """
        asked = self._asked(cell, rendered)
        # The very context that the repetitions will find open: another one would be thrown away,
        # and theirs be as cold as before.
        self._prepare(asked.cell, asked.n_ctx_opened, asked.weighed)
        beginning = asked.prompt.token_ids[:_WARM_UP_TOKENS]
        one_token = msgspec.structs.replace(cell.sampling, max_tokens=1)
        for _ in self._engine.generate([GenerationRequest(beginning, one_token)]):
            pass

    def _prepare(
        self,
        cell: Cell,
        n_ctx: int,
        weighed: ChoiceRequest | None = None,
        found: Found | None = None,
    ) -> Found | None:
        """Open a context, unless the open one serves.

        Returns:
            what was found, where it is still there.
        """
        enough = n_ctx == self._n_ctx or (n_ctx < self._n_ctx and cell.settings.n_ctx is None)
        parallel = min(MOST_BRANCHES, len(weighed.choices)) if weighed else 1
        if enough and cell.settings == self._settings and parallel == self._parallel:
            return found
        started = time.perf_counter()
        self._settings = None  # until it is open: where that fails, no context is
        if found is not None and found.key is None:
            found = found if carry_over(self._engine, found, cell, n_ctx) else None
        else:
            self._engine.prepare(cell.settings, n_ctx=n_ctx, parallel=parallel)
        self._parallel = parallel
        self._context_seconds = time.perf_counter() - started
        self._n_ctx, self._settings = n_ctx, cell.settings
        return found

    def _timing(
        self,
        marks: timeline.Marks,
        tokens: Sequence[timeline.TokenEvent],
        counts: TokenCounts,
        rendered: Rendered,
    ) -> Timing:
        return timeline.timing(
            marks,
            tokens,
            counts,
            load_seconds=self._open_seconds + self._context_seconds,
            render_seconds=rendered.render_seconds,
        )

    def _memory(
        self, cell: Cell, reading: MemoryReading, expected_peak_bytes: int | None
    ) -> Memory:
        buffers = self._engine.buffers
        return Memory(
            baseline_rss_bytes=self._baseline.rss_bytes,
            peak_rss_bytes=reading.peak_rss_bytes,
            anonymous_bytes=reading.anonymous_bytes,
            file_backed_bytes=reading.file_backed_bytes,
            weights_bytes=buffers.weights_bytes,
            kv_cache_bytes=buffers.kv_cache_bytes,
            compute_bytes=buffers.compute_bytes,
            predicted_peak_bytes=expected_peak_bytes,
            max_memory_bytes=cell.limit.bytes if cell.limit else None,
        )


def _prompt_record(
    cell: Cell, messages: tuple[Message, ...], prompt: EncodedPrompt
) -> PromptRecord:
    ids = struct.pack(f"<{len(prompt.token_ids)}i", *prompt.token_ids)
    return PromptRecord(
        name=cell.template.name or None,
        path=cell.template.path,
        sha256=cell.template.sha256 or None,
        params=cell.params,
        messages=messages,
        rendered_sha256=hashlib.sha256(prompt.text.encode()).hexdigest(),
        token_ids_sha256=hashlib.sha256(ids).hexdigest(),
        chat_template_sha256=prompt.chat_template_sha256,
    )


def _with_digest(cell: Cell, constraint: Constraint | None) -> Sampling:
    if constraint is None:
        return cell.sampling
    return msgspec.structs.replace(cell.sampling, grammar_sha256=constraint.sha256)
