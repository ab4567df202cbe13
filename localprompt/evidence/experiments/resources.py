"""Experiment 1: peak memory of prompting a model and of training it, in each usual way.

For the lab's own model prompting, a search for the prompt and full tuning are measured, LoRA and
QLoRA estimated (they want a GPU and other software). For a model of 7 billion parameters all is
estimated.
"""

from __future__ import annotations

from pathlib import Path

from localprompt.errors import MachineError
from localprompt.evidence import data
from localprompt.evidence.experiment import Outcome
from localprompt.evidence.figures import estimated, middle, once, ratio
from localprompt.evidence.lab import Lab
from localprompt.evidence.recipes import (
    HELD_OUT,
    LARGE,
    METHODS,
    PLAIN,
    SEARCHES,
    SMALLEST,
    prompting,
    training,
)
from localprompt.finetune.estimate.shapes import ModelShape, find_shape
from localprompt.records import json
from localprompt.records.evidence import Condition, Figure, Group, Note, Rule

_REPETITIONS = 6
_RATIOS = ("ratio_full_measured", "ratio_least_small", "ratio_least_large")


class Resources:
    number = 1
    name = "resources"
    edition = 2
    rule = Rule(
        supported=tuple(Condition(name, "low", ">", 1) for name in _RATIOS),
        refuted=tuple(Condition(name, "high", "<", 1) for name in _RATIOS),
    )
    seconds = 20.0
    tunings = (SMALLEST,)
    searches = (SEARCHES[16],)

    def inputs(self, lab: Lab) -> dict[str, str]:
        return {"data": data.digest(data.dataset(HELD_OUT), data.prompt(PLAIN))}

    def run(self, lab: Lab) -> Outcome:
        small = self._prompting(lab)
        trained = [
            _estimate("memory_training", lab.tools.shape(Path(lab.model.path)), method)
            for method in METHODS
        ]
        large = estimated("memory_prompting", prompting().peak_bytes, "bytes", LARGE)
        large_trained = [
            _estimate("memory_training", find_shape(LARGE), method) for method in METHODS
        ]
        peak = lab.searched(SEARCHES[16]).peak_rss_bytes
        searched = () if peak is None else (once("memory_search", peak, "bytes"),)
        measured, prevented = _measured(lab)
        figures = (
            *(ratio("ratio_full_measured", figure, small) for figure in measured),
            _least("ratio_least_small", trained, small),
            _least("ratio_least_large", large_trained, large),
            *(ratio("ratio_by_method_large", f, large, f.about) for f in large_trained),
        )
        return Outcome(
            figures=figures,
            groups=(
                Group("memory_small", (small, *searched, *measured, *trained)),
                Group("memory_large", (large, *large_trained)),
            ),
            notes=(Note("large_model", {"shape": LARGE}),),
            prevented=prevented,
        )

    def _prompting(self, lab: Lab) -> Figure:
        review = data.read_rows(data.dataset(HELD_OUT))[0]["review"]
        peaks = []
        for number in range(1, _REPETITIONS + 1):
            lab.step(f"peak memory of one answer in a fresh process: {number} of {_REPETITIONS}")
            ran = lab.tools.run(
                [
                    *("run", str(data.prompt(PLAIN)), "--param", f"review={review}"),
                    *("--model", lab.model.path, "--json", "--no-log"),
                ]
            )
            peak = json.decode(ran.stdout).memory.peak_rss_bytes
            if peak is not None:
                peaks.append(float(peak))
        if not peaks:
            raise MachineError("this system does not report the peak memory of a process")
        return middle("memory_prompting", peaks, "bytes", lab.model.name)


def _measured(lab: Lab) -> tuple[tuple[Figure, ...], str | None]:
    try:
        peak = lab.tuned(SMALLEST).memory.peak_rss_bytes
    except MachineError as error:
        return (), str(error)
    return () if peak is None else (once("memory_full_measured", peak, "bytes"),), None


def _estimate(name: str, shape: ModelShape, method: str) -> Figure:
    return estimated(name, training(shape, method).memory.total_bytes, "bytes", method)


def _least(name: str, trained: list[Figure], prompted: Figure) -> Figure:
    """The way to train that comes closest to prompting."""
    ratios = [ratio(name, figure, prompted, figure.about) for figure in trained]
    return min(ratios, key=lambda figure: figure.value)
