"""What the pages say and do, as a browser without a screen sees it."""

from __future__ import annotations

import http.client
import re
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from localprompt.models.store import add_model
from localprompt.records.choice import Choice, Prices
from localprompt.records.ids import new_run_id
from localprompt.store import schema
from localprompt.store.history import History
from localprompt.web.host import Host
from localprompt.web.site import MOST_FIELDS
from tests.sample_evaluations import make_evaluation, make_result, make_target
from tests.sample_runs import make_run
from tests.sample_tunings import tuning
from tests.views.bench_records import sample_bench
from tests.web.conftest import Served
from tests.web.jobs import MODEL, begun, ended, gave_back, stored, streamed


def test_an_answer_streams_and_is_a_run_like_any_other(served: Served) -> None:
    job = begun(served.enter(), ("text", "Name three colours."))
    events = streamed(served, job)
    pieces = [text for kind, text in events if kind == "piece"]
    assert "".join(pieces).startswith("Red, green and <b>blue</b>.")
    assert len(pieces) > 4
    (run,) = stored()
    assert events[-1] == ("done", run.id)
    assert run.kind == "ask"
    below = served.get(f"/jobs/{job.id}").text
    assert "TTFT" in below
    assert "localprompt ask &#39;Name three colours.&#39; -m smollm2-135m" in below
    assert "&lt;b&gt;blue" in served.get(f"/runs/{run.id}").text
    assert served.get(f"/runs/{run.id}/json").text.startswith('{"id":"')


def test_an_answer_that_cannot_be_recorded_is_shown_without_a_link_to_it(
    served: Served, lab_home: Path
) -> None:
    (lab_home / "history.db").write_bytes(b"garbage " * 1000)
    job = ended(begun(served.enter(), ("text", "Hello.")))
    assert streamed(served, job)[-1] == ("done", "")
    below = served.get(f"/jobs/{job.id}").text
    assert "not a SQLite database" in below
    assert "TTFT" in below
    assert "/runs/" not in below


def test_the_second_answer_of_an_open_model_has_no_load(served: Served) -> None:
    served.enter()
    first, second = (ended(begun(served, ("text", "Hello."))) for _ in range(2))
    assert first.record is not None
    assert second.record is not None
    assert first.record.timing.load_seconds is not None
    assert second.record.timing.load_seconds is None


def test_an_answer_is_stopped_and_recorded_as_interrupted(served: Served) -> None:
    job = begun(served.enter(), ("text", "Be slow."))
    while not job.text:
        time.sleep(0.02)
    assert served.post(f"/jobs/{job.id}/stop").status == 204
    ended(job)
    assert stored()[0].output.finish_reason == "interrupted"
    assert ended(begun(served, ("text", "Hello."))).state == "done"


def test_jobs_wait_for_each_other_and_one_that_waits_can_be_stopped(served: Served) -> None:
    served.enter()
    slow, waiting = (begun(served, ("text", "Be slow.")) for _ in range(2))
    while not slow.text:
        time.sleep(0.02)
    assert "waiting" in served.get("/live").text
    assert served.post(f"/jobs/{waiting.id}/stop").status == 204
    assert served.post(f"/jobs/{slow.id}/stop").status == 204
    assert (ended(waiting).state, waiting.remark) == ("failed", "stopped")
    assert len(stored()) == 1


def test_a_closed_tab_ends_its_run(served: Served) -> None:
    job = begun(served.enter(), ("text", "Be slow."))
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("GET", f"/jobs/{job.id}/events", headers={"Cookie": served.cookie})
    connection.getresponse().fp.readline()
    assert connection.sock is not None
    connection.sock.close()
    connection.close()
    ended(job, 10)
    assert stored()[0].output.finish_reason == "interrupted"


def test_an_engine_that_dies_is_explained_and_the_next_run_works(served: Served) -> None:
    job = ended(begun(served.enter(), ("text", "Please die.")))
    assert job.state == "failed"
    assert "process was killed by signal 9" in served.get(f"/jobs/{job.id}").text
    assert ended(begun(served, ("text", "Hello."))).state == "done"


def test_an_engine_that_dies_in_the_middle_of_an_answer_leaves_what_there_was(
    served: Served,
) -> None:
    job = ended(begun(served.enter(), ("text", "Please collapse.")))
    assert job.text.startswith("Red, green")
    assert "process was killed by signal 6" in served.get(f"/jobs/{job.id}").text
    assert streamed(served, job)[-1][0] == "failed"
    assert ended(begun(served, ("text", "Hello."))).state == "done"


def test_a_value_that_begins_with_an_at_sign_reads_no_file(served: Served, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("do not tell")
    job = ended(begun(served.enter(), ("prompt", "summarize"), ("param.text", f"@{secret}")))
    assert job.record is not None
    assert job.record.prompt.params["text"] == f"@{secret}"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ([("model", "nonesuch")], "no model"),
        ([("model", "/etc/passwd")], "no model"),
        ([], "models to try"),
        ([MODEL, ("text", " ")], "nothing to ask"),
        ([MODEL, ("text", "x"), ("max_tokens", "many")], "not a number"),
        ([MODEL, ("text", "x"), ("temperature", "nan")], "out of range"),
        ([MODEL, ("prompt", "../../etc/passwd")], "not a name"),
        ([MODEL, ("prompt", "summarize")], "text"),
        ([MODEL, ("prompt", "summarize"), ("param.nonesuch", "x")], "nonesuch"),
    ],
)
def test_what_cannot_be_run_is_explained_where_the_answer_would_be(
    served: Served, fields: list[tuple[str, str]], word: str
) -> None:
    got = served.enter().post("/try", fields, HX_Request="true")
    assert got.status == 200
    assert 'role="alert"' in got.text
    assert word in got.text


def test_a_variable_of_five_megabytes_is_taken(served: Served) -> None:
    text = "word " * 1_000_000
    got = served.enter().post("/try", [MODEL, ("prompt", "summarize"), ("param.text", text)])
    assert got.status == 200
    job = next(iter(served.host.waiting()), None) if served.host else None
    if job is not None:
        ended(job, 60)


def test_the_form_of_a_prompt_has_a_field_for_each_input(served: Served) -> None:
    Path("prompts").mkdir()
    Path("prompts/mine.prompty").write_text(
        "---\nname: mine\ninputs:\n  - name: tone\n    kind: string\n    enumValues: [dry, warm]\n"
        "  - name: n\n    kind: integer\n    default: 3\n---\nuser:\n{{ tone }} {{ n }}\n"
    )
    form = served.enter().get("/try/inputs?prompt=mine").text
    assert '<select id="param-1" name="param.tone">' in form
    assert "<option>warm</option>" in form
    assert 'placeholder="3"' in form


def test_a_prompt_is_saved_but_never_over_one_that_changed(served: Served) -> None:
    served.enter()
    page = served.get("/prompts/mine").text
    source = "---\nname: mine\n---\nuser:\nHello.\n"
    digest = re.search(r'name="digest" value="(\w*)"', page)
    assert digest
    fields = [("source", source), ("digest", digest[1])]
    assert served.post("/prompts/mine", fields).status == 303
    assert Path("prompts/mine.prompty").read_text() == source
    again = served.post("/prompts/mine", fields)
    assert again.status == 409
    assert "has changed since" in again.text


def test_a_prompt_that_cannot_be_read_is_not_saved(served: Served) -> None:
    bad = [("source", "---\nname: [\n---\nuser:\nHi"), ("digest", "")]
    got = served.enter().post("/prompts/mine", bad)
    assert got.status == 409
    assert "mine.prompty" in got.text
    assert list(Path("prompts").iterdir()) == []


@pytest.mark.parametrize(
    "path", ["x.prompty", "..", "a%2Fb", "%FF", "a" * 300, "mine%00", "%ED%A0%80"]
)
def test_what_cannot_be_a_prompts_name_is_refused(served: Served, path: str) -> None:
    served.enter()
    Path("x.prompty").write_text("user:\nsecret\n")
    got = served.get(f"/prompts/{path}")
    assert got.status in {400, 404}
    assert "secret" not in got.text


def test_files_that_cannot_be_read_or_written_are_said_in_the_page(served: Served) -> None:
    served.enter()
    Path("prompts").write_text("a file, where the folder should be")
    got = served.post("/prompts/mine", [("source", "user:\nHi\n"), ("digest", "")])
    assert (got.status, "prompts" in got.text) == (400, True)
    Path("prompts").unlink()
    Path("prompts").mkdir()
    Path("prompts/mine.prompty").write_bytes(b"user:\n\xff\n")
    got = served.get("/prompts/mine")
    assert got.status == 400
    assert "UTF-8" in got.text


def test_a_form_of_more_fields_than_any_page_has_is_refused(served: Served) -> None:
    fields = [(f"param.{number}", "x") for number in range(MOST_FIELDS + 1)]
    got = served.enter().post("/try", fields)
    assert (got.status, "too many fields" in got.text) == (400, True)


def test_a_list_goes_on_behind_its_last_run(served: Served) -> None:
    with History() as history:
        for number in range(120):
            history.record(make_run(number))
    page = served.enter().get("/runs").text
    rows = page.count('type="checkbox"')
    more = re.search(r'hx-get="(/runs\?[^"]+)"', page)
    while more:
        page = served.get(more[1].replace("&amp;", "&"), HX_Request="true").text
        rows += page.count('type="checkbox"')
        more = re.search(r'hx-get="(/runs\?[^"]+)"', page)
    assert rows == 120


def test_filters_narrow_the_list(served: Served) -> None:
    with History() as history:
        history.record(make_run(0, model="one"))
        history.record(make_run(1, model="two"))
    served.enter()
    assert served.get("/runs?model=one").text.count('type="checkbox"') == 1
    assert "unknown kind" in served.get("/runs?kind=nonesuch").text


def test_runs_are_found_by_what_was_said(served: Served) -> None:
    with History() as history:
        history.record(make_run(0, text="an invoice"))
        history.record(make_run(1, text="a poem"))
    served.enter()
    assert served.get("/runs?grep=INVOICE").text.count('type="checkbox"') == 1
    assert "not a regular expression" in served.get("/runs?grep=%5B").text


def test_results_are_shown_as_their_reports_show_them(served: Served) -> None:
    evaluation = make_evaluation(cases=2)
    with History() as history:
        history.begin(evaluation)
        history.add(evaluation.id, [make_result(0), make_result(1, False, answer="<img>")])
        history.keep(tuning())
    listed = served.enter().get("/results").text
    assert "tones" in listed
    assert "2 of 4" in listed
    page = served.get(f"/results/{evaluation.id}").text
    assert "Pass rate" in page
    assert "&lt;img&gt;" in page
    assert "Every candidate" in served.get(f"/results/{tuning().id}").text


def test_a_choice_among_models_is_shown_from_its_evaluation_and_bench(served: Served) -> None:
    machine = make_run().machine
    evaluation = make_evaluation(make_target("plain"), make_target("careful"), cases=1)
    bench = msgspec.structs.replace(sample_bench().experiment, machine=machine)
    choice = Choice(
        id=new_run_id(), kind="choose", created_at=evaluation.created_at,
        localprompt_version="0.1.0", title="tickets", evaluation=evaluation.id, bench=bench.id,
        cells=(None, None), case_id="case-0", prices=Prices(), machine=machine,
    )  # fmt: skip
    with History() as history:
        history.begin(evaluation)
        history.add(evaluation.id, [make_result(0), make_result(0, False, target=1)])
        history.begin(bench)
        history.keep(choice)
    assert "choice" in served.enter().get("/results").text
    page = served.get(f"/results/{choice.id}").text
    assert "careful is as good as plain as far as 1 case can tell" in page
    assert "Front:" in page


def test_two_runs_stand_side_by_side_with_what_differs(served: Served) -> None:
    with History() as history:
        history.record(make_run(0, text="red and blue"))
        history.record(make_run(1, text="red and green"))
    ids = [run.id for run in stored()]
    page = served.enter().get(f"/compare?id={ids[0]}&id={ids[1]}").text
    assert "<del>blue</del>" in page
    assert "<ins>green</ins>" in page
    assert "two things" in served.get(f"/compare?id={ids[0]}").text


def test_what_is_not_there_is_said_with_404(served: Served) -> None:
    served.enter()
    for path in ("/nowhere", "/runs/NONESUCH", "/results/NONESUCH", "/jobs/NONESUCH"):
        got = served.get(path)
        assert got.status == 404, path
        assert 'role="alert"' in got.text


def test_an_empty_history_says_what_to_type(served: Served) -> None:
    served.enter()
    assert "localprompt ask" in served.get("/runs").text
    assert "localprompt bench" in served.get("/results").text
    assert not (Path.home() / "nothing").exists()


def test_the_usual_model_is_the_one_that_is_ticked(
    served: Served, lab_home: Path, starter_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model(starter_model, name="another")
    assert 'value="smollm2-135m" checked' in served.enter().get("/").text
    monkeypatch.setenv("LOCALPROMPT_MODEL", "another")
    assert 'value="another" checked' in served.get("/").text
    monkeypatch.setenv("LOCALPROMPT_THREADS", "many")
    got = served.get("/")
    assert got.status == 400
    assert "LOCALPROMPT_THREADS" in got.text


def test_models_say_what_they_take_and_whether_that_fits(served: Served) -> None:
    page = served.enter().get("/models").text
    assert "smollm2-135m" in page
    assert "estimated" in page


def test_the_host_gives_the_models_memory_back_when_nothing_comes(lab_home: Path) -> None:
    from localprompt.processes import worker_command
    from localprompt.running.assemble import RunChoices, ask_cell

    host = Host(worker_command("tests.web.scripted_worker"), idle_seconds=0.2)
    try:
        cell = ask_cell("Hello.", RunChoices(model="smollm2-135m"))
        ended(host.submit(cell, ""))
        assert host.open_model == "smollm2-135m"
        limit = time.monotonic() + 10
        while not gave_back(host):
            assert time.monotonic() < limit
            time.sleep(0.05)
        assert ended(host.submit(cell, "")).state == "done"
    finally:
        host.close()


def test_a_reader_that_leaves_before_the_host_has_looked_takes_nobody_with_it(
    lab_home: Path,
) -> None:
    from localprompt.processes import worker_command
    from localprompt.running.assemble import RunChoices, ask_cell

    host = Host(worker_command("tests.web.scripted_worker"))
    try:
        cell = ask_cell("slow", RunChoices(model="smollm2-135m"))
        job = host.submit(cell, "")
        assert host.explain(cell).cancel()
        host.stop(job)
        ended(job)
        cell = ask_cell("Hello.", RunChoices(model="smollm2-135m"))
        assert ended(host.submit(cell, "")).state == "done"
    finally:
        host.close()


def test_a_history_of_a_newer_version_is_explained_on_the_page(served: Served) -> None:
    with History() as history:
        history.record(make_run(0))
        path = history.path
    database = sqlite3.connect(path)
    database.execute("INSERT INTO migrations VALUES (999, 'later', '2030', '9')")
    database.commit()
    database.close()
    got = served.enter().get("/runs")
    assert got.status == 400
    assert "newer localprompt" in got.text


def test_pages_of_two_tabs_share_one_engine_and_both_get_their_answers(served: Served) -> None:
    served.enter()
    jobs = [begun(served, ("text", f"Hello {n}.")) for n in range(3)]
    with ThreadPoolExecutor(3) as tabs:
        streams = list(tabs.map(lambda job: streamed(served, job), jobs))
    assert all(events[-1][0] == "done" for events in streams)
    assert len({events[-1][1] for events in streams}) == 3


def test_many_requests_at_once_are_all_answered(served: Served) -> None:
    served.enter()
    with ThreadPoolExecutor(20) as browsers:
        got = list(browsers.map(lambda n: served.get(("/", "/runs", "/live")[n % 3]), range(200)))
    assert {one.status for one in got} == {200}


def test_a_history_of_an_older_version_is_brought_up_to_date_and_shown(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        with History() as history:
            history.record(make_run(0))
    page = served.enter().get("/runs")
    assert (page.status, page.text.count('type="checkbox"')) == (200, 1)


def test_a_list_that_was_kept_is_made_anew_when_something_was_recorded(served: Served) -> None:
    with History() as history:
        history.record(make_run(0))
    served.enter()
    time.sleep(0.15)  # until what was stored is old enough for the next to differ from it
    first, again = (served.get("/runs").text for _ in range(2))
    assert first == again
    assert served.get("/runs?kind=ask").text != first
    with History() as history:
        history.record(make_run(1))
    assert served.get("/runs").text.count('type="checkbox"') == 2
    time.sleep(0.15)
    assert served.get("/runs").text.count('type="checkbox"') == 2


def test_only_runs_have_differences_of_their_texts(served: Served) -> None:
    with History() as history:
        history.record(make_run(0, kind="ask"))
        history.keep(tuning())
    served.enter()
    got = served.get(f"/difference?id=last&id={tuning().id}")
    assert got.status in {400, 404}
    assert served.get("/difference?id=last&id=last").status == 200
