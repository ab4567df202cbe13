"""From what was asked for to an experiment: cells that can run, cells that cannot, and how long.

Looks at the files and at the machine and runs nothing, except, once per machine and type of
weights, the probe of the machine's limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import localprompt
from localprompt.bench.limits import work_and_ceilings
from localprompt.bench.spec import BenchSpec, CellAsk, cell_asks, key_of
from localprompt.errors import (
    ContextOverflowError,
    EngineError,
    HistoryError,
    InputError,
    ModelFileError,
    NotEnoughMemoryError,
)
from localprompt.measure import machine as this_machine
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.models.inspect import inspect_model
from localprompt.records.bench import Experiment, PlannedCell, RefusedCell, Repetitions
from localprompt.records.cell import BenchRequest, Cell
from localprompt.records.ids import new_run_id
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import Machine, RunRecord, Sampling
from localprompt.running.admission import check_memory, context_size
from localprompt.running.assemble import (
    RunChoices,
    prompt_with_params,
    run_cell,
    with_profile,
    with_threads,
)
from localprompt.running.execute import render
from localprompt.stats.roofline import Ceilings, TokenWork, decode_limit, prefill_limit
from localprompt.stats.samples import median

EarlierRuns = Callable[[str, str], Iterable[RunRecord]]
"""sha256 of a model, id of a machine → its latest runs."""
CountTokens = Callable[[Cell], int]
"""How many tokens a cell's prompt has."""

_USUAL_SHARE = 0.6
"""Of the limits: what an estimate assumes where this model has not run here yet."""
_FULL_PRECISION = ("f32", "f16", "bf16")
_REFUSALS = (ContextOverflowError, NotEnoughMemoryError, ModelFileError, EngineError)


def plan_bench(
    spec: BenchSpec,
    title: str,
    *,
    build: str,
    cpu_features: tuple[str, ...] = (),
    count_tokens: CountTokens,
    earlier_runs: EarlierRuns = lambda _sha256, _machine: (),
) -> Experiment:
    """The experiment that answers what was asked; not stored yet.

    Args:
        title: the command or suite that asks for it.
        build: of llama.cpp.

    Raises:
        LocalPromptError: a model, prompt or parameter is wrong, or there is nothing to run.
    """
    machine = this_machine.describe(llama_cpp_build=build, cpu_features=cpu_features)
    planner = _Planner(machine, build, count_tokens, earlier_runs)
    cells: dict[str, PlannedCell] = {}
    refused: list[RefusedCell] = []
    if not spec.models:
        spec = msgspec.structs.replace(spec, models=(DEFAULT_MODEL,))
    for ask in cell_asks(spec):
        request = _assembled(ask)
        workload, labels = _named(ask, request.cell)
        try:
            cell = planner.planned(request, workload, labels)
        except _REFUSALS as error:
            refused.append(RefusedCell(labels or {"workload": workload}, str(error)))
        else:
            cells.setdefault(cell.key, cell)
    return _experiment(title, cells.values(), refused, spec.repetitions, machine)


def plan_cells(
    requests: Sequence[BenchRequest],
    *,
    title: str,
    names: Sequence[dict[str, str]],
    repetitions: Repetitions,
    machine: Machine,
) -> tuple[Experiment, tuple[str | None, ...]]:
    """An experiment of cells that are made already, without estimates and limits; and the key of
    each request's cell, None where it cannot run.

    Args:
        names: the labels of each.

    Raises:
        PromptFileError, ParameterError: a prompt does not render.
    """
    cells: dict[str, PlannedCell] = {}
    refused, keys = [], list[str | None]()
    for request, labels in zip(requests, names, strict=True):
        key = key_of(request)
        messages = render(request.cell).messages
        try:
            check_memory(request.cell, messages, None)
        except _REFUSALS as error:
            refused.append(RefusedCell(labels, str(error)))
            keys.append(None)
            continue
        plain = msgspec.to_builtins(request)
        cells[key] = PlannedCell(key, labels, request.cell.template.name, plain, None)
        keys.append(key)
    return _experiment(title, cells.values(), refused, repetitions, machine), tuple(keys)


def _experiment(
    title: str,
    cells: Iterable[PlannedCell],
    refused: Iterable[RefusedCell],
    repetitions: Repetitions,
    machine: Machine,
) -> Experiment:
    return Experiment(
        id=new_run_id(),
        kind="bench",
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        localprompt_version=localprompt.__version__,
        title=title,
        cells=tuple(cells),
        refused=tuple(refused),
        repetitions=repetitions,
        machine=machine,
    )


def count_with_llama(cell: Cell) -> int:
    """Tokens of the rendered prompt, by the model's own vocabulary; opens no weights."""
    from localprompt.engine.llama.engine import LlamaEngine

    path = Path(cell.model.path)
    with LlamaEngine(path, chat_template=cell.chat_template, vocab_only=True) as engine:
        return len(engine.encode(render(cell).messages).token_ids)


def _assembled(ask: CellAsk) -> BenchRequest:
    """Names → records; the same files are read once for all cells of a plan by their caches."""
    if ask.prompt is not None:
        template, params = prompt_with_params(ask.prompt.name, ask.prompt.params, lambda: None)
        choices = RunChoices(
            model=ask.model,
            sampling=ask.sampling,
            settings=ask.settings,
            given=ask.given,
            profile=ask.profile,
            prefix="kept" if ask.prefix_store else "whole",
        )
        cell = msgspec.structs.replace(run_cell(template, params, choices), kind="bench")
        # Tried once here: a missing parameter is the user's mistake, not a cell's failure.
        render(cell)
    else:
        model, settings, profile = with_profile(
            ask.model, ask.model, ask.settings, given=ask.given, profile=ask.profile
        )
        cell = Cell(
            kind="bench",
            model=model,
            profile=profile,
            template=PromptTemplate(name=ask.workload, body=""),
            params={},
            sampling=Sampling(max_tokens=max(ask.prefill, ask.decode)),
            settings=with_threads(settings),
        )
    status = Path(cell.model.path).stat()
    return BenchRequest(cell, ask.prefill, ask.decode, status.st_size, status.st_mtime_ns)


def _named(ask: CellAsk, cell: Cell) -> tuple[str, dict[str, str]]:
    """Workload and labels with the names that files have for themselves, instead of their paths."""
    names = {"model": (ask.model, cell.model.name)}
    if ask.prompt is not None:
        names["workload"] = (ask.prompt.name, cell.template.name)
    labels = {
        label: value.replace(*names[label], 1) if label in names else value
        for label, value in ask.labels.items()
    }
    workload = ask.workload.replace(*names["workload"], 1) if ask.prompt else ask.workload
    return workload, labels


class _Planner:
    def __init__(
        self,
        machine: Machine,
        build: str,
        count_tokens: CountTokens,
        earlier_runs: EarlierRuns,
    ) -> None:
        self._machine = machine
        self._build = build
        self._count_tokens = count_tokens
        self._earlier_runs = earlier_runs
        self._token_counts: dict[tuple[str, bytes], int] = {}
        self._limits: dict[object, tuple[TokenWork | None, Ceilings | None]] = {}
        self._rates: dict[str, tuple[float | None, float | None]] = {}

    def planned(self, request: BenchRequest, workload: str, labels: dict[str, str]) -> PlannedCell:
        """The cell, if it can run.

        Raises:
            ContextOverflowError, NotEnoughMemoryError, ModelFileError, EngineError: it cannot.
        """
        cell = request.cell
        prompt_tokens = request.prefill if request.synthetic else self._tokens(cell)
        _check_context(request, prompt_tokens)
        _check_types(cell)
        check_memory(cell, () if request.synthetic else render(cell).messages, None)
        work, ceilings = self._work(cell)
        return PlannedCell(
            key=key_of(request),
            labels=labels,
            workload=workload,
            request=msgspec.to_builtins(request),
            estimated_seconds=self._estimate(request, prompt_tokens, work, ceilings),
            work=work,
            ceilings=ceilings,
        )

    def _tokens(self, cell: Cell) -> int:
        what = (cell.model.path, msgspec.json.encode((cell.template, cell.params)))
        if what not in self._token_counts:
            self._token_counts[what] = self._count_tokens(cell)
        return self._token_counts[what]

    def _work(self, cell: Cell) -> tuple[TokenWork | None, Ceilings | None]:
        settings = cell.settings
        what = (cell.model.path, settings.type_k, settings.type_v, settings.repack)
        if what not in self._limits:
            path = Path(cell.model.path)
            self._limits[what] = work_and_ceilings(path, settings, self._machine, self._build)
        return self._limits[what]

    def _estimate(
        self,
        request: BenchRequest,
        prompt_tokens: int,
        work: TokenWork | None,
        ceilings: Ceilings | None,
    ) -> float | None:
        """One repetition: rates of this model's earlier runs here, or a usual share of the limits.

        An answer counts as long as it may become.
        """
        completion = request.decode if request.synthetic else request.cell.sampling.max_tokens
        prefill, decode = self._earlier_rates(request.cell.model.sha256)
        if work is not None and ceilings is not None:
            n_ubatch = request.cell.settings.n_ubatch or 512
            usual = [
                _USUAL_SHARE * limit.tokens_per_second
                for limit in (
                    prefill_limit(work, ceilings, tokens=max(1, prompt_tokens), n_ubatch=n_ubatch),
                    decode_limit(
                        work,
                        ceilings,
                        prompt_tokens=prompt_tokens,
                        completion_tokens=completion,
                    ),
                )
            ]
            prefill, decode = prefill or usual[0], decode or usual[1]
        if (prompt_tokens and prefill is None) or (completion and decode is None):
            return None
        return prompt_tokens / (prefill or 1) + completion / (decode or 1)

    def _earlier_rates(self, sha256: str | None) -> tuple[float | None, float | None]:
        if sha256 is None:
            return None, None
        if sha256 not in self._rates:
            runs = list(self._earlier_runs(sha256, self._machine.id))
            prefill = [r for run in runs if (r := run.timing.prefill_tokens_per_second)]
            decode = [r for run in runs if (r := run.timing.decode_tokens_per_second)]
            self._rates[sha256] = (
                median(prefill) if prefill else None,
                median(decode) if decode else None,
            )
        return self._rates[sha256]


def _check_context(request: BenchRequest, prompt_tokens: int) -> None:
    cell = request.cell
    trained = inspect_model(Path(cell.model.path)).n_ctx_train
    if not request.synthetic:
        context_size(cell, prompt_tokens, trained)
        return
    needed, limit = max(request.prefill, request.decode), cell.settings.n_ctx or trained
    if needed > limit:
        raise ContextOverflowError(
            "the synthetic prompt does not fit into the context",
            expected=f"at most {limit} tokens (n_ctx)",
            found=f"{needed} tokens",
        )


def _check_types(cell: Cell) -> None:
    settings = cell.settings
    if settings.type_v not in _FULL_PRECISION and settings.flash_attn is False:
        raise EngineError(
            "a quantized type_v needs flash attention",
            expected="--flash-attn on, or --type-v f16",
            found=f"type_v {settings.type_v}, flash_attn off",
        )


def check_resumable(experiment: Experiment) -> None:
    """
    Raises:
        InputError: it was planned on another machine, whose results must not be mixed with ours.
        HistoryError: what it asks for cannot be read.
    """
    for cell in experiment.cells:
        try:
            msgspec.convert(cell.request, BenchRequest)
        except msgspec.ValidationError as error:
            raise HistoryError(
                "the bench is damaged in the history, or of another version",
                where=experiment.id,
                found=str(error),
                next_step="run it again, without --resume",
            ) from error
    here = this_machine.describe().id
    if experiment.machine is not None and experiment.machine.id != here:
        raise InputError(
            "this bench was started on another machine",
            where=experiment.id,
            expected=f"machine {experiment.machine.id}",
            found=f"machine {here}",
            next_step="run it again here, without --resume",
        )
