from __future__ import annotations

import os
from pathlib import Path

from localprompt.evaluate.models import Models
from localprompt.evaluate.runner import run_evaluation
from localprompt.evaluate.watch import Watcher, files_of
from tests.evaluate.harness import Lab, find_model


def test_the_files_of_a_suite_are_its_own_its_prompts_and_its_cases(lab: Lab) -> None:
    lab.write("ask.txt", "Good or bad? {{ text }}")
    lab.write(
        "files.yaml",
        "prompts: [file://ask.txt]\nproviders: [small]\ntests: file://cases.csv\n",
    )
    names = {path.name for path in files_of(lab.plan("files.yaml"))}
    assert names == {"files.yaml", "ask.txt", "cases.csv"}


def test_a_saved_file_is_noticed_also_when_it_was_gone_for_a_moment(tmp_path: Path) -> None:
    file, other = tmp_path / "a.txt", tmp_path / "b.txt"
    file.write_text("one")
    other.write_text("two")
    looks: list[int] = []

    def meanwhile(_: float) -> None:
        looks.append(len(looks))
        if len(looks) == 1:
            file.unlink()
        if len(looks) == 2:
            file.write_text("one and more")
            os.utime(file, ns=(10**18, 10**18))

    watcher = Watcher([file, other], meanwhile)
    assert watcher.wait() == [file]
    assert len(looks) == 2


def test_a_model_stays_open_from_one_evaluation_to_the_next_while_files_are_watched(
    lab: Lab,
) -> None:
    with Models(lab.open_engine, keep=True) as models:
        opened = []
        for _ in range(2):
            planned = lab.plan("tones.yaml", cached=False)
            run_evaluation(planned, lab.store, models, find_model=find_model)
            target = planned.evaluation.targets[0]
            opened.append(models.get(target.model, planned.evaluation.request))
            opened[-1].take_load_seconds()
    assert opened[0] is opened[1]
    assert opened[0].take_load_seconds() == 0, "a model that stays open is loaded once"


def test_without_watching_one_model_is_open_at_a_time(lab: Lab) -> None:
    planned = lab.plan("tones.yaml", models=("small", "large"))
    small, large = planned.evaluation.targets
    request = planned.evaluation.request
    with Models(lab.open_engine) as models:
        first = models.get(small.model, request)
        second = models.get(large.model, request)
        assert models.get(large.model, request) is second
        assert models.get(small.model, request) is not first
