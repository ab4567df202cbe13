from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings

from localprompt.records import json as record_json
from localprompt.records.run import RunRecord
from tests.sample_runs import make_run
from tests.strategies import run_records


@settings(max_examples=60)
@given(run_records())
def test_a_record_survives_json(run: RunRecord) -> None:
    assert record_json.decode(record_json.encode(run)) == run


@settings(max_examples=60)
@given(run_records())
def test_a_record_is_one_line_that_any_json_reader_takes(run: RunRecord) -> None:
    line = record_json.encode(run)
    assert b"\n" not in line
    assert list(json.loads(line)) == list(RunRecord.__struct_fields__)


def test_a_byte_that_was_no_utf8_becomes_a_replacement_character() -> None:
    run = make_run()
    broken = msgspec.structs.replace(
        run, prompt=msgspec.structs.replace(run.prompt, params={"\udcff": ["caf\udce9"]})
    )
    read = record_json.decode(record_json.encode(broken))
    assert read.prompt.params == {"\ufffd": ["caf\ufffd"]}
    assert read.model == run.model


def test_a_figure_that_is_no_number_becomes_unknown() -> None:
    run = make_run()
    odd = msgspec.structs.replace(
        run, timing=msgspec.structs.replace(run.timing, ttft_seconds=float("nan"))
    )
    assert record_json.decode(record_json.encode(odd)).timing.ttft_seconds is None


def test_a_field_of_a_newer_version_is_passed_over_and_one_added_later_gets_its_default() -> None:
    tree = json.loads(record_json.encode(make_run()))
    tree["timing"]["of_the_future_seconds"] = 1.0
    del tree["warnings"], tree["memory"]["predicted_peak_bytes"]
    read = record_json.decode(json.dumps(tree))
    assert read.warnings == ()
    assert read.memory.predicted_peak_bytes is None
    assert read.timing == make_run().timing


def test_what_is_no_record_is_refused_with_the_path_of_the_field() -> None:
    tree = json.loads(record_json.encode(make_run()))
    tree["tokens"]["prompt"] = "many"
    with pytest.raises(msgspec.ValidationError, match=r"\$\.tokens\.prompt"):
        record_json.decode(json.dumps(tree))


class _Anything(msgspec.Struct):
    kind: object


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "truncated"),
        (b'{"kind": "\xff"}', "not UTF-8: byte 0xff"),
        (b'{"kind": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"kind": ' + b"[" * 100_000, "nested too deep"),
        (b'{"other": 1}', "missing required field"),
    ],
)
def test_whatever_is_wrong_with_it_is_one_kind_of_error(data: bytes, said: str) -> None:
    with pytest.raises(msgspec.DecodeError, match=said):
        record_json.decode_as(data, _Anything)
