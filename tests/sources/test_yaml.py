"""One reader behind every door: what is written is what the model sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localprompt.bench.suite import read_bench_suite
from localprompt.errors import DatasetError, LocalPromptError, PromptFileError
from localprompt.rendering.prompt import render_messages
from localprompt.sources.documents import load_json, read_document
from localprompt.sources.prompt.document import read_raw
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.rows import read_rows
from localprompt.sources.suite.prompty import suite_from_prompt
from localprompt.sources.suite.suite import load_suite
from localprompt.sources.yaml import as_words, dump_yaml, read_yaml

WRITTEN = (
    "0510210600", "010", "020", "09", "12:30", "10:45", "1_000", "yes", "No", "on", "off",
    "2024-01-01", "0b11", "0x1F", "+5", "1.2.3", "00", "1__0", "12345678901234567890123", "y",
)  # fmt: skip


def test_the_core_schema_and_nothing_else_makes_values() -> None:
    text = "[010, 0o17, 0x1F, +5, .5, 1e3, 1., -.inf, true, False, ~, null, '', '1', 1_0, 0b1, YES]"
    data = read_yaml(text, "x").data
    assert data == [
        10, 15, 31, 5, 0.5, 1000.0, 1.0, float("-inf"), True, False, None, None, "", "1",
        "1_0", "0b1", "YES",
    ]  # fmt: skip


def test_where_words_are_wanted_a_number_that_prints_differently_stays_text() -> None:
    data = read_yaml("[010, 10, 1.10, 1.1, 1e3, +5, -5, .nan]", "x", words=as_words).data
    assert data == ["010", 10, "1.10", 1.1, "1e3", "+5", -5, ".nan"]


_PLAIN = st.one_of(
    st.sampled_from(WRITTEN),
    st.from_regex(r"0[0-9]{1,9}", fullmatch=True),
    st.from_regex(r"[0-9]{1,2}:[0-5][0-9]", fullmatch=True),
    st.integers(-(10**6), 10**6).map(str),
)


@given(words=st.lists(_PLAIN, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_every_door_shows_the_model_what_is_written(
    words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("doors")
    names = [f"v{number}" for number in range(len(words))]
    mapping = "{" + ", ".join(f"{n}: {w}" for n, w in zip(names, words, strict=True)) + "}"
    expected = [f"{word}" for word in words]
    for door in (_default, _sample, _dataset, _suite, _variables_file, _bench):
        assert door(folder, names, mapping) == expected, door.__name__


def _body(names: list[str]) -> str:
    return "user:\n" + "\n".join(f"{{{{ {name} }}}}" for name in names)


def _rendered(path: Path, values: dict[str, Any]) -> list[str]:
    (message,) = render_messages(load_prompt(path), values)
    return "".join(segment.text for segment in message.segments).split("\n")


def _default(folder: Path, names: list[str], mapping: str) -> list[str]:
    path = folder / "default.prompty"
    path.write_text(f"---\ninputs: {mapping}\n---\n{_body(names)}")
    return _rendered(path, {})


def _sample(folder: Path, names: list[str], mapping: str) -> list[str]:
    path = folder / "sample.prompty"
    path.write_text(f"---\nsample: {mapping}\n---\n{_body(names)}")
    return _rendered(path, {})


def _dataset(folder: Path, names: list[str], mapping: str) -> list[str]:
    (folder / "rows.yaml").write_text(f"- {mapping}\n")
    declared = ", ".join(f"{{name: {name}, kind: string}}" for name in names)
    path = folder / "rows.prompty"
    path.write_text(
        f"---\nname: rows\ninputs: [{declared}]\n"
        f"metadata: {{localprompt: {{cases: rows.yaml}}}}\n---\n{_body(names)}"
    )
    (case,) = suite_from_prompt(load_prompt(path)).cases()
    return _rendered(path, case.vars)


def _suite(folder: Path, names: list[str], mapping: str) -> list[str]:
    path = folder / "suite.yaml"
    path.write_text(f"prompts: ['{{{{ v0 }}}}']\ntests: [{{vars: {mapping}}}]\n")
    (case,) = load_suite(path).cases()
    return [str(case.vars[name]) for name in names]


def _variables_file(folder: Path, names: list[str], mapping: str) -> list[str]:
    (folder / "vars.yaml").write_text(mapping)
    path = folder / "suite.yaml"
    path.write_text("prompts: ['{{ v0 }}']\ntests: [{vars: vars.yaml}]\n")
    (case,) = load_suite(path).cases()
    return [str(case.vars[name]) for name in names]


def _bench(folder: Path, names: list[str], mapping: str) -> list[str]:
    path = folder / "bench.yaml"
    path.write_text(f"models: [m]\nprompts: [{{prompt: p, params: {mapping}}}]\n")
    (prompt,) = read_bench_suite(path).prompts
    return [assignment.partition("=")[2] for assignment in prompt.params]


def _front(folder: Path, text: str) -> None:
    (folder / "p.prompty").write_text(f"---\n{text}\n---\nuser:\nHi")
    read_raw(folder / "p.prompty")


def _rows(folder: Path, text: str) -> None:
    (folder / "rows.yaml").write_text(text)
    list(read_rows(folder / "rows.yaml"))


def _document(folder: Path, text: str) -> None:
    (folder / "d.yaml").write_text(text)
    read_document(folder / "d.yaml")


DOORS = (_front, _rows, _document)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]", "leads back to itself"),
        ("a: &a {b: *a}", "leads back to itself"),
        ("a: *b", "no anchor 'b'"),
        ("a: 1\n'a': 2", "appears twice"),
        ("a: !!timestamp x", "tag !!timestamp is not supported"),
        ("a: !!bool maybe", "not a value of !!bool"),
        ("a: !!int abc", "not a value of !!int"),
        ("a: !!python/object:os.system x", "is not supported"),
        ("[a]: 1", "a key is a list or a mapping"),
        ("a: " + "[" * 500 + "]" * 500, "nested too deep"),
        ("a: " + "{a: " * 400 + "}" * 400, "nested too deep"),
        ('a: "\\ud800"', "not valid YAML"),
        ("a: b\n---\na: c", "a second document"),
        ("a: {<<: 3}", "<< takes a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_bad_document_is_refused_with_its_line_at_every_door(
    door: Any, text: str, message: str, tmp_path: Path
) -> None:
    if door is _front and "---" in text:
        pytest.skip("the second line of --- ends a front matter")
    with pytest.raises((DatasetError, PromptFileError), match=message) as error:
        door(tmp_path, text)
    assert ":" in str(error.value.where).rpartition("/")[2], error.value.where


def test_a_character_that_yaml_forbids_is_told_with_its_line() -> None:
    with pytest.raises(DatasetError, match="control characters are not allowed") as caught:
        read_yaml("a: é\nb: x\nc: don\x80t\n", "a.yaml")
    assert caught.value.where == "a.yaml:3"


@pytest.mark.parametrize("door", DOORS)
def test_aliases_that_stand_for_too_much_are_refused_at_once(door: Any, tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(LocalPromptError, match="is too large"):
        door(tmp_path, "\n".join(lines))


def test_aliases_that_nest_deeper_than_they_are_written_are_refused() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 120)]
    with pytest.raises(DatasetError, match="nested too deep"):
        read_yaml("\n".join(lines), "x")


def test_a_number_that_no_record_can_hold_stays_text() -> None:
    digits = "9" * 4301
    assert read_yaml(f"a: {digits}", "x").data == {"a": digits}
    assert load_json(f'{{"a": {digits}}}', "x") == {"a": digits}
    msgspec.json.encode(read_yaml("a: 9223372036854775808\nb: -9223372036854775808", "x").data)


def test_merged_keys_give_way_to_those_that_stand_there() -> None:
    text = "base: &b {x: 1, y: 2}\nother: &o {y: 9, z: 3}\nmade: {y: 5, <<: [*b, *o], w: 4}"
    assert read_yaml(text, "x").data["made"] == {"y": 5, "x": 1, "z": 3, "w": 4}


def test_keys_are_text_as_they_are_written() -> None:
    assert read_yaml("{1: a, true: b, 010: c, ~: d}", "x").data == {
        "1": "a", "true": "b", "010": "c", "~": "d",
    }  # fmt: skip


def test_every_key_and_item_has_its_line() -> None:
    at = read_yaml("a:\n  - b: 1\n    c: [x,\n      y]\n", "x.yaml", first_line=10).at
    assert str(at / "a" / 0 / "c" / 1) == "x.yaml:13 (a[0].c[1])"
    assert str(at / "a" / 0 / "b") == "x.yaml:11 (a[0].b)"


def test_json_has_the_same_limits() -> None:
    with pytest.raises(DatasetError, match="nested too deep"):
        load_json("[" * 500 + "]" * 500, "x.json")
    with pytest.raises(DatasetError, match="appears twice"):
        load_json('{"a": 1, "a": 2}', "x.json")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WRITTEN)
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)  # fmt: skip


@given(_VALUES)
@settings(deadline=None)
def test_what_is_dumped_is_read_back(value: Any) -> None:
    assert read_yaml(dump_yaml({"v": value}), "x").data == {"v": value}


def test_a_prompt_shows_numbers_times_and_choices_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "slots.prompty"
    path.write_text(
        "---\ninputs:\n"
        "  - {name: part, kind: string, default: 0510210600}\n"
        "  - {name: at, kind: string, default: 12:30}\n"
        "metadata: {localprompt: {choices: [010, 020, 09, 10:45]}}\n"
        "---\nuser:\nPart {{ part }} at {{ at }}."
    )
    assert _rendered(path, {}) == ["Part 0510210600 at 12:30."]
    assert load_prompt(path).choices == ("010", "020", "09", "10:45")


def test_a_dataset_may_expect_a_time_a_number_or_a_boolean_among_the_choices(
    tmp_path: Path,
) -> None:
    path = tmp_path / "p.prompty"
    for choices, suffix, rows, expected in (
        ('["10:30", "12:45"]', "yaml", "- {q: lunch, expected: 12:45}", "12:45"),
        ("[1, 2, 3]", "jsonl", '{"q": "a", "expected": 3}', "3"),
        ("[true, false]", "jsonl", '{"q": "a", "expected": true}', "true"),
    ):
        (tmp_path / f"rows.{suffix}").write_text(rows)
        path.write_text(
            "---\nname: p\ninputs: [{name: q, kind: string}]\nmetadata:\n  localprompt:\n"
            f"    choices: {choices}\n    cases: rows.{suffix}\n---\nuser:\n{{{{ q }}}}"
        )
        (case,) = suite_from_prompt(load_prompt(path)).cases()
        (expectation,) = case.expectations
        assert getattr(expectation, "value", None) == expected


def test_numbers_among_enum_values_can_be_given_to_a_string_input(tmp_path: Path) -> None:
    from localprompt.sources.prompt.params import parse_params

    path = tmp_path / "size.prompty"
    path.write_text(
        "---\ninputs:\n  - {name: size, kind: string, enumValues: [36, 38, 40]}\n"
        "  - {name: whole, kind: integer, enumValues: [36, 38], default: 36}\n"
        "---\nuser:\n{{ size }} {{ whole }}"
    )
    template = load_prompt(path)
    assert parse_params(["size=38", "whole=38"], template) == {"size": "38", "whole": 38}
