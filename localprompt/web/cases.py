"""What became of one case of a suite, evaluation by evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from localprompt.errors import UnknownNameError
from localprompt.records.case_matrix import state_of
from localprompt.records.evaluation import CaseResult, Evaluation
from localprompt.store.history import History
from localprompt.units import UNKNOWN
from localprompt.views.eval_text import short
from localprompt.views.figures import moment_text
from localprompt.views.language import Language
from localprompt.views.sections import Column, Fact, Row, Section, Table, Value
from localprompt.web.site import language_of, page

MOST_EVALUATIONS = 100
_ANSWER = 80
_PROMPT = 40

Made = Sequence[tuple[Evaluation, CaseResult]]


def case_history(request: Request) -> Response:
    """``/cases?evaluation=ID&case=ID``: the case in all evaluations of that one's suite."""
    reference = request.query_params.get("evaluation", "last")
    case_id = request.query_params.get("case", "")
    say = language_of(request)
    with History(read_only=True) as history:
        suite = history.evaluation(reference)
        made = history.case_history(suite.path, case_id, limit=MOST_EVALUATIONS)
        if not made:
            near = tuple(history.case_ids(suite.id, 3))
            raise UnknownNameError(f"{suite.title} has no case {case_id!r}", nearest=near)
    title = say("site.cases.title", case=case_id, suite=suite.title)
    return page(
        request, title, sections=[Section("case", say("site.cases.history"), (_table(made, say),))]
    )


def _table(made: Made, say: Language) -> Table:
    columns = (
        Column(say("site.column.when")),
        Column(say("site.column.model")),
        Column(say("site.column.prompt")),
        Column(say("site.cases.state")),
        Column(say("site.cases.score"), numeric=True),
        Column(say("site.cases.answer"), prose=True),
    )
    flips = _flips(made)
    rows = tuple(
        _row(evaluation, result, say, flipped=at in flips)
        for at, (evaluation, result) in enumerate(made)
    )
    caption = say("site.cases.caption", flips=str(len(flips)))
    return Table(caption, columns, rows)


def _flips(made: Made) -> set[int]:
    """Where a case came out otherwise than the last time with the same model and prompt."""
    before: dict[tuple[str, str, int], str] = {}
    found = set()
    for at in reversed(range(len(made))):
        evaluation, result = made[at]
        target = evaluation.targets[result.target]
        key, state = (target.model.name, target.prompt, result.repetition), state_of(result)
        if before.get(key, state) != state:
            found.add(at)
        before[key] = state
    return found


def _row(evaluation: Evaluation, result: CaseResult, say: Language, *, flipped: bool) -> Row:
    target, state = evaluation.targets[result.target], state_of(result)
    word = say(f"site.cases.{state}")
    if flipped:
        word = say("site.cases.flipped", state=word)
    moment = moment_text(evaluation.created_at)
    score = result.score.score
    return Row(
        f"{moment} {target.model.name}",
        (
            Value(moment, evaluation.created_at),
            Value(target.model.name, target.model.name),
            Value(short(target.prompt, _PROMPT), target.prompt),
            Value(word, state),
            Value(UNKNOWN if score is None else say.number(f"{score:.2f}"), score),
            Value(short(result.answer, _ANSWER)),
        ),
        facts=(Fact(say("site.activity.eval"), f"{evaluation.title}, {evaluation.id}"),),
        texts=((say("site.cases.answer"), result.error or result.answer),),
        emphasis="strong" if flipped else "",
    )
