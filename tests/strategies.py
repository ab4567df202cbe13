"""Hypothesis strategies for the records that pass between stages.

``of(RunRecord)`` follows the record's own annotations, so that a field added to a record is
covered without a change here. Three things are narrower than their type: floats are finite, as
what is measured is; text is what UTF-8 can hold; ids (a machine's is a digest) and times have
their format.
"""

from __future__ import annotations

import types
import typing
from datetime import UTC, datetime
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from localprompt.records.ids import IdSource
from localprompt.records.run import Machine, RunRecord, Samples

TEXT = st.text(max_size=40)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
MOMENTS = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
RUN_IDS = st.builds(
    lambda moment, noise: IdSource(moment.timestamp, lambda _: noise).new(),
    MOMENTS,
    st.binary(min_size=10, max_size=10),
)

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(0, 2**53),
    float: FLOATS,
    bool: st.booleans(),
    types.NoneType: st.none(),
    Any: JSON_VALUES,
}


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type that appears in a record's annotations, or of a whole record."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (types.UnionType, typing.Union):
        return st.one_of([of(argument) for argument in arguments])
    if origin is tuple:
        return st.lists(of(arguments[0]), max_size=4).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, of(arguments[1]), max_size=3)
    if issubclass(kind, msgspec.Struct):
        return _struct(kind)
    raise NotImplementedError(f"no strategy for {kind}")


def _struct(kind: type[msgspec.Struct], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = {name: of(kind) for name, kind in get_type_hints(kind).items()}
    return st.builds(kind, **{**fields, **given})


_PLAIN[Machine] = _struct(Machine, id=st.text("0123456789abcdef", min_size=12, max_size=12))


def run_records(**given: st.SearchStrategy[Any]) -> st.SearchStrategy[RunRecord]:
    """Any run record that measurements can produce; ``given`` replaces strategies of fields."""
    return _struct(
        RunRecord,
        id=RUN_IDS,
        created_at=MOMENTS.map(lambda moment: moment.isoformat().replace("+00:00", "Z")),
        **given,
    )


def samples() -> st.SearchStrategy[Samples]:
    return of(Samples)
