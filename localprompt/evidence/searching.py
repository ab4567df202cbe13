"""Searches for a better prompt that experiments share: the prompting side's optimizer.

Tuning gets an optimizer and examples; prompting gets ``localprompt improve`` and the same examples.
A search runs as a user runs it, in a process of its own, so that its time and its memory are its
own; it may not take over answers of earlier searches. What it found is kept under a digest of what
it was made from, as tunings are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from localprompt.errors import WorkerError
from localprompt.evidence import data
from localprompt.evidence.tools import Ran
from localprompt.records import json
from localprompt.records.improvement import Improvement
from localprompt.records.json import decode_as
from localprompt.records.model import ModelRecord

_KEY = 16


class SearchPlan(msgspec.Struct, frozen=True):
    """One search."""

    name: str
    prompt: Path
    """Where it starts: what a tuning with the same examples is trained to answer."""
    train: Path
    examples: int | None
    """The first so many of the file; None: all."""
    final: Path | None
    """Held-out cases, answered once by the winner and the original; None: a part of the examples
    is kept for that."""
    seconds: float
    """How long it takes with the starter model on 2 cores: estimated."""
    max_minutes: float = 15.0
    """As a tuning's: then it ends with what it has."""

    def key(self, model: ModelRecord) -> str:
        """What decides the outcome, seconds aside."""
        decides = (
            model.sha256,
            data.digest(self.prompt, self.train, *([self.final] if self.final else [])),
            self.examples,
            self.max_minutes,
            "edition 2",
        )
        return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()


class SearchResult(msgspec.Struct, frozen=True):
    """What a search found, and what it took."""

    prompt: str
    """The file of the best prompt that it found; the original again where nothing was better."""
    wording: str
    examples: str
    weighing: str
    shown: bool
    """Whether the gain was shown on the final part."""
    asked: int
    """Cases that were asked."""
    tokens: int
    wall_seconds: float
    """From the start of its process to its end."""
    cpu_seconds: float
    peak_rss_bytes: int | None
    """Of its process, and of those that it started: the largest."""

    @property
    def found(self) -> str:
        """In words."""
        return f"{self.wording}; examples: {self.examples}; {self.weighing}"


class Searches:
    """Makes searches, or finds those that were made.

    Args:
        folder: where their prompts and results are kept.
        run: the program with these arguments, in a fresh process.
    """

    def __init__(
        self, model: ModelRecord, folder: Path, run: Callable[[Sequence[str]], Ran]
    ) -> None:
        self._model = model
        self._folder = folder
        self._run = run

    def kept(self, plan: SearchPlan) -> SearchResult | None:
        """The search, if it was made before and its prompt is still here."""
        try:
            found = decode_as(self._path(plan, ".json").read_bytes(), SearchResult)
        except (OSError, msgspec.DecodeError):
            return None
        return found if Path(found.prompt).is_file() else None

    def make(self, plan: SearchPlan) -> SearchResult:
        """The search, made now unless it is kept.

        Raises:
            WorkerError: it failed.
        """
        found = self.kept(plan)
        if found is not None:
            return found
        self._folder.mkdir(parents=True, exist_ok=True)
        output = self._path(plan, ".prompty")
        for left in (output, output.with_suffix(".examples.jsonl")):
            left.unlink(missing_ok=True)  # of a search that was cut off before it was kept
        ran = self._run(self._arguments(plan, output))
        record = decode_as(ran.stdout, Improvement)
        result = self._result(record, ran)
        self._path(plan, ".json").write_bytes(json.encode(result))
        return result

    def _arguments(self, plan: SearchPlan, output: Path) -> list[str]:
        train = plan.train
        if plan.examples is not None:
            train = data.first_examples(plan.train, plan.examples, self._folder, plan.name)
        return [
            *("improve", str(plan.prompt), "--cases", str(train)),
            *(("--final", str(plan.final)) if plan.final else ()),
            *("--output", str(output), "--keep-anyway", "--force"),
            *("--model", self._model.path, "--minutes", f"{plan.max_minutes:g}"),
            *("--format", "json", "--no-log", "--no-cache", "--quiet"),
        ]

    def _result(self, record: Improvement, ran: Ran) -> SearchResult:
        winner = record.trial(record.winner)
        if winner is None or record.final is None or record.output is None:
            raise WorkerError("the search for a better prompt did not end", where=record.title)
        return SearchResult(
            prompt=record.output,
            wording=winner.asked,
            examples=winner.examples,
            weighing=winner.weighing.name,
            shown=record.final.shown,
            asked=record.evaluations,
            tokens=record.tokens,
            wall_seconds=ran.wall_seconds,
            cpu_seconds=ran.cpu_seconds,
            peak_rss_bytes=ran.peak_rss_bytes,
        )

    def _path(self, plan: SearchPlan, ending: str) -> Path:
        return self._folder / f"{plan.name}-{plan.key(self._model)[:_KEY]}{ending}"
