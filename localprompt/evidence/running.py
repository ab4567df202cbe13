"""The experiments, carried out one after the other; what they found is kept and reused.

A finding is kept in a file named by its key: a digest of the model, the data, the procedure's
edition, the rule and the machine. The same inputs find it again; anything else is another finding.
So a run that was cut off goes on where it was, and a run after a change of one dataset repeats what
rests on it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import localprompt
from localprompt.errors import InputError, MachineError
from localprompt.evidence.experiment import Experiment, Outcome
from localprompt.evidence.experiments.cost import Cost
from localprompt.evidence.experiments.documents import Documents
from localprompt.evidence.experiments.domain import Domain
from localprompt.evidence.experiments.examples import Examples
from localprompt.evidence.experiments.knowledge import Knowledge
from localprompt.evidence.experiments.pace import FirstResult, Iteration
from localprompt.evidence.experiments.resources import Resources
from localprompt.evidence.experiments.transparency import Transparency
from localprompt.evidence.experiments.updates import Updates
from localprompt.evidence.lab import Lab
from localprompt.evidence.tuning import TuningPlan
from localprompt.files import replace_file
from localprompt.measure import machine
from localprompt.records import json
from localprompt.records.evidence import EvidenceReport, Finding, Plan
from localprompt.records.json import decode_as

TAKE_ADAPTERS = frozenset({"updates", "knowledge"})
"""Experiments whose tuned side may be an adapter that was made elsewhere: they look at what a
tuning does to a model. The others look at what it takes, or at one on examples that they know."""

OnFinding = Callable[[EvidenceReport, Finding, bool], None]
"""Told the report so far, what was just added to it, and whether that was reused."""


def choose(
    experiments: Sequence[Experiment], only: Sequence[int], *, adapted: bool = False
) -> tuple[Experiment, ...]:
    """Those that were asked for, in their order; all where none was named.

    Args:
        adapted: adapters are to be the tuned side.

    Raises:
        InputError: no experiment has that number, or none of them takes adapters.
    """
    known = {experiment.number: experiment for experiment in experiments}
    for number in only:
        if number not in known:
            raise InputError(
                "no experiment has that number",
                where="--only",
                expected=", ".join(map(str, sorted(known))),
                found=str(number),
            )
    chosen = tuple(e for e in experiments if not only or e.number in only)
    if adapted and not any(e.name in TAKE_ADAPTERS for e in chosen):
        able = [str(e.number) for e in experiments if e.name in TAKE_ADAPTERS]
        raise InputError(
            "none of these experiments can take an adapter made elsewhere",
            where="--tuned-lora",
            expected="one of " + ", ".join(able),
            found=", ".join(str(e.number) for e in chosen),
        )
    return chosen


def plan(experiments: Sequence[Experiment], lab: Lab) -> EvidenceReport:
    """The report before anything has run: hypotheses, rules, and how long it will take."""
    plans, taken, larger = [], set[str](), _larger(lab)
    for experiment in experiments:
        seconds = 0.0 if kept(experiment, lab) is not None else experiment.seconds
        if seconds:
            seconds += sum(_new(experiment, lab, taken))
        seconds *= larger
        plans.append(Plan(experiment.number, experiment.name, experiment.rule, seconds))
    return EvidenceReport(
        created_at=_now(),
        localprompt_version=localprompt.__version__,
        model=lab.model_to_show,
        machine=machine.describe(),
        plans=tuple(plans),
        adapters=lab.adapters_to_show,
    )


def run(
    experiments: Sequence[Experiment],
    lab: Lab,
    *,
    fresh: bool = False,
    on_finding: OnFinding = lambda *_: None,
) -> EvidenceReport:
    """Carry them out. What cannot be done on this machine becomes a finding that says why.

    Args:
        fresh: do not reuse findings; tunings are reused in any case.
    """
    report = plan(experiments, lab)
    for experiment in experiments:
        found = None if fresh else kept(experiment, lab)
        reused = found is not None
        if found is None:
            found = _carry_out(experiment, lab)
            if found.prevented is None:  # what was prevented is tried again
                _keep(found, lab)
        report = msgspec.structs.replace(report, findings=(*report.findings, found))
        on_finding(report, found, reused)
    return report


def kept(experiment: Experiment, lab: Lab) -> Finding | None:
    """What was found before with the same inputs."""
    try:
        path = _path(lab, experiment.number, _key(experiment, lab)[0])
        return decode_as(path.read_bytes(), Finding)
    except (OSError, msgspec.DecodeError):
        return None


def _carry_out(experiment: Experiment, lab: Lab) -> Finding:
    started = time.perf_counter()
    key, inputs = _key(experiment, lab)
    try:
        outcome = experiment.run(lab)
    except MachineError as error:
        outcome = Outcome(figures=(), prevented=str(error))
    return Finding(
        number=experiment.number,
        name=experiment.name,
        key=key,
        made_at=_now(),
        seconds=time.perf_counter() - started,
        rule=experiment.rule,
        verdict=experiment.rule.verdict(outcome.figures),
        figures=outcome.figures,
        groups=outcome.groups,
        notes=outcome.notes,
        samples=outcome.samples,
        prevented=outcome.prevented,
        inputs=inputs,
    )


def _key(experiment: Experiment, lab: Lab) -> tuple[str, dict[str, str]]:
    """The digest of everything that decides the finding, and what went into it."""
    inputs = {
        "experiment": f"{experiment.number}, edition {experiment.edition}",
        "rule": experiment.rule.sha256,
        "model": lab.model.sha256 or "",
        "machine": machine.describe().id,
        "version": localprompt.__version__,
        **{f"tuning {tuning.name}": tuning.key(lab.model) for tuning in _tunings(experiment, lab)},
        **{f"search {search.name}": search.key(lab.model) for search in experiment.searches},
        **experiment.inputs(lab),
    }
    if lab.adapters and experiment.name in TAKE_ADAPTERS:
        used = sorted(f"{use.sha256} × {use.scale!r}" for use in lab.adapters)
        inputs["adapters"] = ", ".join(used)
    return hashlib.sha256(msgspec.json.encode(inputs)).hexdigest(), inputs


def _larger(lab: Lab) -> float:
    """How many times as large the model is as the one whose times the experiments know: what they
    take grows with the weights that are read for every token."""
    return max(1.0, (lab.model.size_bytes or 0) / _TIMED_BYTES)


def _tunings(experiment: Experiment, lab: Lab) -> tuple[TuningPlan, ...]:
    """Those that it needs here."""
    adapted = lab.adapters and experiment.name in TAKE_ADAPTERS
    return () if adapted else experiment.tunings


def _new(experiment: Experiment, lab: Lab, taken: set[str]) -> Iterator[float]:
    """The seconds of those tunings and searches that nothing before has made."""
    for tuning in _tunings(experiment, lab):
        if f"tuning {tuning.name}" not in taken and lab.tunings.kept(tuning) is None:
            yield tuning.seconds
        taken.add(f"tuning {tuning.name}")
    for search in experiment.searches:
        if f"search {search.name}" not in taken and lab.searches.kept(search) is None:
            yield search.seconds
        taken.add(f"search {search.name}")


def _keep(finding: Finding, lab: Lab) -> None:
    path = _path(lab, finding.number, finding.key)
    replace_file(path, json.encode(finding))


def _path(lab: Lab, number: int, key: str) -> Path:
    return lab.folder / "findings" / f"{number:02}-{key[:16]}.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


_TIMED_BYTES = 98_362_432
"""The starter model's weights: an experiment's ``seconds`` are what they took on two cores."""

EXPERIMENTS: tuple[Experiment, ...] = (
    Resources(),
    Cost(),
    Updates(),
    FirstResult(),
    Examples(),
    Iteration(),
    Domain(),
    Documents(),
    Knowledge(),
    Transparency(),
)
