"""A bench suite: the flags of ``localprompt bench``, written down.

::

    description: The starter model on a laptop
    models: [smollm2-135m]
    prompts:
      - summarize                       # a name or a path, or both it and its parameters:
      - prompt: classify
        params: {text: "@review.txt"}   # as -p text=@review.txt; @ is relative to the suite
    synthetic: {prefill: "128-512*2", decode: 64}
    settings: {n_threads: 1-2, type_k: [f16, q8_0], flash_attn: on}
    sampling: {max_tokens: 64, temperature: 0}
    repetitions: {least: 5, most: 30, target: 0.02}    # or a number
    prefix_store: false                 # true: bring back constant beginnings from disk

Values of settings are lists, ranges as on the command line, or single values. Everything that is
wrong is told at once, with file, line and key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from localprompt.bench.spec import AXES, BenchSpec, PromptAsk, axis_values
from localprompt.bench.value_lists import whole_numbers
from localprompt.errors import InputError
from localprompt.records.bench import Repetitions
from localprompt.records.cell import SamplingChoices
from localprompt.sources.documents import read_document
from localprompt.sources.suite.problems import Keys, Problems
from localprompt.sources.yaml import At

SUFFIXES = (".yaml", ".yml")
"""By which a suite is told from the name of a prompt."""

_KEYS = Keys(
    frozenset(
        {
            "models",
            "prompts",
            "synthetic",
            "settings",
            "sampling",
            "repetitions",
            "prefix_store",
        }
    ),
    ignored={"description": "it is for readers"},
)
_PROMPT_KEYS = Keys(frozenset({"prompt", "params"}))
_SYNTHETIC_KEYS = Keys(frozenset({"prefill", "decode"}))
_SETTINGS_KEYS = Keys(frozenset(AXES))
_SAMPLING: dict[str, type | tuple[type, ...]] = {
    "temperature": (int, float),
    "top_k": int,
    "top_p": (int, float),
    "min_p": (int, float),
    "seed": int,
    "max_tokens": int,
    "stop": list,
}
_SAMPLING_KEYS = Keys(frozenset(_SAMPLING))
_REPETITION_KEYS = Keys(frozenset({"least", "most", "target"}))


def read_bench_suite(path: Path) -> BenchSpec:
    """Read a suite.

    Raises:
        DatasetError: everything that is wrong with it, each with file, line and key.
    """
    document = read_document(path)
    reader = _Reader(path.parent)
    spec = reader.spec(document.data, document.at)
    reader.problems.raise_if_any(next_step="see docs/guide/bench.md for what a suite may hold")
    return spec


class _Reader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems = Problems()

    def spec(self, data: Any, at: At) -> BenchSpec:
        top = self._mapping(data, at, _KEYS)
        synthetic = self._mapping(top.get("synthetic"), at / "synthetic", _SYNTHETIC_KEYS)
        settings = self._mapping(top.get("settings"), at / "settings", _SETTINGS_KEYS)
        return BenchSpec(
            models=self._texts(top.get("models"), at / "models"),
            prompts=self._prompts(top.get("prompts"), at / "prompts"),
            prefill=self._numbers(synthetic.get("prefill"), at / "synthetic" / "prefill"),
            decode=self._numbers(synthetic.get("decode"), at / "synthetic" / "decode"),
            axes={
                field: self._axis(field, settings[field], at / "settings" / field)
                for field in AXES
                if settings.get(field) is not None
            },
            sampling=self._sampling(top.get("sampling"), at / "sampling"),
            repetitions=self._repetitions(top.get("repetitions"), at / "repetitions"),
            prefix_store=self._switch(top.get("prefix_store"), at / "prefix_store"),
        )

    def _mapping(self, value: Any, at: At, keys: Keys) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._wrong(at, "keys and values", value)
            return {}
        keys.check(value, at, self.problems)
        return value

    def _texts(self, value: Any, at: At) -> tuple[str, ...]:
        items = value if isinstance(value, list) else [] if value is None else [value]
        for number, item in enumerate(items):
            if not isinstance(item, str):
                self._wrong(at / number, "a name", item)
        return tuple(dict.fromkeys(item for item in items if isinstance(item, str)))

    def _prompts(self, value: Any, at: At) -> tuple[PromptAsk, ...]:
        items = value if isinstance(value, list) else [] if value is None else [value]
        asks = []
        for number, item in enumerate(items):
            if isinstance(item, str):
                asks.append(PromptAsk(item))
                continue
            entry = self._mapping(item, at / number, _PROMPT_KEYS)
            if not isinstance(entry.get("prompt"), str):
                self._wrong(at / number / "prompt", "the name of a prompt", entry.get("prompt"))
                continue
            params = entry.get("params") or {}
            if not isinstance(params, Mapping):
                self._wrong(at / number / "params", "names and values", params)
                continue
            assignments = tuple(f"{name}={self._value(v)}" for name, v in params.items())
            asks.append(PromptAsk(entry["prompt"], assignments))
        return tuple(dict.fromkeys(asks))

    def _value(self, value: Any) -> str:
        """A parameter as it would be typed."""
        if not isinstance(value, str):
            return json.dumps(value, ensure_ascii=False)
        if value.startswith("@") and not value.startswith("@@"):
            return f"@{self._folder / value[1:]}"
        return value

    def _axis(self, field: str, value: Any, at: At) -> tuple[Any, ...]:
        return self._values(value, at, lambda text: axis_values(field, text, str(at)))

    def _numbers(self, value: Any, at: At) -> tuple[int, ...]:
        if value is None:
            return ()
        return self._values(value, at, lambda text: whole_numbers(text, str(at)))

    def _values(
        self, value: Any, at: At, parse: Callable[[str], tuple[Any, ...]]
    ) -> tuple[Any, ...]:
        """Single values, lists and ranges alike go the way of the command line."""
        items = value if isinstance(value, list) else [value]
        found: list[Any] = []
        for item in items:
            text = {True: "on", False: "off"}[item] if isinstance(item, bool) else str(item)
            try:
                found += parse(text)
            except InputError as error:
                self.problems.add_error(error, at)
        return tuple(dict.fromkeys(found))

    def _sampling(self, value: Any, at: At) -> SamplingChoices:
        given = self._mapping(value, at, _SAMPLING_KEYS)
        choices: dict[str, Any] = {}
        for name, kind in _SAMPLING.items():
            item = given.get(name)
            if item is None:
                continue
            if not isinstance(item, kind) or isinstance(item, bool):
                expected = "a list of texts" if kind is list else "a number"
                self._wrong(at / name, expected, item)
            else:
                choices[name] = tuple(map(str, item)) if isinstance(item, list) else item
        return SamplingChoices(**choices)

    def _repetitions(self, value: Any, at: At) -> Repetitions:
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                self._wrong(at, "1 or more", value)
            return Repetitions(fixed=value)
        given = self._mapping(value, at, _REPETITION_KEYS)
        default = Repetitions(fixed=None)
        least, most = given.get("least", default.least), given.get("most", default.most)
        target = given.get("target", default.target)
        if not (isinstance(least, int) and isinstance(most, int) and 1 <= least <= most):
            self._wrong(at, "whole numbers with 1 <= least <= most", f"{least} and {most}")
            return default
        if not isinstance(target, int | float) or not 0 < target < 1:
            self._wrong(at / "target", "a share between 0 and 1, as 0.02", target)
            return default
        return Repetitions(fixed=None, least=least, most=most, target=float(target))

    def _switch(self, value: Any, at: At) -> bool:
        if value is not None and not isinstance(value, bool):
            self._wrong(at, "true or false", value)
        return value is True

    def _wrong(self, at: At, expected: str, found: Any) -> None:
        self.problems.add(at, "not what is expected here", expected, repr(found))
