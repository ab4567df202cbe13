"""Answers side by side: several prompts and models, what differs, and who wrote what."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localprompt.engine.base import Shortcuts, Token
from localprompt.store.history import History
from localprompt.web.host import Event, Job
from localprompt.web.worker import Piece, _Pieces
from tests.sample_runs import make_run
from tests.web.conftest import Served
from tests.web.jobs import MODEL, begun, ended, stored

_PROMPT = "---\nname: {name}\ninputs:\n  - name: text\n    kind: string\n{more}---\nuser:\n{body}\n"


@pytest.fixture
def two_prompts(served: Served) -> Served:
    """``mine`` takes a text, ``yours`` a text and a tone."""
    Path("prompts").mkdir()
    tone = "  - name: tone\n    kind: string\n"
    Path("prompts/mine.prompty").write_text(
        _PROMPT.format(name="mine", more="", body="Mine: {{ text }}")
    )
    Path("prompts/yours.prompty").write_text(
        _PROMPT.format(name="yours", more=tone, body="Yours, {{ tone }}: {{ text }}")
    )
    return served.enter()


def test_two_prompts_are_answered_side_by_side_each_with_its_own_inputs(
    two_prompts: Served,
) -> None:
    got = two_prompts.post(
        "/try",
        [
            MODEL,
            ("prompt", "mine"),
            ("prompt", "yours"),
            ("param.text", "hi"),
            ("param.tone", "dry"),
        ],
    )
    ids = re.findall(r'data-job="(\w+)"', got.text)
    assert len(ids) == 2
    assert two_prompts.host is not None
    for one in ids:
        job = two_prompts.host.job(one)
        assert job is not None
        ended(job)
    newest, oldest = stored()
    assert (oldest.prompt.name, oldest.prompt.params) == ("mine", {"text": "hi"})
    assert (newest.prompt.name, newest.prompt.params) == ("yours", {"text": "hi", "tone": "dry"})


def test_the_form_of_two_prompts_asks_for_what_they_share_once(two_prompts: Served) -> None:
    form = two_prompts.get("/try/inputs?prompt=mine&prompt=yours&prompt=").text
    assert form.count('name="param.text"') == 1
    assert form.count('name="param.tone"') == 1
    assert 'name="text"' not in form
    assert 'name="text"' in two_prompts.get("/try/inputs?prompt=&prompt=yours").text


def test_an_input_that_no_prompt_takes_is_refused_in_two_columns_as_well(
    two_prompts: Served,
) -> None:
    fields = [MODEL, ("prompt", "mine"), ("prompt", "yours"), ("param.nonesuch", "x")]
    got = two_prompts.post("/try", fields, HX_Request="true")
    assert 'role="alert"' in got.text
    assert "nonesuch" in got.text


@pytest.mark.parametrize("names", [("mine", "../../etc/passwd"), ("/etc/passwd", "mine")])
def test_a_prompt_in_any_column_is_a_name_and_never_a_path(
    two_prompts: Served, names: tuple[str, str]
) -> None:
    fields = [MODEL, *(("prompt", name) for name in names), ("param.text", "x")]
    assert "not a name" in two_prompts.post("/try", fields, HX_Request="true").text
    query = "&".join(f"prompt={name}" for name in names)
    assert "not a name" in two_prompts.get(f"/try/inputs?{query}", HX_Request="true").text


def test_more_than_three_columns_are_refused_before_anything_runs(two_prompts: Served) -> None:
    fields = [MODEL, MODEL, ("prompt", "mine"), ("prompt", "yours"), ("param.text", "x")]
    got = two_prompts.post("/try", fields, HX_Request="true")
    assert "1 to 3 columns" in got.text
    assert stored() == []


def test_what_differs_stands_below_for_each_further_column(served: Served) -> None:
    texts = ("red and blue\nsky", "red and green\nsky", "red and blue\nsky")
    with History() as history:
        for number, text in enumerate(texts):
            history.record(make_run(number, text=text))
    ids = [run.id for run in reversed(stored())]
    page = served.enter().get("/difference?" + "&".join(f"id={one}" for one in ids)).text
    assert "<del>blue\n</del><ins>green\n</ins>" in page
    assert "the answers are the same" in page
    assert served.get(f"/difference?id={ids[0]}").status == 400


def test_texts_are_told_apart_by_words_and_keep_their_line_ends(served: Served) -> None:
    with History() as history:
        history.record(make_run(0, text="a <b>\n\nc"))
        history.record(make_run(1, text="a <i>\n\nc"))
    ids = [run.id for run in stored()]
    page = served.enter().get(f"/difference?id={ids[1]}&id={ids[0]}").text
    assert "a <del>&lt;b&gt;\n\n</del><ins>&lt;i&gt;\n\n</ins>c" in page


def test_very_long_texts_are_not_compared_word_by_word(served: Served) -> None:
    with History() as history:
        history.record(make_run(0, text="a b " * 10_000))
        history.record(make_run(1, text="b a " * 10_000))
    ids = [run.id for run in stored()]
    page = served.enter().get(f"/difference?id={ids[1]}&id={ids[0]}").text
    assert (page.count("<del>"), page.count("<ins>")) == (1, 1)


def test_what_was_received_and_written_is_shown_with_who_wrote_it(served: Served) -> None:
    job = ended(begun(served.enter(), ("prompt", "summarize"), ("param.text", "A <b>cat</b>.")))
    page = served.get(f"/jobs/{job.id}/received").text
    assert 'class="origin variable v0">' in page
    assert "&lt;b" in page
    assert 'class="received apart"' in page  # token by token
    assert '<span class="origin chosen">Red, ' in page


class _Told:
    def __init__(self) -> None:
        self.pieces: list[Piece] = []

    def say(self, reply: Piece) -> None:
        self.pieces.append(reply)


def test_pieces_say_whether_they_were_forced_or_guessed() -> None:
    told = _Told()
    pieces = _Pieces(told)  # type: ignore[arg-type]
    counted = (Shortcuts(), Shortcuts(1), Shortcuts(1, 3, 1), Shortcuts(1, 3, 1))
    for at, shortcuts in enumerate(counted):
        pieces.event(Token(0, float(at), at, "x", shortcuts))
        pieces.text("x")
    assert [(piece.how, piece.seconds) for piece in told.pieces] == [
        ("", 0.0), ("forced", 1.0), ("drafted", 2.0), ("", 3.0),
    ]  # fmt: skip


def test_an_answer_is_told_in_stretches_that_were_made_alike() -> None:
    job = Job(None, "")  # type: ignore[arg-type]
    for text, how in (("{", "forced"), ('"a', "forced"), ("b", ""), ("c", "drafted")):
        job.tell(Event("piece", text, how))  # type: ignore[arg-type]
    assert job.answer() == [("forced", '{"a'), ("", "b"), ("drafted", "c")]
