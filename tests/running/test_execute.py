"""One cell through the scripted engine: what no model does on demand."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from localprompt.engine.scripted import ScriptedEngine
from localprompt.errors import ContextOverflowError, EngineError, PromptFileError
from localprompt.measure import conditions, memory
from localprompt.measure.timeline import token_gaps
from localprompt.records import json
from localprompt.records.cell import Cell
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import InputSpec, PromptTemplate
from localprompt.records.run import Kind, RequestedSettings, RunRecord, Sampling
from localprompt.running.execute import Session, execute, open_session, render

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "multipleOf": 5}},
    "required": ["n"],
    "additionalProperties": False,
}
Piece = bytes | BaseException


def cell(
    *,
    body: str = "user:\n{{ text }}",
    schema: dict[str, Any] | None = None,
    choices: tuple[str, ...] = (),
    settings: RequestedSettings | None = None,
    **sampling: Any,
) -> Cell:
    return Cell(
        kind="run",
        model=ModelRecord("scripted", "nowhere.gguf"),
        template=PromptTemplate(
            name="it",
            body=body,
            inputs=(InputSpec("text", required=True),),
            output_schema=schema,
            choices=choices,
        ),
        params={"text": "one two three "},
        sampling=Sampling(**{"max_tokens": 16, **sampling}),
        settings=settings or RequestedSettings(),
        force=True,
    )


def saying(*pieces: Piece, **options: Any) -> Callable[[Cell], ScriptedEngine]:
    return lambda _: ScriptedEngine(lambda _: pieces, **options)


def ran(cell: Cell, *pieces: Piece, **options: Any) -> RunRecord:
    return execute(cell, saying(*pieces, **options)).record


def codes(record: RunRecord) -> set[str]:
    """Of the warnings about the answer; what the machine did meanwhile is another matter."""
    about = {
        "output_not_parsed",
        "output_completed",
        "schema_not_held",
        "beyond_n_ctx_train",
        "no_chat_template",
        "system_folded",
    }
    return {warning.code for warning in record.warnings} & about


def test_the_record_says_what_was_asked_and_answered() -> None:
    shown: list[str] = []
    execution = execute(cell(), saying(b"Yes", b", ", b"it is."), shown.append)
    record = execution.record
    assert record.output.text == "".join(shown) == "Yes, it is."
    assert record.output.finish_reason == "stop"
    assert (record.tokens.prompt, record.tokens.reused, record.tokens.completion) == (3, 0, 3)
    assert record.prompt.messages[0].text == "one two three "
    assert record.prompt.rendered_sha256 == hashlib.sha256(b"one two three ").hexdigest()
    ids = struct.pack("<3i", 0, 1, 2)
    assert record.prompt.token_ids_sha256 == hashlib.sha256(ids).hexdigest()
    assert json.decode(json.encode(record)) == record
    assert execution.failure is None


def test_the_samples_are_the_moments_that_the_statistics_come_from() -> None:
    execution = execute(cell(), saying(b"a", b"b", b"c"))
    moments = execution.samples.token_seconds
    timing = execution.record.timing
    assert len(moments) == 3
    assert timing.ttft_seconds == moments[0]
    assert timing.decode_seconds == pytest.approx(moments[2] - moments[0])
    assert timing.itl_p50_seconds == pytest.approx(sum(token_gaps(moments)) / 2)


def test_the_time_to_the_first_text_passes_over_tokens_without_any() -> None:
    """Half a character, and text that could become a stop string, cannot be shown yet."""
    euro = "€".encode()
    split = execute(cell(), saying(euro[:1], euro[1:2], euro[2:], b"!"))
    assert split.record.output.text == "€!"
    assert split.record.timing.ttft_seconds == split.samples.token_seconds[2]
    held = execute(cell(stop=("END",)), saying(b"E", b"N", b"x"))
    assert held.record.output.text == "ENx"
    assert held.record.timing.ttft_seconds == held.samples.token_seconds[2]


def test_a_byte_that_is_no_text_becomes_the_replacement_character() -> None:
    assert ran(cell(), b"caf\xe9", b"!").output.text == "caf\ufffd!"


@pytest.mark.parametrize(
    ("pieces", "text", "reason"),
    [
        ((b"be", b"fore EN", b"D after"), "before ", "stop"),
        ((b"END",), "", "stop"),
        ((b"EN",), "EN", "stop"),
        ((b"x",) * 16, "x" * 16, "length"),
        ((b"x",) * 15 + (b"EN",), "x" * 15 + "EN", "length"),
        ((), "", "stop"),
    ],
)
def test_an_answer_ends_where_it_should(pieces: Sequence[bytes], text: str, reason: str) -> None:
    output = ran(cell(stop=("END",)), *pieces).output
    assert (output.text, output.finish_reason) == (text, reason)


def test_an_answer_without_a_token_has_no_figures_for_them() -> None:
    timing = ran(cell()).timing
    assert timing.prefill_seconds is not None
    assert timing.total_seconds is not None
    for absent in (
        timing.ttft_seconds,
        timing.decode_seconds,
        timing.decode_tokens_per_second,
        timing.itl_p50_seconds,
    ):
        assert absent is None


def test_one_token_has_no_decode_rate() -> None:
    timing = ran(cell(), b"Yes").timing
    assert timing.ttft_seconds is not None
    assert timing.decode_tokens_per_second is None


def test_ctrl_c_keeps_what_there_is() -> None:
    execution = execute(cell(), saying(b"Once ", b"upon ", KeyboardInterrupt()))
    assert execution.record.output.text == "Once upon "
    assert execution.record.output.finish_reason == "interrupted"
    assert execution.record.timing.total_seconds is None
    assert execution.failure is None


def test_a_reader_that_goes_away_ends_the_generation() -> None:
    engine = ScriptedEngine(lambda _: [b"word "] * 16)

    def gone(_: str) -> None:
        raise BrokenPipeError

    record = execute(cell(), lambda _: engine, gone).record
    assert record.output.finish_reason == "interrupted"
    assert record.tokens.completion == 1
    assert len(engine.decoded) == 1


def test_a_failure_half_way_keeps_what_there_is_and_is_carried_along() -> None:
    failure = EngineError("llama.cpp could not evaluate a batch")
    execution = execute(cell(), saying(b"Once ", b"upon ", failure))
    assert execution.failure is failure
    assert execution.record.output.text == "Once upon "
    assert execution.record.output.finish_reason == "error"


def test_a_failure_before_anything_was_evaluated_is_raised() -> None:
    class Broken(ScriptedEngine):
        def decode(self, slots: Sequence[Any]) -> None:
            raise EngineError("llama.cpp could not evaluate a batch")

    with pytest.raises(EngineError):
        execute(cell(), lambda _: Broken(lambda _: [b"a"]))


def test_who_repeats_a_cell_has_no_use_for_half_an_answer() -> None:
    asked = cell()
    with (
        open_session(asked, render(asked), saying(b"a", EngineError("no"))) as session,
        pytest.raises(EngineError),
    ):
        session.run(asked, render(asked))


@pytest.mark.parametrize("mapped", [None, True, False])
@pytest.mark.parametrize("per_byte", [False, True])
def test_repetitions_find_the_context_that_was_warmed_up(
    mapped: bool | None, per_byte: bool
) -> None:
    opened: list[int] = []

    class Counting(ScriptedEngine):
        def prepare(self, requested: RequestedSettings, *, n_ctx: int, **more: Any) -> None:
            opened.append(n_ctx)
            super().prepare(requested, n_ctx=n_ctx, **more)

    asked = cell(choices=("yes", "no"))
    weighed = msgspec.structs.replace(asked.template, per_byte=per_byte)
    asked = msgspec.structs.replace(asked, kind="bench", template=weighed)
    with Counting(lambda _: [b"yes"]) as engine:
        session = Session(engine, memory.read(), None, 0.0, mapped)
        session.warm_up(asked, render(asked))
        session.run(asked, render(asked))
    assert len(opened) == 1


def test_an_answer_that_follows_its_schema_is_parsed() -> None:
    record = ran(cell(schema=SCHEMA), b'{"n": ', b"10}")
    assert record.output.parsed == {"n": 10}
    assert codes(record) == set()


@pytest.mark.parametrize(
    ("pieces", "max_tokens", "problem"),
    [
        ((b'{"n": ', b"12}"), 16, "does not follow the schema at $.n"),  # no grammar knows this
        ((b'{"n": ', b"10}"), 2, "cut short (length)"),  # whole, but nobody knows
        ((b'{"n": ', b"1"), 16, "is not JSON"),
        ((b'{"n": ', KeyboardInterrupt()), 16, "cut short (interrupted)"),
        ((b'{"n": ', EngineError("no")), 16, "cut short (error)"),
        ((), 16, "is not JSON"),
    ],
)
def test_what_is_not_certainly_the_document_is_not_passed_off_as_one(
    pieces: Sequence[Piece], max_tokens: int, problem: str
) -> None:
    record = ran(cell(schema=SCHEMA, max_tokens=max_tokens), *pieces)
    assert record.output.parsed is None
    assert record.warnings[0].code == "output_not_parsed"
    assert problem in record.warnings[0].message


def test_an_answer_that_is_none_of_the_choices_is_reported() -> None:
    chosen = ran(cell(choices=("yes", "no")), b"y", b"es")
    assert codes(chosen) == set()
    cut = ran(cell(choices=("yes", "no"), max_tokens=1), b"y", b"es")
    assert "output_not_parsed" in codes(cut)
    assert cut.warnings[0].advice.startswith("raise --max-tokens: 3 is enough")
    assert cut.sampling.grammar_sha256 == chosen.sampling.grammar_sha256 is not None


def test_a_cut_answer_is_completed_only_where_that_is_asked_for() -> None:
    base = cell(schema=SCHEMA, max_tokens=2)
    pieces = (b'{"n', b'": ', b"15}")
    cut = ran(base, *pieces)
    assert (cut.output.text, cut.output.parsed, cut.output.completed) == ('{"n": ', None, None)
    shown: list[str] = []
    asked = msgspec.structs.replace(base, complete_json=True)
    completed = execute(asked, saying(*pieces), shown.append).record
    assert completed.output.completed == "0}"
    assert completed.output.text == "".join(shown) == '{"n": 0}'
    assert completed.output.parsed == {"n": 0}
    assert completed.output.finish_reason == "length"
    assert codes(completed) == {"output_completed"}


def test_a_part_of_the_schema_that_is_only_checked_at_the_end_is_named() -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    record = ran(cell(schema=schema), b"[1, ", b"1]")
    assert codes(record) == {"schema_not_held", "output_not_parsed"}
    assert "non-unique" in record.warnings[0].message
    assert record.warnings[1].message.startswith("uniqueItems is checked when the answer is")


def test_the_limit_that_cut_an_answer_is_the_one_to_raise() -> None:
    """n_ctx 5: three tokens of prompt leave room for two cells, and one more token is drawn."""
    record = ran(cell(schema=SCHEMA, settings=RequestedSettings(n_ctx=5)), *[b" "] * 16)
    assert record.output.finish_reason == "length"
    assert record.tokens.completion == 3
    assert record.warnings[0].advice == "raise --n-ctx"


def test_a_prompt_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ContextOverflowError):
        ran(cell(settings=RequestedSettings(n_ctx=3)), b"a")


def test_tokens_beyond_what_the_model_was_trained_on_carry_a_warning() -> None:
    asked = cell(settings=RequestedSettings(n_ctx=64))
    assert "beyond_n_ctx_train" in codes(ran(asked, *[b"a"] * 8, n_ctx_train=8))
    assert "beyond_n_ctx_train" not in codes(ran(asked, *[b"a"] * 4, n_ctx_train=8))


def test_a_base_model_carries_a_warning() -> None:
    record = ran(cell(), b"a", has_chat_template=False)
    assert codes(record) == {"no_chat_template"}
    assert record.prompt.chat_template_sha256 is None


def test_a_template_that_does_not_render_opens_no_engine() -> None:
    def refuse(_: Cell) -> ScriptedEngine:
        raise AssertionError("an engine was opened")

    with pytest.raises(PromptFileError):
        execute(cell(body="user:\n{{ whatever }}"), refuse)


def test_a_session_keeps_its_context_while_the_size_fits() -> None:
    class Counting(ScriptedEngine):
        opened: list[int] = []  # noqa: RUF012

        def prepare(self, requested: RequestedSettings, *, n_ctx: int, **more: Any) -> None:
            self.opened.append(n_ctx)
            super().prepare(requested, n_ctx=n_ctx, **more)

    engine = Counting(lambda _: [b"a"])
    small, large = cell(max_tokens=4), cell(max_tokens=32)
    with open_session(small, render(small), lambda _: engine) as session:
        for asked in (small, large, small, large):
            session.run(asked, render(asked))
    assert engine.opened == [3 + 4, 3 + 32]


@pytest.mark.parametrize(("kind", "told"), [("bench", {"frequency_change"}), ("chat", set())])
def test_repetitions_that_end_at_another_frequency_say_so(
    kind: Kind, told: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now: list[float] = []
    usual = conditions.read
    monkeypatch.setattr(
        conditions, "read", lambda: msgspec.structs.replace(usual(), frequency_hertz=now[-1])
    )
    asked = msgspec.structs.replace(cell(), kind=kind)
    with open_session(asked, render(asked), saying(b"a")) as session:
        found = []
        for hertz in (3.0e9, 2.95e9, 2.0e9):
            now.append(hertz)
            record = session.run(asked, render(asked)).record
            found.append({w.code for w in record.warnings} & {"frequency_change"})
    assert found == [set(), set(), told]


def test_a_warm_up_evaluates_a_part_of_the_prompt_and_one_token() -> None:
    engine = ScriptedEngine(lambda _: [b"a"] * 9)
    asked = msgspec.structs.replace(cell(), params={"text": "word " * 1000})
    with open_session(asked, render(asked), lambda _: engine) as session:
        session.warm_up(asked, render(asked))
    assert 0 < sum(len(batch) for batch in engine.decoded) < 1000
