"""Experiment 8: documents in the prompt, from memory, and after tuning on them.

The passages are invented, so nobody remembers them. In the prompt stands the passage that a search
finds for the question, right or wrong; how often it is the right one is told beside. All prompts
end with the same cue: until edition 2 only the one with a passage had it, and a cue alone can be
worth more than anything else to a small model.
"""

from __future__ import annotations

from localprompt.errors import MachineError
from localprompt.evidence import data
from localprompt.evidence.experiment import Outcome
from localprompt.evidence.figures import gain, once, score
from localprompt.evidence.lab import Answers, Lab
from localprompt.evidence.recipes import PASSAGES
from localprompt.evidence.searching import SearchPlan
from localprompt.records.evidence import Condition, Figure, Group, Rule
from localprompt.rendering.retrieval import Index

CASES = "closed-questions.csv"
OPEN, CLOSED = "answer-from-passage", "closed-book"


class Documents:
    number = 8
    name = "documents"
    edition = 2
    rule = Rule(
        supported=(
            Condition("gain_over_closed_book", "low", ">", 0),
            Condition("gain_over_tuned", "low", ">", 0),
        ),
        refuted=(
            Condition("gain_over_closed_book", "high", "<", 0),
            Condition("gain_over_tuned", "high", "<", 0),
        ),
    )
    seconds = 90.0
    tunings = (PASSAGES,)
    searches: tuple[SearchPlan, ...] = ()

    def inputs(self, lab: Lab) -> dict[str, str]:
        return {"data": data.digest(data.dataset(CASES), data.prompt(OPEN), data.prompt(CLOSED))}

    def run(self, lab: Lab) -> Outcome:
        rows = data.read_rows(data.dataset(CASES))
        index = Index(list(dict.fromkeys(row["passage"] for row in rows)))
        found = [{**row, "passage": index.best(row["question"])} for row in rows]
        hits = sum(f["passage"] == row["passage"] for f, row in zip(found, rows, strict=True))
        retrieved = data.write_rows(lab.folder / "retrieved.csv", found)
        bare = data.write_rows(lab.folder / "closed-book.csv", data.without(rows, "passage"))
        lab.step("questions with the passage that a search finds")
        given = lab.ask(data.prompt(OPEN), retrieved)
        lab.step("the same questions, closed book")
        closed = lab.ask(data.prompt(CLOSED), bare)
        try:
            tuned = lab.ask(data.prompt(CLOSED), bare, lab.tuned_model(PASSAGES))
        except MachineError as error:
            return Outcome(
                (gain("gain_over_closed_book", closed.passed, given.passed),), prevented=str(error)
            )
        return Outcome(
            figures=(
                gain("gain_over_closed_book", closed.passed, given.passed),
                gain("gain_over_tuned", tuned.passed, given.passed),
                once("share_retrieved_right", hits / len(rows), "share"),
                *_of_tuning(lab),
            ),
            groups=(Group("documents", _scores(given, closed, tuned)),),
        )


def _scores(given: Answers, closed: Answers, tuned: Answers) -> tuple[Figure, ...]:
    return (
        score("score_retrieved", given),
        score("score_closed_book", closed),
        score("score_tuned_on_passages", tuned),
    )


def _of_tuning(lab: Lab) -> tuple[Figure, ...]:
    """Whether the tuning took: without that, a low score would say little."""
    result = lab.tuned(PASSAGES)
    first, last = result.step_losses[0], result.step_losses[-1]
    return (
        once("loss_before", first, "loss"),
        once("loss_after", last, "loss"),
        once("seconds_of_tuning", result.wall_seconds, "seconds"),
    )
