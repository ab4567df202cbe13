"""What a task counts: ``metric_list`` and ``filter_list``, as far as they are computed here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from localprompt.scoring.task_checks import FILTERS
from localprompt.sources.suite.problems import Keys, Problems
from localprompt.sources.task.records import Metric, Pipeline
from localprompt.sources.yaml import At

_KEYS = Keys(
    frozenset({"metric", "aggregation", "higher_is_better", "hf_evaluate"})
    | {"ignore_case", "ignore_punctuation", "ignore_numbers", "regexes_to_ignore"}
)
METRICS: dict[str, tuple[str, ...]] = {
    "multiple_choice": ("acc", "acc_norm", "acc_bytes", "exact_match", "f1"),
    "loglikelihood": ("acc", "perplexity"),
    "generate_until": ("exact_match",),
}
"""By output type, what can be asked for."""
_USUAL: dict[str, tuple[str, ...]] = {
    "multiple_choice": ("acc", "acc_norm"),
    "loglikelihood": ("perplexity", "acc"),
    "generate_until": ("exact_match",),
}
_AGGREGATIONS = {"f1": "f1", "perplexity": "perplexity"}


def read_metrics(
    data: Mapping[str, Any], kind: str, at: At, problems: Problems, notes: dict[str, None]
) -> tuple[Metric, ...]:
    """``metric_list``, or what lm-evaluation-harness counts without one."""
    listed, at = data.get("metric_list"), at / "metric_list"
    if listed is None:
        return tuple(map(Metric, _USUAL[kind]))
    found = []
    for index, item in enumerate(listed if isinstance(listed, list) else [listed]):
        here = at / index
        if not isinstance(item, dict) or not isinstance(item.get("metric"), str):
            problems.add(here, "not a metric", "metric: a name", repr(item))
            continue
        notes.update(dict.fromkeys(_KEYS.check(item, here, problems)))
        objection = _objection(item, kind, data.get("doc_to_choice"))
        if objection is not None:
            problems.add(here, *objection)
            continue
        options = {key: item[key] for key in item if key.startswith(("ignore_", "regexes_"))}
        found.append(Metric(item["metric"], options))
    if not found and not problems.count:
        problems.add(at, "no metrics", ", ".join(METRICS[kind]))
    return tuple(found)


def _objection(item: Mapping[str, Any], kind: str, choices: Any) -> tuple[str, str] | None:
    """Why a metric cannot be computed, and what could."""
    name = item["metric"]
    known = f"for {kind}: {', '.join(METRICS[kind])}"
    if name not in METRICS[kind]:
        return f"the metric {name!r} is not computed here", known
    if item.get("hf_evaluate") and name != "exact_match":
        return f"{name} of the library evaluate is not computed here", known
    usual = _AGGREGATIONS.get(name, "mean")
    if item.get("aggregation", usual) != usual:
        return f"{name} is summed up in one way", f"aggregation: {usual}"
    if name == "f1" and not (isinstance(choices, (list, dict)) and len(choices) == 2):
        return "f1 is of two choices, the same in each row", "doc_to_choice: a list of two"
    patterns = item.get("regexes_to_ignore") or []
    if not isinstance(patterns, list) or any(_wrong(pattern) for pattern in patterns):
        return "regexes_to_ignore are not regular expressions", "a list of patterns"
    return None


def _wrong(pattern: Any) -> str | None:
    """What is wrong with a regular expression of Python."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError, TypeError) as error:
        return str(error)
    return None


def read_pipelines(data: Mapping[str, Any], at: At, problems: Problems) -> tuple[Pipeline, ...]:
    """``filter_list``, or the one pipeline that leaves answers as they are."""
    listed, at = data.get("filter_list"), at / "filter_list"
    if listed is None:
        return (Pipeline("none", ()),)
    found = []
    for index, item in enumerate(listed if isinstance(listed, list) else [listed]):
        steps = item.get("filter") if isinstance(item, dict) else None
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            problems.add(at / index, "not a filter", "name, and filter: a list")
            continue
        for number, step in enumerate(steps):
            _check_filter(step, at / index / "filter" / number, problems)
        found.append(Pipeline(str(item.get("name", "none")), tuple(map(dict, steps))))
    return tuple(found)


def _check_filter(step: Mapping[str, Any], at: At, problems: Problems) -> None:
    name = step.get("function")
    if not isinstance(name, str) or name not in FILTERS:
        problems.add(at, f"the filter {name!r} is not supported", ", ".join(sorted(FILTERS)))
    elif name == "regex":
        wrong = _wrong(step.get("regex_pattern", ""))
        if wrong is not None:
            problems.add(at, f"not a regular expression: {wrong}")
        if not isinstance(step.get("group_select", 0), int):
            problems.add(at, "group_select is not a whole number", "0, or -1 for the last match")
    elif name == "map" and not isinstance(step.get("mapping_dict"), dict):
        problems.add(at, "there is no mapping_dict", "mapping_dict: a mapping")
    elif name == "take_first_k" and step.get("k") != 1:
        problems.add(at, "an answer is made once", "k: 1", repr(step.get("k")))
