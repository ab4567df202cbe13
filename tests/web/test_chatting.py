"""Conversations in the page: turns, branches, what each took, and what cannot be gone on from."""

from __future__ import annotations

import re
from pathlib import Path

from localprompt.records.run import RunRecord
from localprompt.store.history import History
from localprompt.web.host import Job
from tests.sample_evaluations import make_evaluation
from tests.sample_runs import make_run
from tests.web.conftest import Served
from tests.web.jobs import MODEL, ended, stored


def said(served: Served, text: str, *fields: tuple[str, str]) -> RunRecord:
    """The record of a turn."""
    job = asked(served, text, *fields)
    assert ended(job).record is not None, job.remark
    assert job.record is not None
    return job.record


def asked(served: Served, text: str, *fields: tuple[str, str]) -> Job:
    got = served.post("/chat", [MODEL, ("text", text), *fields])
    found = re.search(r'data-job="(\w+)"', got.text)
    assert found, got.text
    assert served.host is not None
    job = served.host.job(found[1])
    assert job is not None
    return job


def texts(record: RunRecord) -> list[str]:
    return [message.text for message in record.prompt.messages]


def test_each_turn_is_a_run_that_goes_on_from_the_one_before(served: Served) -> None:
    first = said(served.enter(), "Name three colours.")
    second = said(served, "And <three> more.", ("parent", first.id))
    assert (first.kind, second.kind) == ("chat", "chat")
    assert texts(second) == ["Name three colours.", first.output.text, "And <three> more."]
    page = served.get(f"/chat/{second.id}").text
    assert page.count('class="turn"') == 2
    assert "And &lt;three&gt; more." in page
    assert "reused" in page
    assert f'href="/runs/{first.id}"' in page
    assert f'name="parent" value="{second.id}"' in page


def test_an_earlier_turn_asked_differently_makes_a_branch_and_leaves_the_other(
    served: Served,
) -> None:
    first = said(served.enter(), "Name three colours.")
    second = said(served, "Go on.", ("parent", first.id))
    other = said(served, "Fewer.", ("instead", second.id))
    assert texts(other) == ["Name three colours.", first.output.text, "Fewer."]
    assert "Go on." in served.get(f"/chat/{second.id}").text
    page = served.get(f"/chat/{other.id}").text
    assert "Go on." not in page
    assert f'href="/chat/{second.id}"' in page  # the other branch


def test_the_system_text_stays_when_the_first_question_is_asked_differently(
    served: Served,
) -> None:
    first = said(served.enter(), "Hello.", ("system", "Be brief."))
    assert texts(first) == ["Be brief.", "Hello."]
    other = said(served, "Good morning.", ("instead", first.id))
    assert texts(other) == ["Be brief.", "Good morning."]


def test_a_conversation_goes_on_from_a_run_of_the_command_line(served: Served) -> None:
    with History() as history:
        history.record(make_run(0, text="A summary."))
    (run,) = stored()
    assert "A summary." in served.enter().get(f"/chat/{run.id}").text
    more = said(served, "Shorter.", ("parent", run.id))
    assert texts(more)[-2:] == ["A summary.", "Shorter."]
    assert f'href="/chat/{run.id}"' in served.get(f"/runs/{run.id}").text


def test_the_page_lists_conversations_by_their_last_turn(served: Served) -> None:
    first = said(served.enter(), "Name three colours.")
    second = said(served, "More.", ("parent", first.id))
    listed = served.get("/chat").text
    assert f'href="/chat/{second.id}"' in listed
    assert f'href="/chat/{first.id}"' not in listed
    assert "2 turns" in listed


def test_a_turn_whose_run_was_forgotten_is_still_shown(served: Served) -> None:
    first = said(served.enter(), "Name three colours.")
    second = said(served, "More.", ("parent", first.id))
    with History() as history:
        history._connection.execute("DELETE FROM runs WHERE id = ?", (first.id,))
    page = served.get(f"/chat/{second.id}").text
    assert "Name three colours." in page
    assert "no longer in the history" in page


def test_what_cannot_be_gone_on_from_is_explained(served: Served) -> None:
    evaluation = make_evaluation()
    with History() as history:
        history.begin(evaluation)
        history.record(make_run(0, text=""))
    (silent,) = stored()
    served.enter()
    assert served.get("/chat/NONESUCH").status == 404
    assert served.get(f"/chat/{evaluation.id}").status in {400, 404}
    assert "no answer to go on from" in served.get(f"/chat/{silent.id}").text
    for fields, word in (
        ([("parent", "NONESUCH"), ("text", "x")], "NONESUCH"),
        ([("text", " ")], "nothing to ask"),
        ([("text", "x"), ("temperature", "hot")], "not a number"),
    ):
        got = served.post("/chat", [MODEL, *fields], HX_Request="true")
        assert 'role="alert"' in got.text
        assert word in got.text


def test_an_engine_that_dies_in_a_turn_leaves_the_conversation_as_it_was(served: Served) -> None:
    first = said(served.enter(), "Name three colours.")
    job = ended(asked(served, "Please die.", ("parent", first.id)))
    assert job.state == "failed"
    assert "killed by signal 9" in served.get(f"/jobs/{job.id}").text
    again = said(served, "More.", ("parent", first.id))
    assert texts(again)[-1] == "More."


def test_a_read_only_page_shows_conversations_and_begins_none(
    read_only: Served, lab_home: Path
) -> None:
    with History() as history:
        history.record(make_run(0, text="A summary."))
    (run,) = stored()
    page = read_only.enter().get(f"/chat/{run.id}").text
    assert "A summary." in page
    assert "<form" not in page
    assert read_only.post("/chat", [("text", "x")]).status == 403
