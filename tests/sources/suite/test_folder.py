"""A suite reads its own folder and writes below the working folder, unless it is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.errors import DatasetError
from localprompt.sources.suite import cases
from localprompt.sources.suite.records import EvalSuite
from localprompt.sources.suite.suite import load_suite


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a suite's file, with a secret beside its folder."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "secret.yaml").write_text("key: secret")
    (tmp_path / "secret.csv").write_text("x,__expected\nsecret,a\n")
    (tmp_path / "check.py").write_text("def get_assert(output, context): return True")
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "own.txt").write_text("own")
    monkeypatch.chdir(folder)
    return folder / "suite.yaml"


def _load(suite: Path, body: str, *, allow_outside: bool = False) -> EvalSuite:
    suite.write_text(body)
    return load_suite(suite, allow_code=True, allow_outside=allow_outside)


OUTSIDE = {
    "a variable": "prompts: ['{{x}}']\ntests: [{vars: {x: file://../secret.txt}}]\n",
    "an absolute path": "prompts: ['{{x}}']\ntests: [{vars: {x: file:///etc/passwd}}]\n",
    "a link": "prompts: ['{{x}}']\ntests: [{vars: {x: file://link.txt}}]\n",
    "a pattern": "prompts: ['{{x}}']\ntests: [{vars: {x: file://../*.txt}}]\n",
    "variables": "prompts: ['{{key}}']\ntests: [{vars: file://../secret.yaml}]\n",
    "a reference": "prompts: [hi]\ntests: [{vars: {$ref: '../secret.yaml'}}]\n",
    "a prompt": "prompts: [file://../secret.txt]\n",
    "tests": "prompts: ['{{x}}']\ntests: file://../secret.csv\n",
    "an assertion": "prompts: [hi]\ntests: [{assert: [{type: equals, value: file://../secret.txt}]}]\n",
    "code": "prompts: [hi]\ntests: [{assert: [{type: python, value: file://../check.py}]}]\n",
    "an output": "prompts: [hi]\noutputPath: ../results.json\n",
}  # fmt: skip


@pytest.mark.parametrize("body", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_what_lies_outside_needs_consent(suite: Path, body: str) -> None:
    with pytest.raises(DatasetError, match="outside") as caught:
        _load(suite, body)
    assert "--allow-outside" in str(caught.value.next_step)
    assert "promptfoo" in str(caught.value.next_step)
    assert "secret" not in str(caught.value).replace("secret.", "")
    list(_load(suite, body, allow_outside=True).cases())


def test_what_a_suite_reads_and_writes_is_known(suite: Path) -> None:
    body = "prompts: ['{{x}}']\ntests: [{vars: {x: file://own.txt}}]\noutputPath: out/r.json\n"
    found = _load(suite, body)
    assert [Path(path).name for path in found.reads] == ["own.txt"]
    assert found.outputs == (str(suite.parent / "out" / "r.json"),)


def test_lists_of_variables_that_multiply_are_bounded(suite: Path) -> None:
    lists = "\n".join(f"    v{n}: [{', '.join('abcdefghij')}]" for n in range(30))
    with pytest.raises(DatasetError, match="too many cases") as caught:
        _load(suite, f"prompts: [hi]\ntests:\n- vars:\n{lists}\n")
    assert "100,000" in str(caught.value.expected)


def test_lists_of_variables_are_bounded_over_all_tests(
    suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "MOST_COMBINATIONS", 100)
    one = "{a: [s, t, u, v, w, x, y, z], b: [s, t, u, v, w, x, y, z]}"
    assert _load(suite, f"prompts: [hi]\ntests: [{{vars: {one}}}]\n").counts.cases == 64
    with pytest.raises(DatasetError, match="too many cases") as caught:
        _load(suite, f"prompts: [hi]\ntests: [{{vars: {one}}}, {{vars: {one}}}]\n")
    assert "100 combinations in all" in str(caught.value.expected)


def test_references_of_references_are_bounded(suite: Path) -> None:
    levels = ["a0: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for number in range(1, 10):
        references = ", ".join([f"{{$ref: '#/a{number - 1}'}}"] * 10)
        levels.append(f"a{number}: [{references}]")
    body = "\n".join(["prompts: [hi]", *levels, "tests: [{vars: {x: {$ref: '#/a9'}}}]"])
    with pytest.raises(DatasetError, match="expand to too much"):
        _load(suite, body)


@pytest.mark.parametrize(
    "variables",
    [
        "{a: '{{a}}{{a}}'}",
        "{a: '" + "{{b}}" * 50_000 + "', b: " + "x" * 1_000 + "}",
        "{a: '{{b}}{{b}}', b: '{{a}}{{a}}'}",
    ],
)
def test_variables_that_name_each_other_are_bounded(suite: Path, variables: str) -> None:
    body = f"prompts: ['{{{{a}}}}']\ntests:\n  - vars: {variables}\n"
    with pytest.raises(DatasetError, match="become too long") as caught:
        list(_load(suite, body).cases())
    assert str(caught.value.where).startswith(f"{suite}:")


def test_a_table_of_many_columns_is_read_in_linear_time(suite: Path) -> None:
    names = ",".join(f"c{n}" for n in range(100_000))
    values = ",".join("v" for _ in range(100_000))
    (suite.parent / "wide.csv").write_text(f"{names}\n{values}\n")
    assert _load(suite, "prompts: ['{{c7}}']\ntests: file://wide.csv\n").counts.cases == 1
