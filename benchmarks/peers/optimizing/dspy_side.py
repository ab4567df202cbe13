"""DSPy's BootstrapFewShotWithRandomSearch; runs in DSPy's own environment, not in localprompt's.

A task on stdin, its answers to the held-out cases on stdout, both as JSON; see ``optimizers``. How
many candidate programs fit into the minutes is told from how long the first one took.
"""

import json
import sys
import time
from typing import Literal

import dspy

LEAST_CANDIDATES, MOST_CANDIDATES = 1, 16
OWN_CANDIDATES = 3
"""That it evaluates beside those that were asked for: bare, labeled, unshuffled."""


def main() -> None:
    task = json.load(sys.stdin)
    began = time.monotonic()
    lm = dspy.LM(
        "openai/local",
        api_base=f"{task['url']}/v1",
        api_key="none",
        temperature=0.0,
        max_tokens=task["max_tokens"],
        cache=False,
    )
    dspy.configure(lm=lm)
    kind = Literal[tuple(task["labels"])] if task["labels"] else str
    signature = dspy.make_signature(
        {"text": (str, dspy.InputField()), "answer": (kind, dspy.OutputField())},
        task["instruction"],
    )
    program = dspy.Predict(signature)
    train = [dspy.Example(**row).with_inputs("text") for row in task["train"]]
    half = len(train) // 2
    evaluate = dspy.Evaluate(
        devset=train[half:], metric=right, num_threads=task["slots"], max_errors=10_000
    )
    evaluate(program)
    once = time.monotonic() - began
    left = 60 * task["minutes"] - once
    candidates = max(
        LEAST_CANDIDATES, min(MOST_CANDIDATES, int(left / (1.5 * once)) - OWN_CANDIDATES)
    )
    optimizer = dspy.BootstrapFewShotWithRandomSearch(
        metric=right,
        max_bootstrapped_demos=4,
        max_labeled_demos=8,
        num_candidate_programs=candidates,
        num_threads=task["slots"],
        max_errors=10_000,
    )
    found = optimizer.compile(program, trainset=train[:half], valset=train[half:])
    seconds = time.monotonic() - began
    answers = [answered(found, row["text"]) for row in task["held_out"]]
    shown = f"{candidates} candidate programs, {len(found.demos)} examples"
    print("\n" + json.dumps({"answers": answers, "found": shown, "seconds": seconds}))


def right(example: "dspy.Example", prediction: "dspy.Prediction", trace: object = None) -> bool:
    return example.answer.strip().lower() in str(prediction.answer).strip().lower()


def answered(program: "dspy.Predict", text: str) -> str:
    """Empty where the model's reply could not be read: a case that it got wrong."""
    try:
        return str(program(text=text).answer)
    except Exception:  # noqa: BLE001 - whatever an adapter says about a reply that it cannot read
        return ""


main()
