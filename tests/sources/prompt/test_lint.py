"""Lint says what is wrong with a prompt file, and mends what can be mended."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from localprompt.errors import PromptFileError
from localprompt.sources.prompt.file import load_document, load_prompt
from localprompt.sources.prompt.fix import fix, fixed_text
from localprompt.sources.prompt.lint import lint

_GOOD = """---
name: good
inputs:
  - name: text
    kind: string
metadata:
  localprompt:
    choices: [good, bad]
---
system:
Answer good or bad.
user:
{{ text }}
"""
_V1 = """---
# what it is called
name: old
authors: [ana]   # that is me
model:
  api: chat
  # the service
  configuration:
    type: azure_openai
  parameters:
    max_tokens: 500
inputs:
  text: {type: string, sample: World}
template: jinja2
---
user:
{{ text }}   {# stays #}
"""


def _lint(folder: Path, text: str) -> list[tuple[int, str]]:
    path = folder / "p.prompty"
    path.write_text(text, encoding="utf-8")
    return [(finding.line, finding.code) for finding in lint(path)]


def test_a_good_file_has_no_findings(tmp_path: Path) -> None:
    assert _lint(tmp_path, _GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("{{ text }}", "{{ txet }}{{ text }}", (13, "undeclared-variable")),
        ("{{ text }}", "Go", (4, "unused-input")),
        ("kind: string", "kind: string\n    tpye: x", (6, "unknown-key")),
        ("name: good\n", "name: good\nnmae: x\n", (3, "unknown-key")),
        ("choices: [good", "coices: []\n    choices: [good", (8, "unknown-key")),
        ("good or bad", "one word", (8, "choices-unannounced")),
        ("user:\n", "usr:\n", (12, "role-typo")),
        ("user:\n", "Human:\n", (12, "role-typo")),
        ("{{ text }}", "{{ text }", (13, "error")),
        ("kind: string", "kind: [string]", (5, "error")),
        ("---\nname", "---\nname: [\nname", (3, "error")),
    ],
)
def test_each_finding_has_its_line_and_code(
    old: str, new: str, finding: tuple[int, str], tmp_path: Path
) -> None:
    found = _lint(tmp_path, _GOOD.replace(old, new, 1))
    assert any(code == finding[1] and abs(line - finding[0]) <= 1 for line, code in found), found


def test_a_file_without_role_lines_or_with_tools_is_told(tmp_path: Path) -> None:
    codes = {code for _, code in _lint(tmp_path, "---\ntools: {t: function}\n---\nHi")}
    assert codes == {"no-role", "unsupported"}


def test_a_property_whose_name_is_a_digit_of_another_kind_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "good.prompty"
    path.write_text(_GOOD)
    found = lint(path, lambda _: [("properties.²", "is checked at the end")])
    assert [finding.code for finding in found] == ["checked-late"]


def test_a_file_that_is_not_there_cannot_be_looked_through(tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match="no such prompt file"):
        lint(tmp_path / "none.prompty")


def test_the_first_versions_words_are_fixable_findings(tmp_path: Path) -> None:
    path = tmp_path / "old.prompty"
    path.write_text(_V1)
    old = [finding for finding in lint(path) if finding.code == "v1-key"]
    assert all(finding.fixable for finding in old)
    assert [finding.message for finding in old] == [
        "authors is now metadata.authors",
        "model.api is now apiType",
        "model.configuration is now connection",
        "model.configuration.type is now model.provider",
        "model.parameters is now options",
        "model.parameters.max_tokens is now maxOutputTokens",
        "inputs.text.type is now kind",
        "inputs.text.sample is now default",
        "template is now template.format.kind",
    ]


def test_a_fixed_file_means_the_same_and_has_no_old_words(tmp_path: Path) -> None:
    path = tmp_path / "old.prompty"
    path.write_text(_V1)
    before = load_prompt(path)
    assert fix(path)
    after = load_prompt(path)
    assert (after.inputs, after.options, after.body) == (before.inputs, before.options, before.body)
    assert [finding.code for finding in lint(path)] == []
    assert load_document(path)["inputs"] == [{"name": "text", "kind": "string", "default": "World"}]
    assert not fix(path)


def test_fixing_keeps_comments_and_every_line_that_was_right(tmp_path: Path) -> None:
    path = tmp_path / "old.prompty"
    path.write_text(_V1)
    text = fixed_text(path)
    assert text is not None
    for kept in ("# what it is called\nname: old\n", "# the service\n", "{{ text }}   {# stays #}"):
        assert kept in text
    front = yaml.safe_load(text.split("---")[1])
    assert front["metadata"] == {"authors": ["ana"]}
    assert front["template"] == {"format": {"kind": "jinja2"}, "parser": {"kind": "prompty"}}


def test_fixing_writes_short_inputs_out(tmp_path: Path) -> None:
    path = tmp_path / "short.prompty"
    path.write_bytes(b"---\r\nname: s\r\ninputs: {n: 3}\r\n---\r\nuser:\r\n{{ n }}\r\n")
    assert [finding.code for finding in lint(path)] == ["short-form"]
    assert fix(path)
    assert path.read_bytes() == (
        b"---\r\nname: s\r\ninputs:\r\n- name: n\r\n  kind: integer\r\n  default: 3\r\n"
        b"---\r\nuser:\r\n{{ n }}\r\n"
    )


@pytest.mark.parametrize("front", ["{inputs: {a: x}, name: y}", "inputs: {a: &a x}\nname: *a"])
def test_what_cannot_be_mended_stays_as_it_is(front: str, tmp_path: Path) -> None:
    path = tmp_path / "p.prompty"
    path.write_text(f"---\n{front}\n---\nuser:\n{{{{ a }}}}")
    before = path.read_bytes()
    with pytest.raises(PromptFileError):
        fix(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["p.prompty"]
