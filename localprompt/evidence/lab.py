"""What experiments work with: one model, its tunings, and the calls that measure.

Everything here goes through what the commands use themselves: an evaluation is an evaluation of
``localprompt eval``, a tuning is one of ``finetune measure``. Their history is a file of the
evidence's own, so that ``localprompt runs`` and ``last`` keep meaning what the user did.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from localprompt.errors import EngineError, InputError
from localprompt.evaluate.loading import open_suite
from localprompt.evaluate.models import Models
from localprompt.evaluate.planning import FindModel, Planned, plan_evaluation
from localprompt.evaluate.runner import run_evaluation
from localprompt.evidence.searching import Searches, SearchPlan, SearchResult
from localprompt.evidence.tools import REAL, Tools
from localprompt.evidence.tuning import TuningPlan, Tunings
from localprompt.finetune.estimate.cost import Price
from localprompt.finetune.training.support import check_trainable
from localprompt.gguf.adapter import check_each
from localprompt.models.inspect import inspect_model
from localprompt.models.quality.reading import Comparison
from localprompt.records.evaluation import EvalRequest, Scoring
from localprompt.records.model import AdapterUse, ModelRecord
from localprompt.records.run import RequestedSettings
from localprompt.records.training import TrainingProgress, TrainingResult
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.suite.records import SuitePrompt
from localprompt.store.history import History
from localprompt.units import format_seconds

OnStep = Callable[[str], None]
"""Told what is being done now, in a few words."""


class Answers(msgspec.Struct, frozen=True):
    """The cases of one file, answered by one model with one prompt."""

    passed: tuple[bool, ...]
    """In the order of the file; what could not be answered has failed."""
    texts: tuple[str, ...]
    prompt_tokens: int
    wall_seconds: float
    """First request to last result; loading excluded."""
    cpu_seconds: float
    """Of this process, in proportion to the wall time of answering."""

    @property
    def right(self) -> int:
        return sum(self.passed)


class Lab:
    """One model, and what can be done with it.

    Args:
        model: the model whose prompting and tuning are compared.
        folder: where files of the experiments go; made if it is not there.
        store: a history of its own.
        find_model: a name or path → the record.
        tunings: makes tunings.
        searches: makes searches for a better prompt.
        prices: of GPUs; what estimates of money rest on.
        tools: the machine; tests bring their own.
        adapters: made elsewhere, on top of the model; the tuned side wherever what their training
            took does not matter.

    Raises:
        InputError: the adapters change nothing.
        ModelFileError: one is of another model.
    """

    def __init__(
        self,
        model: ModelRecord,
        folder: Path,
        *,
        store: History,
        models: Models,
        find_model: FindModel,
        tunings: Tunings,
        searches: Searches,
        prices: tuple[Price, ...] = (),
        tools: Tools = REAL,
        adapters: tuple[AdapterUse, ...] = (),
        on_step: OnStep = lambda _: None,
    ) -> None:
        _check_adapters(adapters, model)
        self.model = model
        self.adapters = adapters
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.find_model = find_model
        self.tunings = tunings
        self.searches = searches
        self.prices = prices
        self.tools = tools
        self._store = store
        self._models = models
        self._on_step = on_step

    @property
    def adapters_to_show(self) -> tuple[AdapterUse, ...]:
        """The adapters in the same way."""
        return tuple(
            msgspec.structs.replace(use, path=Path(use.path).name) for use in self.adapters
        )

    @property
    def adapter_names(self) -> str:
        return " + ".join(use.label for use in self.adapters)

    @property
    def model_to_show(self) -> ModelRecord:
        """The model as reports have it, which are passed on: without where its file lies."""
        return msgspec.structs.replace(self.model, path=Path(self.model.path).name)

    def step(self, text: str) -> None:
        """Say what is being done."""
        self._on_step(text)

    def ask(
        self,
        prompt: Path,
        cases: Path,
        model: ModelRecord | None = None,
        *,
        scoring: Scoring = "raw",
        limit: int | None = None,
        cached: bool = True,
        adapters: tuple[AdapterUse, ...] = (),
    ) -> Answers:
        """Answer and score the cases.

        Args:
            prompt, cases: a prompt file and its held-out cases.
            model: None: the lab's own.
            cached: False answers everything anew, for figures that are times.
            adapters: on top of the model.

        Raises:
            LocalPromptError: as an evaluation.
        """
        request = EvalRequest(
            suite=str(prompt),
            cases=str(cases),
            models=((model or self.model).path,),
            scoring=scoring,
            limit=limit,
            cached=cached,
            settings=RequestedSettings(adapters=adapters),
        )
        return self._answer(
            plan_evaluation(open_suite(request), request, find_model=self.find_model)
        )

    def ask_suite(
        self,
        suite: str,
        prompt: str,
        model: ModelRecord | None = None,
        *,
        cached: bool = True,
        file: Path | None = None,
        adapters: tuple[AdapterUse, ...] = (),
    ) -> Answers:
        """One prompt of a suite, by its label, over the suite's cases.

        Args:
            file: another prompt's, which takes the place of the suite's own.
            adapters: on top of the model.

        Raises:
            LocalPromptError: as an evaluation.
        """
        path = (model or self.model).path
        request = EvalRequest(
            suite=suite,
            models=(path,),
            scoring="raw",
            cached=cached,
            settings=RequestedSettings(adapters=adapters),
        )
        opened = open_suite(request)
        if file is not None:
            own = SuitePrompt(prompt, load_prompt(file), str(file))
            opened = msgspec.structs.replace(opened, prompts=(own,))
        planned = plan_evaluation(opened, request, find_model=self.find_model)
        targets = tuple(t for t in planned.evaluation.targets if t.prompt == prompt)
        evaluation = msgspec.structs.replace(planned.evaluation, targets=targets)
        return self._answer(msgspec.structs.replace(planned, evaluation=evaluation))

    def _answer(self, planned: Planned) -> Answers:
        """Carry out an evaluation of one target."""
        self._store.begin(planned.evaluation)
        cpu, wall = time.process_time(), time.perf_counter()
        run_evaluation(planned, self._store, self._models, find_model=self.find_model)
        busy = (time.process_time() - cpu) / max(time.perf_counter() - wall, 1e-9)
        results = sorted(
            self._store.results(planned.evaluation.id), key=lambda result: result.case_index
        )
        uses = list(self._store.uses(planned.evaluation.id))
        answering = sum(use.wall_seconds for use in uses)
        return Answers(
            passed=tuple(result.score.passed is True for result in results),
            texts=tuple(result.answer for result in results),
            prompt_tokens=sum(result.prompt_tokens or 0 for result in results),
            wall_seconds=answering,
            cpu_seconds=answering * busy,
        )

    def converted(self, file_type: str) -> ModelRecord:
        """The lab's model in another type (``F32``, ``Q8_0``, …), in a file of the lab's.

        Raises:
            EngineError: it cannot be made.
        """
        path = self.folder / f"{self.model.name}-{(self.model.sha256 or '')[:16]}-{file_type}.gguf"
        if not path.exists():
            self.step(f"converting {self.model.name} to {file_type}")
            draft = path.with_suffix(".part")
            self.tools.convert(self.model, draft, file_type)
            draft.replace(path)
        return msgspec.structs.replace(
            self.find_model(str(path)), name=f"{self.model.name}-{file_type.lower()}"
        )

    def compare_texts(
        self, model: ModelRecord, text: str, parent: ModelRecord | None = None
    ) -> Comparison:
        """A model beside its parent, which is the lab's own unless another is named, over a text.

        Raises:
            EngineError, ModelFileError: one cannot be read with.
        """
        self._models.close()
        beside = Path((parent or self.model).path)
        return self.tools.compare_texts(Path(model.path), beside, text, ())

    def compare_adapted(self, text: str) -> Comparison:
        """The model with its adapters beside the model without them, over a text.

        Raises:
            EngineError, ModelFileError: it cannot be read with.
        """
        self._models.close()
        path = Path(self.model.path)
        return self.tools.compare_texts(path, path, text, self.adapters)

    def tuned(self, plan: TuningPlan) -> TrainingResult:
        """The tuning, made now unless it is kept.

        Raises:
            LocalPromptError: the model cannot be trained on this machine.
        """
        kept = self.tunings.kept(plan)
        if kept is not None:
            return kept
        self._check_trainable()
        self._models.close()  # training wants the memory
        self.step(f"tuning {plan.name}: about {format_seconds(plan.seconds)}")

        def on_progress(progress: TrainingProgress) -> None:
            left = format_seconds(progress.seconds_left)
            step = f"step {progress.step} of {progress.steps}"
            self.step(f"tuning {plan.name}: {progress.stage}, {step}, {left} left")

        return self.tunings.make(plan, on_progress)

    def tuned_model(self, plan: TuningPlan) -> ModelRecord:
        """The tuned model, in its parent's quantization, to be asked.

        Raises:
            LocalPromptError: as :meth:`tuned`.
        """
        return self.find_model(self.tuned(plan).tuned.path)

    def searched(self, plan: SearchPlan) -> SearchResult:
        """The search for a better prompt, made now unless it is kept.

        Raises:
            WorkerError: it failed.
        """
        kept = self.searches.kept(plan)
        if kept is not None:
            return kept
        self._models.close()  # its memory is measured in a process of its own
        self.step(f"searching a prompt, {plan.name}: about {format_seconds(plan.seconds)}")
        return self.searches.make(plan)

    def _check_trainable(self) -> None:
        """For a user who names such a model it is a mistake; for an experiment it is the machine.

        Raises:
            EngineError: llama.cpp has no backward pass for models like this one.
        """
        try:
            check_trainable(inspect_model(Path(self.model.path)), self.model.name)
        except InputError as error:
            raise EngineError(error.message) from error


def _check_adapters(adapters: tuple[AdapterUse, ...], model: ModelRecord) -> None:
    if adapters and not any(use.scale for use in adapters):
        raise InputError(
            "an adapter of scale 0 changes nothing, so there is nothing to compare",
            where="--tuned-lora",
            expected="as style.gguf:0.8",
        )
    check_each((Path(use.path) for use in adapters), Path(model.path))
