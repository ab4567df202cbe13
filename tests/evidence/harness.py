"""A lab in which nothing is real but the arithmetic: a scripted engine, tunings from nowhere."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from localprompt.engine.base import Engine
from localprompt.engine.scripted import ScriptedEngine
from localprompt.errors import NotEnoughMemoryError, UnknownNameError
from localprompt.evaluate.models import Models
from localprompt.evidence import data
from localprompt.evidence.contrast import contrast
from localprompt.evidence.experiment import Experiment
from localprompt.evidence.lab import Lab
from localprompt.evidence.running import plan, run
from localprompt.evidence.searching import Searches
from localprompt.evidence.tools import Ran, Tools
from localprompt.evidence.tuning import Tunings
from localprompt.finetune.estimate.cost import read_prices
from localprompt.finetune.estimate.shapes import find_shape
from localprompt.models.adapters import adapters_of
from localprompt.models.quality.reading import Comparison
from localprompt.records import json
from localprompt.records.contrast import ContrastReport
from localprompt.records.evaluation import EvalRequest
from localprompt.records.evidence import EvidenceReport
from localprompt.records.improvement import FinalComparison, Improvement, ImproveRequest, Trial
from localprompt.records.model import AdapterUse, ModelRecord
from localprompt.records.quality import Divergence, Mean, Perplexity
from localprompt.records.training import (
    Epoch,
    Examples,
    TrainingMemory,
    TrainingProgress,
    TrainingRequest,
    TrainingResult,
    TrainingSeconds,
    TunedModel,
)
from localprompt.stats.samples import Interval
from localprompt.store.history import History
from localprompt.units import GIB, MIB
from tests.models.tiny_gguf import TENSORS, tiny_gguf
from tests.models.tiny_lora import METADATA, lora_gguf
from tests.sample_runs import make_run

FULL = tuple((name, shape, "F32") for name, shape, _ in TENSORS)
OTHER = (("token_embd.weight", (32, 80), "F32"), ("output_norm.weight", (64,), "F32"))
PRAISE = {
    row["review"]
    for row in data.read_rows(data.dataset("sentiment.csv"))
    if row["__expected"] == "positive"
}
"""The held-out reviews that are: the engine is above chance on them."""
POSITIVE = ("love", "good", "best", "happy", "perfect", "wonderful", "fresh", "quiet", "easy")


class TestBench:
    """Makes labs in one folder, and counts what they asked for."""

    __test__ = False

    def __init__(self, folder: Path, *, trains: bool = True, other_family: bool = True) -> None:
        self.folder = folder
        self.trains = trains
        self.other_family = other_family
        self.tuned: list[TrainingRequest] = []
        self.ran: list[Sequence[str]] = []
        self.steps: list[str] = []
        self.knows = True
        """Whether the engine tells reviews apart."""
        self.answer: Callable[[str], str] = lambda prompt: "no idea"
        folder.mkdir(exist_ok=True)
        (folder / "small.gguf").write_bytes(tiny_gguf())
        (folder / "gemma3-270m.gguf").write_bytes(tiny_gguf(tensors=OTHER))

    @contextmanager
    def lab(self, *adapters: str) -> Iterator[Lab]:
        """As a command would open it; what was kept before is there again."""
        model = self.find_model(str(self.folder / "small.gguf"))
        with History(self.folder / "history.db") as store:
            yield self._lab(model, store, adapters)

    def run(
        self, experiments: Sequence[Experiment], *adapters: str, **options: Any
    ) -> EvidenceReport:
        with self.lab(*adapters) as lab:
            return run(experiments, lab, **options)

    def plan(self, experiments: Sequence[Experiment], *adapters: str) -> EvidenceReport:
        with self.lab(*adapters) as lab:
            return plan(experiments, lab)

    def contrast(self, suite: str, *adapters: str, **options: Any) -> ContrastReport:
        with self.lab(*adapters) as lab:
            return contrast(lab, suite, **options)

    def _lab(self, model: ModelRecord, store: History, adapters: Sequence[str]) -> Lab:
        return Lab(
            model,
            self.folder / "lab",
            store=store,
            models=Models(self._open),
            find_model=self.find_model,
            tunings=Tunings(model, self.folder / "tunings", self._tune),
            searches=Searches(model, self.folder / "searches", self._run),
            prices=read_prices(),
            tools=Tools(self._vocabulary, self._convert, self._compare, self._run, self._shape),
            on_step=self.steps.append,
            adapters=adapters_of(adapters),
        )

    def find_model(self, name: str) -> ModelRecord:
        if name == "gemma3-270m" and not self.other_family:
            raise UnknownNameError("no model is called that")
        path = Path(name) if "/" in name else self.folder / f"{name}.gguf"
        return ModelRecord(
            name=path.stem,
            path=str(path),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            architecture="gemma3" if path.stem == "gemma3-270m" else "llama",
            quantization="Q4_0",
            parameters=17_000,
            size_bytes=path.stat().st_size,
        )

    def _open(self, model: ModelRecord, request: EvalRequest) -> Engine:
        return self._vocabulary(model)

    def _vocabulary(self, model: ModelRecord) -> Engine:
        def likes(before: str, word: str) -> float:
            last = before.rpartition("Review:")[2]
            content = self.knows and any(known in last for known in POSITIVE)
            if self.knows and last.split("\n")[0].strip() in PRAISE:
                content = True
            return -0.1 if (word.strip() == "positive") == content else -2.0

        return ScriptedEngine(
            lambda prompt: [self.answer(prompt).encode()], log_probability=likes, n_ctx_train=8192
        )

    def _tune(
        self, request: TrainingRequest, on_progress: Callable[[TrainingProgress], None]
    ) -> TrainingResult:
        if not self.trains:
            raise NotEnoughMemoryError("training would not fit into free memory")
        self.tuned.append(request)
        on_progress(TrainingProgress("train", 1, 1, 1, 2, 0.5, 100.0, 1.0))
        path = self.folder / f"{request.name}.gguf"
        content = bytearray(tiny_gguf(tensors=FULL))
        content[-4:] = len(self.tuned).to_bytes(4, "little")  # one number has changed
        path.write_bytes(content)
        return make_training(request, self.find_model(str(path)), self.find_model("small"))

    def _convert(self, model: ModelRecord, target: Path, file_type: str) -> None:
        target.write_bytes(tiny_gguf(tensors=FULL) if file_type == "F32" else tiny_gguf())

    def adapter(self, **metadata: str) -> Path:
        """One of the small model."""
        path = self.folder / "style.gguf"
        path.write_bytes(lora_gguf({**METADATA, **metadata}))
        return path

    def _compare(
        self, model: Path, parent: Path, text: str, adapters: tuple[AdapterUse, ...]
    ) -> Comparison:
        tuned = "evidence" in model.name or bool(adapters)
        ratio, ends = (1.2, Interval(1.1, 1.3)) if tuned else (1.0, Interval(0.99, 1.01))
        kl = Mean(0.1, 0.01)
        divergence = Divergence(1000, kl, 900, ratio, ends)
        return Comparison(Perplexity(20 * ratio, 0.5, 1000), Perplexity(20, 0.5, 1000), divergence)

    def _run(self, arguments: Sequence[str]) -> Ran:
        self.ran.append(arguments)
        if arguments[0] == "improve":
            return self._improved(arguments)
        return Ran(json.encode(make_run(len(self.ran))).decode(), 1.0 + len(self.ran) / 100)

    def _improved(self, arguments: Sequence[str]) -> Ran:
        """The same prompt with another name, found in half a minute."""
        given = dict(itertools.pairwise(arguments))
        output, prompt = Path(given["--output"]), Path(arguments[1])
        text = prompt.read_text(encoding="utf-8")
        output.write_text(text.replace(f"name: {prompt.stem}", "name: found"), encoding="utf-8")
        record = make_improvement(given["--output"], given["--cases"])
        return Ran(json.encode(record).decode(), 30.0, 25.0, 300 * MIB)

    def _shape(self, path: Path):  # type: ignore[no-untyped-def]
        return find_shape("smollm2-135m")


def make_improvement(output: str, cases: str) -> Improvement:
    """A search that ended, of one candidate."""
    run = make_run()
    return Improvement(
        id=run.id,
        kind="improve",
        created_at=run.created_at,
        localprompt_version="0.1.0",
        title="improve small",
        request=ImproveRequest(prompt="small", cases=cases),
        model=run.model,
        prompt="small",
        prompt_sha256="c3" * 32,
        cases_sha256="d4" * 32,
        machine=run.machine,
        trials=(Trial("a", "cue 'Sentiment:'", "none", "body"),),
        original="a",
        winner="a",
        final=FinalComparison(120, 0.5, 0.5, 0.0, None, 1.0, "exact McNemar", shown=False),
        output=output,
        evaluations=900,
        tokens=50_000,
    )


def make_training(
    request: TrainingRequest, tuned: ModelRecord, parent: ModelRecord
) -> TrainingResult:
    """A tuning of two steps that took a minute."""
    made = TunedModel(tuned.name, tuned.path, tuned.sha256 or "", tuned.size_bytes or 0, "F32")
    run = make_run()
    return TrainingResult(
        id=run.id,
        kind="finetune",
        created_at=run.created_at,
        localprompt_version="0.1.0",
        title=tuned.name,
        request=request,
        parent=parent,
        prompt_sha256="c3" * 32,
        tuned=made,
        full=msgspec.structs.replace(made),
        stopped="epochs",
        n_ctx=256,
        n_threads=2,
        parameters=17_000,
        trained_parameters=12_000,
        examples=Examples(16, 0, 800, 32, 60, 4, "d4" * 32),
        epochs=(
            Epoch(0, None, None, None, None, 0, complete=True, wall_seconds=0, cpu_seconds=0),
            Epoch(1, 1.0, 0.5, None, None, 2, complete=True, wall_seconds=50, cpu_seconds=100),
        ),
        step_losses=(2.0, 0.5),
        seconds=TrainingSeconds(1, 1, 50, 0, 2, 6),
        wall_seconds=60.0,
        cpu_seconds=110.0,
        tokens_per_second=100.0,
        example_tokens_per_second=80.0,
        memory=TrainingMemory(
            int(2.4 * GIB), 20 * MIB, 512 * MIB, 400 * MIB, 800 * MIB, 12 * MIB, 600 * MIB
        ),
        estimate=None,
        resumptions=0,
        machine=run.machine,
    )
