"""CAPO of promptolution; runs in promptolution's own environment, not in localprompt's.

A task on stdin, its answers to the held-out cases on stdout, both as JSON; see ``optimizers``. The
model is its own teacher, as it is for everybody on such a machine. It stops after the step in which
the minutes are over.
"""

import json
import random
import sys
import time
from typing import Any

import pandas as pd
from promptolution.llms.api_llm import APILLM
from promptolution.optimizers.capo import CAPO
from promptolution.predictors.first_occurrence_predictor import FirstOccurrencePredictor
from promptolution.tasks.classification_tasks import ClassificationTask
from promptolution.utils.callbacks import BaseCallback
from promptolution.utils.prompt import Prompt

MOST_STEPS = 100
POPULATION = 4
TEACHER_TOKENS, TEACHER_TEMPERATURE = 256, 0.7
"""Of the prompts that the model writes as its own teacher."""


class Deadline(BaseCallback):  # type: ignore[misc]
    """Ends the search after the step in which the time is over."""

    def __init__(self, end: float) -> None:
        self.end = end
        self.steps = 0

    def on_step_end(self, optimizer: "CAPO") -> bool:
        self.steps += 1
        return time.monotonic() < self.end


def served(task: "dict[str, Any]", max_tokens: int, temperature: float) -> "APILLM":
    return APILLM(
        api_url=f"{task['url']}/v1",
        model_id="served",
        api_key="none",
        max_concurrent_calls=task["slots"],
        max_tokens=max_tokens,
        call_timeout_s=600.0,
        gather_timeout_s=3600.0,
        call_kwargs={"temperature": temperature, "seed": task["seed"]},
    )


def main() -> None:
    task = json.load(sys.stdin)
    random.seed(task["seed"])
    began = time.monotonic()
    llm = served(task, task["max_tokens"], 0.0)
    table = pd.DataFrame([{"x": row["text"], "y": row["answer"]} for row in task["train"]])
    work = ClassificationTask(
        table,
        task_description=task["instruction"],
        eval_strategy="sequential_block",
        seed=task["seed"],
    )
    predictor = FirstOccurrencePredictor(llm, classes=task["labels"])
    deadline = Deadline(began + 60 * task["minutes"])
    optimizer = CAPO(
        predictor=predictor,
        task=work,
        meta_llm=served(task, TEACHER_TOKENS, TEACHER_TEMPERATURE),
        initial_prompts=[Prompt(task["instruction"]) for _ in range(POPULATION)],
        create_fs_reasoning=False,
        callbacks=[deadline],
    )
    best = optimizer.optimize(n_steps=MOST_STEPS)[0]
    seconds = time.monotonic() - began
    texts = [row["text"] for row in task["held_out"]]
    answers, _ = predictor.predict([best.construct_prompt()] * len(texts), texts)
    shown = f"{deadline.steps} steps: {best.construct_prompt()[:400]}"
    found = {"answers": [str(one) for one in answers], "found": shown, "seconds": seconds}
    print("\n" + json.dumps(found))


main()
