"""The ten experiments, in their order."""

from __future__ import annotations

from localprompt.evidence.experiment import Experiment
from localprompt.evidence.experiments.cost import Cost
from localprompt.evidence.experiments.documents import Documents
from localprompt.evidence.experiments.domain import Domain
from localprompt.evidence.experiments.examples import Examples
from localprompt.evidence.experiments.knowledge import Knowledge
from localprompt.evidence.experiments.pace import FirstResult, Iteration
from localprompt.evidence.experiments.resources import Resources
from localprompt.evidence.experiments.transparency import Transparency
from localprompt.evidence.experiments.updates import Updates

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
