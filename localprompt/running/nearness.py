"""Which of a pool's examples are nearest to a case, where a model's embeddings say so.

Rendering opens no model. So before a prompt is rendered whose examples are chosen ``by`` a model,
the case's texts are embedded here, compared with the vectors that the pool holds, and the template
goes on with the order that came out. The model has to be the very file that embedded the pool:
vectors of another one mean nothing beside them.
"""

from __future__ import annotations

import base64
import heapq
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from localprompt.engine.base import Engine
from localprompt.errors import InputError
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import EmbeddedBy, Example, NearestExamples, PromptTemplate
from localprompt.rendering.nearest import text_of

Embed = Callable[[str], Sequence[float]]
"""A text → its vector, of length 1."""
_SPARE = 8
"""Positions that are kept beyond the count: rows that equal the case are left out."""
_MOST_KEPT = 4096

_vectors: OrderedDict[tuple[str | None, str], Sequence[float]] = OrderedDict()
"""Of texts that were embedded in this process, by the model's sha256."""


def chosen_by(template: PromptTemplate) -> EmbeddedBy | None:
    """The model that says what is near; None: words do, or there is nothing to choose."""
    return template.examples.by if template.examples else None


def embedded(pool: Sequence[Example], embed: Embed) -> tuple[Example, ...]:
    """The pool with its vectors, 16 bits a number."""
    return tuple(
        msgspec.structs.replace(one, vector=_packed(embed(text_of(one.vars)))) for one in pool
    )


def with_near(
    template: PromptTemplate, many: Sequence[Mapping[str, Any]], embed: Embed
) -> PromptTemplate:
    """The template, ready to be rendered with any of these values.

    Raises:
        InputError: the pool's vectors are of another size than this model's.
    """
    examples = template.examples
    if examples is None or examples.by is None:
        return template
    pool = [_unpacked(one.vector or "") for one in examples.pool]
    near = {
        text: _nearest(_known(examples.by, text, embed), pool, examples)
        for text in {text_of(values) for values in many}
    }
    return msgspec.structs.replace(template, examples=msgspec.structs.replace(examples, near=near))


@contextmanager
def embedder(
    by: EmbeddedBy,
    opened: Mapping[str | None, Engine] | None = None,
    find_model: Callable[[str], ModelRecord] | None = None,
) -> Iterator[Embed]:
    """Embeds with the model that embedded a pool.

    Args:
        opened: engines that are open already, by their model's sha256.

    Raises:
        UnknownNameError, ModelMissingError: the model is not here.
        InputError: it is another file than the one that embedded the pool.
        ModelFileError: it cannot be opened.
    """
    engine = (opened or {}).get(by.sha256)
    if engine is not None:
        yield lambda text: engine.embed(text)[0]
        return
    record = (find_model or _installed)(by.model)
    if record.sha256 != by.sha256:
        raise InputError(
            "the examples were embedded by another file of this model",
            where=by.model,
            expected=f"sha256 {by.sha256}",
            found=f"sha256 {record.sha256}",
            next_step="search the prompt again: localprompt improve --nearest-by",
        )
    from localprompt.engine.llama.engine import LlamaEngine

    with LlamaEngine(Path(record.path)) as own:
        yield lambda text: own.embed(text)[0]


def _installed(name: str) -> ModelRecord:
    from localprompt.running.assemble import model_record

    return model_record(name)


def _known(by: EmbeddedBy, text: str, embed: Embed) -> Sequence[float]:
    key = (by.sha256, text)
    if key not in _vectors:
        _vectors[key] = tuple(embed(text))
        while len(_vectors) > _MOST_KEPT:
            _vectors.popitem(last=False)
    return _vectors[key]


def _nearest(
    asked: Sequence[float], pool: Sequence[Sequence[float]], examples: NearestExamples
) -> tuple[int, ...]:
    if pool and len(pool[0]) != len(asked):
        raise InputError(
            "the examples hold vectors of another size than this model's",
            where=examples.by.model if examples.by else None,
            expected=f"{len(asked):,} numbers in each",
            found=f"{len(pool[0]):,}",
            next_step="search the prompt again: localprompt improve --nearest-by",
        )

    def likeness(at: int) -> float:
        return sum(a * b for a, b in zip(asked, pool[at], strict=True))

    return tuple(heapq.nlargest(examples.count + _SPARE, range(len(pool)), key=likeness))


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}e", *vector)).decode()


def _unpacked(text: str) -> tuple[float, ...]:
    data = base64.b64decode(text)
    return struct.unpack(f"<{len(data) // 2}e", data)
