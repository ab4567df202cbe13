"""What was run and measured: lists by pages, one thing whole, two side by side.

Lists go on behind the last id of a page (keyset paging): page 2,000 costs what page 2 costs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, get_args

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from localprompt.bench.comparing import compare_benches, load_bench, load_bench_or_run
from localprompt.choose.running import load_choice
from localprompt.errors import InputError, ModelMissingError, UnknownNameError
from localprompt.evaluate.comparing import compare_evaluations
from localprompt.evaluate.reporting import load_report
from localprompt.records import json
from localprompt.records.choice import Choice
from localprompt.records.evaluation import EvalRequest
from localprompt.records.improvement import Improvement
from localprompt.records.model import ModelRecord
from localprompt.records.quality import Quality
from localprompt.records.run import Kind, RunRecord
from localprompt.records.training import TrainingResult
from localprompt.records.tuning import Tuning
from localprompt.store.history import RUNS, History
from localprompt.store.search import Filter
from localprompt.store.under_way import UnderWay, under_way
from localprompt.views.bench import bench_sections
from localprompt.views.bench_compare import comparison_sections
from localprompt.views.choose import choice_sections
from localprompt.views.eval import eval_sections
from localprompt.views.eval_compare import blocks as difference_blocks
from localprompt.views.figures import moment_text
from localprompt.views.improve import improvement_sections
from localprompt.views.quality import quality_blocks
from localprompt.views.runs import run_sections, run_values, whole_run_sections
from localprompt.views.sections import Section
from localprompt.views.summary import summary_lines
from localprompt.views.training import training_sections
from localprompt.views.tune import tuning_sections
from localprompt.web.site import fragment, language_of, page, site_of

PAGE = 50
_READABLE = ("bench", "eval", "tune", "quality", "finetune", "improve", "choose")
_COLUMNS = (
    "run", "when", "model", "prompt", "tokens", "ttft", "prefill", "decode", "peak", "load", "end",
)  # fmt: skip
MOST_COMPARED = 3
"""Texts whose differences are shown together."""
MOST_CASES = 500
"""Ids of cases that the page of an evaluation offers."""
MOST_WORDS = 5_000
"""Of two texts together, whose difference is looked for; longer ones are only compared."""
_FILTERS = ("kind", "model", "prompt", "grep")


def runs(request: Request) -> Response:
    """``/runs``: newest first; for htmx only the rows behind ``before``."""
    return site_of(request).as_before(request, lambda: _runs(request))


def _runs(request: Request) -> Response:
    query = {name: request.query_params.get(name, "") for name in _FILTERS}
    if query["kind"] and query["kind"] not in get_args(Kind):
        raise InputError("unknown kind", where="kind", expected=", ".join(get_args(Kind)))
    chosen: dict[str, Any] = {name: value for name, value in query.items() if value}
    before = request.query_params.get("before") or None
    with History(read_only=True) as history:
        found = list(history.runs(Filter(**chosen, before=before), limit=PAGE + 1))
    say = language_of(request)
    values: dict[str, Any] = {
        "columns": [say(f"site.column.{name}") for name in _COLUMNS],
        "compare_word": say("site.compare.column"),
        "runs": [_run_row(run) for run in found[:PAGE]],
        "more": found[PAGE - 1].id if len(found) > PAGE else None,
        "query": query,
    }
    if request.headers.get("hx-target") == "rows" or before:
        return fragment(request, "runs.rows.html", **values)
    return page(request, say("site.runs.title"), "runs.page.html", kinds=get_args(Kind), **values)


def run(request: Request) -> Response:
    """``/runs/{id}``: one run whole."""
    with History(read_only=True) as history:
        found = history.get(request.path_params["id"])
    summary = "\n".join(summary_lines(found))
    sections = whole_run_sections(found)
    title = f"{found.prompt.name or found.kind} on {found.model.name}"
    return page(request, title, "run.page.html", sections=sections, run=found, summary=summary)


def run_json(request: Request) -> Response:
    with History(read_only=True) as history:
        found = history.get(request.path_params["id"])
    return Response(json.encode(found), media_type="application/json")


def results(request: Request) -> Response:
    """``/results``: benches, evaluations, tunings and the like."""
    return site_of(request).as_before(request, lambda: _results(request))


def _results(request: Request) -> Response:
    before = request.query_params.get("before") or None
    with History(read_only=True) as history:
        found = history.listed(_READABLE, Filter(before=before), limit=PAGE + 1)
    say = language_of(request)
    values: dict[str, Any] = {
        "results": [
            (one, say(f"site.activity.{one.kind}"), moment_text(one.created_at))
            for one in found[:PAGE]
        ],
        "more": found[PAGE - 1].id if len(found) > PAGE else None,
    }
    if before:
        return fragment(request, "results.rows.html", **values)
    return page(request, say("site.results.title"), "results.page.html", **values)


def result(request: Request) -> Response:
    """``/results/{id}``: one of them, as its report shows it."""
    reference = request.path_params["id"]
    with History(read_only=True) as history:
        found = history.find(reference)
        if found.is_run:
            return RedirectResponse(f"/runs/{found.id}", 303)
        title, sections = _sections(found.id, found.kind, history)
        cases = history.case_ids(found.id, MOST_CASES) if found.kind == "eval" else []
    return page(
        request, title, "result.page.html", sections=sections, evaluation=found.id, cases=cases
    )


def _no_engine(model: ModelRecord, request: EvalRequest) -> NoReturn:
    """A server opens no models to look at old results: prompts are shown as messages."""
    raise ModelMissingError(f"{model.name} is not opened for this")


def _sections(found_id: str, kind: str, history: History) -> tuple[str, Sequence[Section]]:
    if kind == "bench":
        bench = load_bench(found_id, history)
        return bench.experiment.title, bench_sections(bench)
    if kind == "eval":
        report = load_report(history.evaluation(found_id), history, open_engine=_no_engine)
        return report.result.evaluation.title, eval_sections(report)
    kept = history.kept(found_id, kind)
    match kept:
        case Tuning():
            return kept.title, tuning_sections(kept)
        case Improvement():
            return kept.title, improvement_sections(kept)
        case TrainingResult():
            return kept.title, training_sections(kept)
        case Choice():
            return kept.title, choice_sections(load_choice(kept, history))
        case Quality():
            return kept.title, (Section("quality", "Quality", tuple(quality_blocks(kept))),)


def compare(request: Request) -> Response:
    """``/compare?id=A&id=B``: the older is A."""
    ids = sorted(request.query_params.getlist("id"))
    if len(ids) != 2:
        raise InputError(
            "two things are compared", expected="two ticks", found=str(len(ids) or "none")
        )
    with History(read_only=True) as history:
        a, b = (history.find(one) for one in ids)
        if a.is_run and b.is_run:
            return _side_by_side(request, history.run(a.id), history.run(b.id))
        if a.kind == b.kind == "eval":
            found = compare_evaluations(history.evaluation(a.id), history.evaluation(b.id), history)
            sections = (Section("differences", "Differences", tuple(difference_blocks(found))),)
            title = language_of(request)("site.compare.evaluations")
            return page(request, title, sections=sections)
        if {a.kind, b.kind} <= {"bench", "ask", "run", "chat"}:
            two = compare_benches(load_bench_or_run(a, history), load_bench_or_run(b, history))
            title = language_of(request)("site.compare.benches")
            return page(request, title, sections=comparison_sections(two))
    raise InputError("these two cannot be compared", expected="two of a kind")


def live(request: Request) -> Response:
    """What is going on now, here and in other processes; asked for every few seconds."""
    site = site_of(request)
    others = [(one, _is_kept(one)) for one in under_way()]
    return fragment(
        request,
        "live.html",
        jobs=[] if site.host is None else site.host.waiting(),
        others=others,
        read_only=site.read_only,
    )


def _is_kept(one: UnderWay) -> bool:
    """Whether there is something of it to look at."""
    if one.result_id is None:
        return False
    with History(read_only=True) as history:
        try:
            history.find(one.result_id)
        except UnknownNameError:
            return False
    return True


def difference(request: Request) -> Response:
    """``/difference?id=A&id=B``: how the answers of further runs differ from the first's."""
    ids = request.query_params.getlist("id")
    if len(ids) < 2:
        raise InputError("two things are compared", found=str(len(ids)))
    with History(read_only=True) as history:
        found = [history.run(history.find(one, RUNS).id) for one in ids[:MOST_COMPARED]]
    return fragment(request, "difference.html", **_differences(found))


def _side_by_side(request: Request, a: RunRecord, b: RunRecord) -> Response:
    return page(
        request,
        language_of(request)("site.compare.runs"),
        "two.page.html",
        sections=run_sections([a, b]),
        two=(a, b),
        **_differences([a, b]),
    )


def _differences(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Each further run with what differs from the first; None: nothing does."""
    first, *others = runs
    return {
        "first": {"id": first.id, "name": _name(first)},
        "differences": [
            (
                {"id": other.id, "name": _name(other)},
                None
                if other.output.text == first.output.text
                else list(_difference(first.output.text, other.output.text)),
            )
            for other in others
        ],
    }


def _name(run: RunRecord) -> str:
    return f"{run.prompt.name or run.kind} · {run.model.name}"


def _difference(a: str, b: str) -> Iterator[tuple[str, str]]:
    """Words with what became of them: ``same``, ``only-a``, ``only-b``."""
    old, new = re.findall(r"\S+\s*|\s+", a), re.findall(r"\S+\s*|\s+", b)
    if len(old) + len(new) > MOST_WORDS:
        yield "only-a", a
        yield "only-b", b
        return
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for what, i, j, k, m in matcher.get_opcodes():
        if what == "equal":
            yield "same", "".join(old[i:j])
            continue
        if i < j:
            yield "only-a", "".join(old[i:j])
        if k < m:
            yield "only-b", "".join(new[k:m])


def _run_row(run: RunRecord) -> dict[str, Any]:
    return {"id": run.id, "fields": run_values(run)}
