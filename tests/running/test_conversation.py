"""Conversations as values, and with the scripted engine held open for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.engine.scripted import ScriptedEngine
from localprompt.errors import (
    ContextOverflowError,
    EngineError,
    InputError,
    ModelMissingError,
    NotEnoughMemoryError,
)
from localprompt.records.cell import Cell, SamplingChoices
from localprompt.records.prompt import InputSpec, PromptTemplate
from localprompt.records.run import RequestedSettings, RunRecord
from localprompt.running.assemble import RunChoices
from localprompt.running.attention_choice import Attention
from localprompt.running.chat import Chat
from localprompt.running.conversation import (
    Conversation,
    changes,
    choices_of,
    conversation_of,
    retry_cell,
    turn_cell,
)
from localprompt.running.prefix import turns
from localprompt.store.history import History
from tests.models.tiny_gguf import tiny_gguf
from tests.sample_runs import make_run

LONG = "word " * 40
VOCABULARY = (b"word ", b"word", b"\n", b"yes ", b"indeed", b"indeed\n", b"and ", b"then?", b"now?")


class Windowed(ScriptedEngine):
    """A model with a sliding window: what is in the context can go back, what is on disk cannot."""

    can_cut = False


class Engines:
    """Opens scripted engines, and remembers them."""

    def __init__(
        self, n_ctx_train: int = 2048, engine: type[ScriptedEngine] = ScriptedEngine
    ) -> None:
        self.opened: list[ScriptedEngine] = []
        self._engine = engine
        self.says: list[bytes | BaseException] = [b"yes ", b"indeed"]
        self._n_ctx_train = n_ctx_train

    def __call__(self, _: object) -> ScriptedEngine:
        engine = self._engine(lambda _: self.says, n_ctx_train=self._n_ctx_train)
        for word in VOCABULARY:
            engine.say(word)  # the same ids in each
        self.opened.append(engine)
        return engine


@pytest.fixture
def choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunChoices:
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    return RunChoices(
        model=str(tmp_path / "tiny.gguf"),
        sampling=SamplingChoices(max_tokens=4),
        force=True,
        prefix="kept",
    )


@pytest.fixture
def engines() -> Engines:
    return Engines()


@pytest.fixture
def chat(choices: RunChoices, engines: Engines) -> Iterator[Chat]:
    with Chat(choices, open_engine=engines) as open_chat:
        yield open_chat


def _states(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "home" / "cache" / "prefixes").glob("*.turn"))


def test_each_turn_evaluates_only_what_is_new(chat: Chat, engines: Engines) -> None:
    first = chat.say(LONG).record
    second = chat.say("and then?").record
    (engine,) = engines.opened
    assert first.tokens.reused == 0
    # All of the first turn but the last token of its answer, which nobody had to evaluate.
    assert second.tokens.reused >= first.tokens.prompt
    assert len(engine.decoded[-2]) <= second.tokens.prompt - first.tokens.prompt
    assert second.timing.load_seconds is None


def test_the_record_holds_the_whole_conversation_and_which_runs_it_was(chat: Chat) -> None:
    records = [chat.say(text).record for text in ("one", "two", "three")]
    last = records[-1]
    roles = [message.role for message in last.prompt.messages]
    assert roles == ["user", "assistant", "user", "assistant", "user"]
    assert last.kind == "chat"
    assert last.conversation is not None
    assert last.conversation.turns == (records[0].id, records[1].id)
    assert last.conversation.parent == records[1].id
    with History(read_only=True) as history:
        assert history.run(last.id) == last


def test_a_stored_run_gives_the_conversation_back(chat: Chat) -> None:
    for text in ("one", "two", "three"):
        chat.say(text)
    assert chat.last is not None
    assert conversation_of(chat.last) == chat.talk


def test_a_prompt_files_turn_is_one_turn_with_all_its_messages(chat: Chat) -> None:
    body = "system:\nBe short.\nuser:\nOne?\nassistant:\n1\nuser:\n{{ text }}"
    template = PromptTemplate(name="it", body=body, inputs=(InputSpec("text", required=True),))
    chat.begin(template, {"text": "Two?"})
    said = chat.say("Three?").record
    assert len(chat.talk.turns) == 2
    assert len(chat.talk.turns[0].asked) == 4
    assert conversation_of(said) == chat.talk


def test_undoing_leaves_the_turn_before_and_evaluates_no_more_than_that(
    chat: Chat, engines: Engines
) -> None:
    first = chat.say(LONG).record
    chat.say("and " * 30)
    assert chat.undo()
    again = chat.say("or this").record
    assert [turn.run for turn in chat.talk.turns] == [first.id, again.id]
    assert again.tokens.reused >= first.tokens.prompt
    assert again.conversation is not None
    assert again.conversation.turns == (first.id,)


def test_nothing_is_undone_where_nothing_was_said(chat: Chat) -> None:
    assert not chat.undo()
    with pytest.raises(InputError, match="nothing was asked"):
        chat.retry()


def test_asking_again_replaces_the_answer(chat: Chat, engines: Engines) -> None:
    chat.say("one")
    chat.say("two")
    engines.says = [b"no"]
    record = chat.retry(temperature=0.7).record
    assert [turn.answer for turn in chat.talk.turns] == ["yes indeed", "no"]
    assert (record.sampling.temperature, record.sampling.seed) == (0.7, 1)


def test_a_turn_that_brought_no_word_is_not_part_of_it(chat: Chat, engines: Engines) -> None:
    chat.say("one")
    engines.says = [KeyboardInterrupt()]
    assert chat.say("two").record.output.finish_reason == "interrupted"
    engines.says = [b"three"]
    assert chat.say("three").record.output.text == "three"
    assert [turn.text for turn in chat.talk.turns] == ["one", "three"]


def test_an_interrupted_answer_stays_as_far_as_it_came(chat: Chat, engines: Engines) -> None:
    engines.says = [b"half ", KeyboardInterrupt()]
    chat.say(LONG)
    engines.says = [b"whole"]
    chat.say("go on")
    assert [turn.answer for turn in chat.talk.turns] == ["half ", "whole"]


def test_a_failure_keeps_what_there_was_and_the_next_turn_opens_the_model_again(
    chat: Chat, engines: Engines
) -> None:
    engines.says = [b"half ", EngineError("it broke")]
    assert chat.say("one").failure is not None
    engines.says = [b"whole"]
    assert chat.say("two").failure is None
    assert len(engines.opened) == 2


def test_a_system_text_stands_first_and_can_be_changed(choices: RunChoices) -> None:
    talk = Conversation(system="Be brief.")
    record = _answered(turn_cell(talk, "Hi", choices))
    talk = talk.answered(record)
    assert (talk.messages[0].role, talk.messages[0].text) == ("system", "Be brief.")
    stored = conversation_of(record)
    other = msgspec.structs.replace(stored, system="Be long.")
    assert [m.text for m in other.messages if m.role == "system"] == ["Be long."]
    none = msgspec.structs.replace(stored, system="")
    assert not [m for m in none.messages if m.role == "system"]
    _, cell = retry_cell(other, choices)
    assert [m.text for m in cell.before] == ["Be long."]


def _answered(cell: object) -> RunRecord:
    from localprompt.records.cell import Cell
    from localprompt.running.execute import execute

    assert isinstance(cell, Cell)
    return execute(cell, lambda _: ScriptedEngine(lambda _: [b"fine"])).record


def test_a_model_that_cannot_be_opened_leaves_the_one_before(
    choices: RunChoices, engines: Engines, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(tiny_gguf())

    def open_engine(cell: Cell) -> ScriptedEngine:
        if cell.model.path == str(other):
            raise NotEnoughMemoryError("it would not fit")
        return engines(cell)

    with Chat(choices, open_engine=open_engine) as chat:
        chat.say("one")
        with pytest.raises(NotEnoughMemoryError):
            chat.use_model(str(other))
        assert chat.say("two").record.model.path == choices.model


def test_a_turn_goes_on_after_one_whose_context_could_not_be_opened(choices: RunChoices) -> None:
    class Small(ScriptedEngine):
        """As llama.cpp, which has closed the context before by the time that another fails."""

        def prepare(self, requested: RequestedSettings, *, n_ctx: int, **more: Any) -> None:
            self.close()
            if n_ctx > 2048:
                raise NotEnoughMemoryError("the context could not be allocated")
            super().prepare(requested, n_ctx=n_ctx, **more)

    with Chat(choices, open_engine=Engines(8192, Small)) as chat:
        chat.say("one")
        with pytest.raises(NotEnoughMemoryError):
            chat.say("word " * 2500)
        assert chat.say("two").record.output.text == "yes indeed"


def test_a_conversation_longer_than_the_context_says_what_to_do(choices: RunChoices) -> None:
    with Chat(choices, open_engine=Engines(n_ctx_train=300)) as chat:
        chat.say("word " * 140)
        before = chat.talk
        with pytest.raises(ContextOverflowError, match="conversation does not fit") as raised:
            chat.say("word " * 160)
        assert "/undo" in (raised.value.next_step or "")
        assert chat.talk == before
        assert chat.filled()[0] > 140


def test_the_state_after_a_turn_serves_a_new_process(choices: RunChoices, tmp_path: Path) -> None:
    with Chat(choices, open_engine=Engines()) as chat:
        chat.say("word " * 80)
        first = chat.say("and then?").record
    assert all(state.stat().st_mode & 0o077 == 0 for state in _states(tmp_path))
    with Chat(choices, conversation_of(first), open_engine=Engines()) as chat:
        second = chat.say("and now?").record
    assert second.tokens.reused >= first.tokens.prompt
    assert second.timing.prefix_store_seconds is not None


def test_a_window_goes_back_to_where_the_next_turn_agrees_before_its_state_is_kept(
    choices: RunChoices,
) -> None:
    """An answer is written otherwise when it is read again, by the chat template's words alone."""
    engines = Engines(engine=Windowed)
    engines.says = [b"yes ", b"indeed", b"\n", b"\n"]
    with Chat(choices, open_engine=engines) as chat:
        first = chat.say("word " * 80).record
        second = chat.say("and then?").record
    assert second.tokens.reused >= first.tokens.prompt
    with Chat(choices, conversation_of(second), open_engine=engines) as chat:
        third = chat.say("and now?").record
    assert third.tokens.reused >= second.tokens.prompt
    assert third.timing.prefix_store_seconds is not None


def test_another_question_about_the_same_text_goes_on_from_where_it_differs(
    choices: RunChoices,
) -> None:
    document = "word " * 100
    kept = msgspec.structs.replace(choices, after="keep")
    _answered(turn_cell(Conversation(), document + "who?", kept))
    second = _answered(turn_cell(Conversation(), document + "when and where?", kept))
    assert 100 <= second.tokens.reused < second.tokens.prompt


@pytest.mark.parametrize("why", ["not logged", "no store"])
def test_a_conversation_that_is_not_to_be_kept_leaves_no_state(
    choices: RunChoices, tmp_path: Path, why: str
) -> None:
    if why == "no store":
        choices = msgspec.structs.replace(choices, prefix="apart")
    with Chat(choices, log=why != "not logged", open_engine=Engines()) as chat:
        chat.say("word " * 80)
        assert chat.say("and then?").record.tokens.reused >= 80
    assert not _states(tmp_path)


def test_a_damaged_state_costs_time_and_nothing_else(choices: RunChoices, tmp_path: Path) -> None:
    with Chat(choices, open_engine=Engines()) as chat:
        first = chat.say("word " * 80).record
    (state,) = _states(tmp_path)
    data = bytearray(state.read_bytes())
    data[-70] ^= 1
    state.write_bytes(data)
    with Chat(choices, conversation_of(first), open_engine=Engines()) as chat:
        second = chat.say("and now?").record
    assert second.tokens.reused == 0
    assert second.output.text == "yes indeed"


@pytest.mark.parametrize("kind", ["bench", "eval", "tune"])
def test_only_runs_of_their_own_are_gone_on_from(kind: str) -> None:
    with pytest.raises(InputError, match="not a conversation"):
        conversation_of(make_run(kind=kind))  # type: ignore[arg-type]


def test_a_run_without_an_answer_is_not_gone_on_from() -> None:
    with pytest.raises(InputError, match="no answer to go on from"):
        conversation_of(make_run(text=""))


def test_a_model_that_is_gone_is_said_with_the_way_round(choices: RunChoices) -> None:
    run = make_run(model="gone-away")
    with pytest.raises(ModelMissingError, match="model of this conversation is gone") as raised:
        choices_of(run, msgspec.structs.replace(choices, model=None))
    assert f"--continue {run.id} -m" in (raised.value.next_step or "")
    assert choices_of(run, choices).model == choices.model


def test_what_is_not_as_it_was_is_said(choices: RunChoices, tmp_path: Path) -> None:
    cell = turn_cell(Conversation(), "Hi", choices)
    run = _answered(cell)
    model = msgspec.structs.replace(run.model, sha256="0" * 64)
    prompt = msgspec.structs.replace(
        run.prompt, path=str(tmp_path / "gone.prompty"), sha256="1" * 64, chat_template_sha256="2"
    )
    changed = msgspec.structs.replace(run, model=model, prompt=prompt)
    codes = [warning.code for warning in changes(changed, cell)]
    assert codes == ["model_changed", "prompt_changed", "chat_template_changed"]


def test_sampling_is_the_runs_own_unless_another_is_chosen(choices: RunChoices) -> None:
    run = make_run()
    sampling = msgspec.structs.replace(run.sampling, temperature=0.4, max_tokens=77)
    chosen = choices_of(msgspec.structs.replace(run, sampling=sampling), choices)
    assert chosen.sampling.temperature == 0.4
    assert chosen.sampling.max_tokens == 4


@pytest.mark.parametrize(
    ("flash", "saved_seconds", "without"),
    [(None, 1.0, True), (True, 1.0, True), (None, 0.01, False), (False, 1.0, True)],
)
def test_a_turn_goes_on_without_flash_attention_where_re_laying_is_paid_back(
    choices: RunChoices,
    monkeypatch: pytest.MonkeyPatch,
    flash: bool | None,
    saved_seconds: float,
    without: bool,
) -> None:
    """Also from a state for which the choice was llama.cpp's own."""
    weighed = Attention(False, "off", 100, saved_seconds=saved_seconds, copied_bytes=10_000_000)
    monkeypatch.setattr(turns, "attention_for", lambda *_, **__: weighed)
    cell = turn_cell(Conversation(), "and then?", choices)
    found = turns.Found(tuple(range(100)), 100, flash, key="a")
    way = turns.attention_in_turn(
        found, cell, Engines()(None), prompt_tokens=120, n_ctx=512, baseline_bytes=None
    )
    assert (way.flash_attn is False) is without
    going_on = msgspec.structs.replace(cell, settings=way.settings(cell.settings))
    re_laid = turns.Continued(going_on, Engines()(None), found)._from_flash
    assert re_laid is (without and flash is not False)
