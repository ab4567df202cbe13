"""The winner → a ``.prompty`` file that any runtime can read, and a pool of examples beside it.

The front matter is the original's, with what was found and where it came from. Examples that are
chosen case by case are written into the body as well: a runtime that knows nothing of
``metadata.localprompt.examples`` then shows those instead. What was written is read back and has
to render as the winner did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

import localprompt
from localprompt.errors import MachineError
from localprompt.files import disk_errors_explained, make_file
from localprompt.improve.opening import check_output
from localprompt.improve.variants import Variant, body_with
from localprompt.records.improvement import Improvement, Weighing
from localprompt.records.prompt import PromptTemplate
from localprompt.rendering.nearest import text_of
from localprompt.rendering.prompt import render_messages
from localprompt.sources.prompt.document import read_raw
from localprompt.sources.prompt.examples import pool_bytes
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.v1 import modernize
from localprompt.sources.suite.records import EvalCase


def prompt_text(
    original: PromptTemplate,
    variant: Variant,
    weighing: Weighing,
    improvement: Improvement,
    path: Path,
) -> tuple[str, bytes | None]:
    """The file's text, and its pool's bytes where it has one.

    Args:
        path: where it will be: its name becomes the prompt's.
    """
    source = Path(original.path or "")
    front, _ = modernize(read_raw(source).data)
    front = {"name": path.stem, **{key: front[key] for key in front if key != "name"}}
    metadata = dict(front.get("metadata") or {})
    ours: dict[str, Any] = dict(metadata.get("localprompt") or {})
    if source.absolute().parent != path.absolute().parent:
        ours.pop("cases", None)  # a prompt reads only files beside it
    for key in ("scoring", "bias", "label_words"):
        ours.pop(key, None)
    if weighing.per_byte:
        ours["scoring"] = "normalized"
    if weighing.bias:
        ours["bias"] = dict(weighing.bias)
    said = variant.template(original)
    if said.label_words:
        ours["label_words"] = dict(said.label_words)
    if variant.answering.options:
        given = front.get("model")
        model = dict(given) if isinstance(given, dict) else {"id": given} if given else {}
        model["options"] = {**(model.get("options") or {}), **variant.answering.options}
        front["model"] = model
    nearest = said.examples if variant.examples.nearest is not None else None
    pool = None if nearest is None else pool_bytes(nearest.pool)
    if nearest is not None and pool is not None:
        ours["examples"] = {
            "file": path.with_suffix(".examples.jsonl").name,
            "sha256": hashlib.sha256(pool).hexdigest(),
            "count": nearest.count,
            "order": nearest.order,
            "fallback": nearest.count,
            **({"by": msgspec.to_builtins(nearest.by)} if nearest.by else {}),
        }
    elif variant.examples.given:
        ours.pop("examples", None)
    ours["improved"] = {
        "parent": original.name,
        "parent_sha256": improvement.prompt_sha256,
        "cases_sha256": improvement.cases_sha256,
        "model": improvement.model.name,
        "seed": improvement.request.seed,
        "localprompt": localprompt.__version__,
    }
    front["metadata"] = {**metadata, "localprompt": ours}
    front.setdefault("template", {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}})
    text = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=96)
    body = variant.body
    if nearest is not None:
        plain = variant.examples.nearest.pool if variant.examples.nearest else ()
        body = body_with(variant.wording, plain[: nearest.count])
    return f"---\n{text}---\n{body}", pool


def write_prompt(
    path: Path, text: str, pool: bytes | None, expected: PromptTemplate, cases: Sequence[EvalCase]
) -> None:
    """Write the file, and its pool first; both or neither.

    Args:
        expected: the template that it has to render as.
        cases: some to render it with.

    Raises:
        InputError: there is such a file by now.
        MachineError: the disk refuses, or what was written does not render as the winner did.
    """
    check_output(str(path))
    pool_path = path.with_suffix(".examples.jsonl")
    written: list[Path] = []
    try:
        with disk_errors_explained(path.absolute().parent):
            if pool is not None:
                make_file(pool_path, pool)
                written.append(pool_path)
            make_file(path, text.encode())
            written.append(path)
        _check(path, expected, cases)
    except BaseException:
        for there in written:
            there.unlink(missing_ok=True)
        raise


def _check(path: Path, expected: PromptTemplate, cases: Sequence[EvalCase]) -> None:
    found = load_prompt(path)
    for case in cases:
        if _texts(found, case) != _texts(expected, case):
            raise MachineError(
                "the better prompt does not read back as it was tried",
                where=str(path),
                next_step="report this with the prompt; the search is in the history",
            )


def _texts(template: PromptTemplate, case: EvalCase) -> list[tuple[str, str]]:
    examples = template.examples
    if examples is not None and examples.by is not None:  # any order shows whether both are equal
        near = {text_of(case.vars): tuple(range(len(examples.pool)))}
        examples = msgspec.structs.replace(examples, near=near)
        template = msgspec.structs.replace(template, examples=examples)
    return [(m.role, m.text) for m in render_messages(template, case.vars)]
