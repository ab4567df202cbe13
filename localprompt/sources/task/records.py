"""What a task file of lm-evaluation-harness asks for, read and checked."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from localprompt.sources.yaml import At

OutputType = Literal["multiple_choice", "loglikelihood", "generate_until"]


class Writing(msgspec.Struct, frozen=True):
    """How a row becomes a question with its answer: names of columns, templates, or lists."""

    text: str
    """``doc_to_text``"""
    target: Any
    """``doc_to_target``: an index, a text, or a list of these."""
    choice: Any = None
    """``doc_to_choice``; None: there are no choices."""
    gen_prefix: str | None = None
    """With what the answer begins."""
    target_delimiter: str = " "
    """Between question and answer."""
    fewshot_delimiter: str = "\n\n"
    """Behind each solved example."""


class Metric(msgspec.Struct, frozen=True):
    name: str
    options: dict[str, Any] = {}
    """What ``exact_match`` passes over."""


class Pipeline(msgspec.Struct, frozen=True):
    """One of ``filter_list``: what becomes of an answer before it is compared."""

    name: str
    filters: tuple[dict[str, Any], ...]


class Dataset(msgspec.Struct, frozen=True):
    """Where the rows are."""

    kind: Literal["json", "csv", "text"]
    files: dict[str, tuple[str, ...]]
    """By split."""
    options: dict[str, Any] = {}
    """``field`` of json, ``delimiter`` of csv."""


class Task(msgspec.Struct, frozen=True):
    name: str
    path: str
    sha256: str
    """Of the file and of all that it includes."""
    output_type: OutputType
    dataset: Dataset
    split: str
    """The one that is evaluated: ``test_split``, otherwise ``validation_split``."""
    writing: Writing
    examples: Writing
    """How the solved examples are written."""
    pool: str | tuple[dict[str, Any], ...] | None
    """The split that examples are drawn from, or the examples themselves."""
    shared: bool
    """Examples come from the rows that are evaluated, and a row is not its own example."""
    description: str
    num_fewshot: int
    first: bool
    """Examples are the first of the pool; otherwise drawn at random."""
    metrics: tuple[Metric, ...]
    pipelines: tuple[Pipeline, ...]
    options: dict[str, Any]
    """``model.options`` of generated answers."""
    at: At
    notes: tuple[str, ...] = ()
