"""The keys of a task → a :class:`Task`; everything that is wrong is told at once.

What needs a hub, images or another library is refused by name, with what to do instead; keys that
only describe a task are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from localprompt.sources.suite.assertions import is_number
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.problems import Keys, Problems
from localprompt.sources.task.file import TaskFile, read_task_file
from localprompt.sources.task.metrics import METRICS, read_metrics, read_pipelines
from localprompt.sources.task.records import Dataset, OutputType, Task, Writing
from localprompt.sources.yaml import At

_IMAGES = "a text model reads no images and no sound"
_WRITING = ("doc_to_text", "doc_to_target", "doc_to_choice")
_SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
_ABOUT = (
    *("task_alias", "tag", "group", "group_alias"),
    *("metadata", "unsafe_code", "should_decontaminate", "class"),
)
_KEYS = Keys(
    frozenset({"task", "output_type", "dataset_path", "dataset_name", "dataset_kwargs"})
    | {*_SPLITS, *_WRITING, *_ABOUT, "doc_to_decontamination_query", "task_list", "repeats"}
    | {"description", "target_delimiter", "fewshot_delimiter", "gen_prefix", "fewshot_config"}
    | {"num_fewshot", "generation_kwargs", "metric_list", "filter_list"},
    refused={
        "use_prompt": "promptsource's templates are a library of their own; write doc_to_text",
        "process_docs": "it runs Python over the data; write the rows as they should be",
        "process_results": "it runs Python over the answers; metric_list says what is counted",
        "custom_dataset": "it runs Python that makes the data",
        "doc_to_image": _IMAGES,
        "doc_to_audio": _IMAGES,
    },
)
_FIELDS = {
    "doc_to_text": "text",
    "doc_to_target": "target",
    "doc_to_choice": "choice",
    "gen_prefix": "gen_prefix",
    "target_delimiter": "target_delimiter",
    "fewshot_delimiter": "fewshot_delimiter",
}
"""Keys of a task, and of its ``fewshot_config``, by the field of :class:`Writing`."""
_FEWSHOT_KEYS = Keys(
    frozenset({"sampler", "split", "samples", *_WRITING, "gen_prefix"})
    | {"fewshot_delimiter", "target_delimiter"},
    ignored={"fewshot_indices": "lm-evaluation-harness passes over it, too"},
    refused={"process_docs": "it runs Python over the data"},
)
_MOST_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_GENERATION = frozenset({"until", "do_sample", "temperature", "top_p", "top_k", *_MOST_TOKENS})
DEFAULT_MOST_TOKENS = 256
"""Of a generated answer."""


def read_task(path: Path, folder: SuiteFolder, *, strict: bool = False) -> Task:
    """Read and check a task file.

    Raises:
        DatasetError: all that is wrong with it.
    """
    return _Reader(read_task_file(path, folder), path, strict=strict).task()


class _Reader:
    """Reads one task; remembers what is wrong with it."""

    def __init__(self, file: TaskFile, path: Path, *, strict: bool) -> None:
        self.data = file.data
        self.at = file.at
        self.sha256 = file.sha256
        self.path = path
        self.problems = Problems(strict=strict)
        self.notes: dict[str, None] = {}

    def task(self) -> Task:
        """
        Raises:
            DatasetError: all that is wrong.
        """
        data, at, problems = self.data, self.at, self.problems
        self._check(_KEYS, data, at)
        fewshot = self._mapping("fewshot_config")
        self._check(_FEWSHOT_KEYS, fewshot, at / "fewshot_config")
        kind, dataset = self._output_type(), self._dataset()
        split = data.get("test_split") or data.get("validation_split")
        if not split:
            problems.add(at, "no split to evaluate", "test_split or validation_split")
        if data.get("repeats") not in (1, None):
            problems.add(at / "repeats", "an answer is made once", "repeats: 1")
        writing, sampler = self._writing(kind), self._sampler(fewshot)
        own = self._written(fewshot, at / "fewshot_config")
        examples = msgspec.structs.replace(writing, **own)
        metrics = read_metrics(data, kind, at, problems, self.notes)
        pipelines = read_pipelines(data, at, problems)
        options = self._generation() if kind == "generate_until" else {}
        num_fewshot = self._count("num_fewshot")
        problems.raise_if_any()
        pool, shared = self._pool(fewshot)
        return Task(
            name=str(data.get("task") or self.path.stem),
            path=str(self.path),
            sha256=self.sha256,
            output_type=cast("OutputType", kind),
            dataset=dataset,
            split=str(split),
            writing=writing,
            examples=examples,
            pool=pool,
            shared=shared,
            description=str(data.get("description") or ""),
            num_fewshot=num_fewshot,
            first=sampler == "first_n",
            metrics=metrics,
            pipelines=pipelines,
            options=options,
            at=at,
            notes=tuple(self.notes),
        )

    def _check(self, keys: Keys, value: Mapping[str, Any], at: At) -> None:
        self.notes.update(dict.fromkeys(keys.check(value, at, self.problems)))

    def _count(self, key: str) -> int:
        value = self.data.get(key) or 0
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.problems.add(self.at / key, f"{key} is not a count", "0 or more", repr(value))
        return 0

    def _output_type(self) -> str:
        kind = self.data.get("output_type", "generate_until")
        if isinstance(kind, str) and kind in METRICS:
            return kind
        if kind == "loglikelihood_rolling":
            self.problems.add(
                self.at / "output_type",
                "the perplexity of whole texts is measured elsewhere",
                ", ".join(METRICS),
                str(kind),
                "localprompt models quality MODEL --text FILE",
            )
        else:
            self.problems.add(
                self.at / "output_type", "not an output type", ", ".join(METRICS), repr(kind)
            )
        return "generate_until"

    def _dataset(self) -> Dataset:
        kind, at = self.data.get("dataset_path"), self.at / "dataset_path"
        given = self._mapping("dataset_kwargs")
        if kind not in ("json", "csv", "text"):
            name = self.data.get("dataset_name")
            shown = f"{kind}, {name}" if name else str(kind)
            called = f"{kind!r}" if not name else f"{kind!r}, {name!r}"
            split = self.data.get("test_split") or self.data.get("validation_split") or "test"
            self.problems.add(
                at,
                "the data is on a hub or in a format that is not read here",
                "dataset_path: json, csv or text, with dataset_kwargs: {data_files: …}",
                shown,
                f'where there is a network:  python -c "import datasets; '
                f"datasets.load_dataset({called})['{split}'].to_json('{split}.jsonl')\"  then "
                f"dataset_path: json and data_files: {{{split}: {split}.jsonl}}",
            )
            return Dataset("json", {})
        options = {key: value for key, value in given.items() if key != "data_files"}
        known = {"json": {"field"}, "csv": {"delimiter", "sep"}, "text": set()}[kind]
        for key in options.keys() - known - {"trust_remote_code"}:
            self.problems.add(
                self.at / "dataset_kwargs" / key,
                f"{key!r} is not supported",
                ", ".join(sorted({"data_files", *known})),
            )
        if "sep" in options:
            options["delimiter"] = options.pop("sep")
        self._check_options(options)
        return Dataset(kind, self._files(given.get("data_files")), options)

    def _check_options(self, options: Mapping[str, Any]) -> None:
        """``delimiter`` of csv and ``field`` of json."""
        at, delimiter = self.at / "dataset_kwargs", options.get("delimiter", ",")
        if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '\r\n"':
            self.problems.add(at, "the delimiter is not one character", '","', repr(delimiter))
        field = options.get("field")
        if field is not None and not isinstance(field, str):
            self.problems.add(at / "field", "field is not text", "a key of the file", repr(field))

    def _files(self, value: Any) -> dict[str, tuple[str, ...]]:
        """``data_files``: a name, a list of names, or these by split."""
        by_split = value if isinstance(value, dict) else {"train": value}
        files = {}
        for split, names in by_split.items():
            listed = names if isinstance(names, list) else [names]
            if not all(isinstance(name, str) for name in listed):
                self.problems.add(
                    self.at / "dataset_kwargs" / "data_files",
                    "no data files",
                    "a file's name, or {test: test.jsonl, …}",
                    repr(value),
                )
                return {}
            for name in listed:
                if "://" in name:
                    self.problems.add(
                        self.at / "dataset_kwargs" / "data_files",
                        "the data is not on this machine",
                        "the name of a local file",
                        name,
                        "download it where there is a network",
                    )
            files[str(split)] = tuple(listed)
        return files

    def _writing(self, kind: str) -> Writing:
        data, problems = self.data, self.problems
        for key in _WRITING[: 2 if kind != "multiple_choice" else 3]:
            if data.get(key) is None:
                problems.add(self.at, f"there is no {key}", "a column or a template")
        written = self._written(data, self.at)
        return msgspec.structs.replace(Writing(text="", target=None), **written)

    def _written(self, data: Mapping[str, Any], at: At) -> dict[str, Any]:
        """What a mapping says of how rows are written, by the field of :class:`Writing`."""
        found: dict[str, Any] = {}
        for key, name in _FIELDS.items():
            value = data.get(key)
            if value is None:
                continue
            if key == "doc_to_text" and isinstance(value, int):
                self.problems.add(
                    at / key,
                    "a number stands for several texts before one answer, which is not supported",
                    "a column or a template",
                )
            elif key not in ("doc_to_target", "doc_to_choice") and not isinstance(value, str):
                self.problems.add(at / key, f"{key} is not text", "a text", repr(value))
            else:
                found[name] = value
        return found

    def _pool(self, fewshot: Mapping[str, Any]) -> tuple[str | tuple[dict[str, Any], ...], bool]:
        """Where examples come from, and whether rows must not be their own."""
        data = self.data
        split = fewshot.get("split", data.get("fewshot_split"))
        shared = split == data.get("test_split")
        if split is None and isinstance(fewshot.get("samples"), list):
            samples = (s for s in fewshot["samples"] if isinstance(s, dict))
            return tuple(dict(sample) for sample in samples), shared
        if split is None:
            split = data.get("training_split") or data.get("validation_split")
            split = split or data.get("test_split")
        return ((), shared) if not data.get("num_fewshot") else (str(split), shared)

    def _sampler(self, fewshot: Mapping[str, Any]) -> str:
        name = str(fewshot.get("sampler", "default"))
        if name not in ("default", "first_n"):
            at = self.at / "fewshot_config" / "sampler"
            self.problems.add(at, "no such way to choose examples", "default or first_n", name)
        return name

    def _generation(self) -> dict[str, Any]:
        """``generation_kwargs`` as ``model.options``."""
        given, at = self._mapping("generation_kwargs"), self.at / "generation_kwargs"
        for key in given.keys() - _GENERATION:
            self.notes[f"{at / key}: {key!r} is ignored: it is not one of localprompt's"] = None
        until = given.get("until", self.data.get("fewshot_delimiter", "\n\n"))
        stops = until if isinstance(until, list) else [until]
        greedy = given.get("do_sample") is False
        most = next((key for key in _MOST_TOKENS if given.get(key) is not None), _MOST_TOKENS[0])
        options: dict[str, Any] = {
            "temperature": 0.0,
            "maxOutputTokens": DEFAULT_MOST_TOKENS,
            "stopSequences": [str(stop) for stop in stops if stop],
        }
        names = {most: "maxOutputTokens"}
        names |= {} if greedy else {"temperature": "temperature", "top_p": "topP", "top_k": "topK"}
        for key, name in names.items():
            value = given.get(key)
            if is_number(value):
                options[name] = value
            elif value is not None:
                self.problems.add(at / key, f"{key} is not a number", "a number", repr(value))
        return options

    def _mapping(self, key: str) -> dict[str, Any]:
        value = self.data.get(key)
        if value is None or isinstance(value, dict):
            return dict(value or {})
        self.problems.add(self.at / key, f"{key} is not a mapping", "a mapping", repr(value))
        return {}
