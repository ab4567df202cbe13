"""New prompt files run at once and never replace anything unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt import paths
from localprompt.errors import InputError, MachineError, PromptFileError, UnknownNameError
from localprompt.rendering.prompt import render_messages
from localprompt.sources.prompt.check import check_prompts
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.lint import lint
from localprompt.sources.prompt.new import new_prompt

ORIGINAL = """\
---
# about names
name: "A nice one"  # of mine
metadata:
  localprompt: {cases: original.csv, choices: [yes, no]}
inputs:
  - name: text
    kind: string
---
user:
name: {{ text }} yes
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCALPROMPT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(paths, "shipped", lambda folder: tmp_path / "shipped" / folder)
    return tmp_path


@pytest.fixture
def original(here: Path) -> Path:
    folder = here / "shipped" / "prompts"
    folder.mkdir(parents=True)
    (folder / "original.csv").write_text("text,expected\na,yes\n")
    (folder / "original.prompty").write_text(ORIGINAL)
    return folder / "original.prompty"


def test_a_new_prompt_is_clean_and_renders() -> None:
    made = new_prompt("mine")
    assert made.path == Path("prompts/mine.prompty")
    assert lint(made.path) == ()
    template = load_prompt(made.path)
    assert template.name == "mine"
    assert render_messages(template, {"question": "Why?"})[1].text == "Why?"


def test_a_copy_has_its_own_name_and_cases_and_is_otherwise_the_same(original: Path) -> None:
    made = new_prompt("mine", origin="original")
    assert made.cases == Path("prompts/mine.csv")
    assert made.cases.read_bytes() == original.with_suffix(".csv").read_bytes()
    expected = ORIGINAL.replace('"A nice one"', "mine").replace("original.csv", "mine.csv")
    assert made.path.read_text() == expected
    assert load_prompt(made.path).cases == str(made.cases.absolute())


def test_a_file_that_is_there_is_replaced_only_by_force() -> None:
    path = new_prompt("mine").path
    path.write_text("user:\nMine!")
    with pytest.raises(InputError, match="the file exists already") as error:
        new_prompt("mine")
    assert "--force" in str(error.value.next_step)
    assert path.read_text() == "user:\nMine!"
    new_prompt("mine", force=True)
    assert "question" in path.read_text()


def test_cases_that_are_there_are_not_replaced_either(original: Path, here: Path) -> None:
    (here / "prompts").mkdir()
    (here / "prompts" / "mine.csv").write_text("precious")
    with pytest.raises(InputError, match="the file exists already"):
        new_prompt("mine", origin="original")
    assert sorted(path.name for path in (here / "prompts").iterdir()) == ["mine.csv"]


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "two words", "-x"])
def test_a_name_has_to_be_a_file_s_name(name: str, here: Path) -> None:
    with pytest.raises(InputError, match="not a valid name"):
        new_prompt(name)
    assert not (here / "prompts").exists()


def test_a_suffix_in_the_name_is_not_doubled() -> None:
    assert new_prompt("mine.prompty").path == Path("prompts/mine.prompty")


def test_a_copy_that_needs_other_files_is_not_kept(original: Path, here: Path) -> None:
    (original.parent / "words.txt").write_text("Sums up.")
    original.write_text("---\nname: original\ndescription: ${file:words.txt}\n---\nuser:\nHi")
    with pytest.raises(PromptFileError, match="does not work on its own"):
        new_prompt("mine", origin="original")
    assert list((here / "prompts").iterdir()) == []


def test_an_original_has_to_exist() -> None:
    with pytest.raises(UnknownNameError):
        new_prompt("mine", origin="nothing")


def test_a_folder_that_cannot_be_written_is_the_machine_s_fault(here: Path) -> None:
    (here / "prompts").write_text("a file, not a folder")
    with pytest.raises(MachineError, match="cannot write"):
        new_prompt("mine")


def test_what_was_there_comes_back_when_force_does_not_get_through(
    original: Path, here: Path
) -> None:
    original.write_text("---\nname: |\n  original\n---\nuser:\nHi")
    path = new_prompt("mine").path
    before = path.read_bytes()
    with pytest.raises(PromptFileError, match="does not work on its own"):
        new_prompt("mine", origin="original", force=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["2024", "1.5", "true", "null", "1e5"])
def test_a_name_that_yaml_reads_as_something_else_stays_a_name(name: str, original: Path) -> None:
    assert load_prompt(new_prompt(name).path).name == name
    assert load_prompt(new_prompt(name, origin="original", force=True).path).name == name


def test_without_names_the_prompts_here_are_checked(here: Path) -> None:
    with pytest.raises(InputError, match="no prompt"):
        check_prompts()
    (here / "prompts").mkdir()
    with pytest.raises(InputError, match="no prompt files"):
        check_prompts()
    (here / "prompts" / "b.prompty").write_text("user:\n{{ oops }}")
    new_prompt("a")
    first, second = check_prompts()
    assert (first.path.name, first.findings, first.has_errors) == ("a.prompty", (), False)
    assert [finding.code for finding in second.findings] == ["undeclared-variable"]
    assert not second.has_errors


def test_fixing_leaves_a_clean_file_and_an_unfixable_one_as_it_is(here: Path) -> None:
    old, broken = here / "old.prompty", here / "broken.prompty"
    old.write_text("---\nname: old\ninputs:\n  text: x\n---\nuser:\n{{ text }}\n")
    broken.write_text("---\nname: [\n---\nuser:\nHi\n")
    before = broken.read_bytes()
    assert [file.fixed for file in check_prompts([str(old)])] == [False]
    fixed, left = check_prompts([str(old), str(broken)], fix=True)
    assert (fixed.fixed, fixed.findings) == (True, ())
    assert left.has_errors
    assert broken.read_bytes() == before


def test_a_prompt_behind_a_link_is_fixed_where_it_is(here: Path) -> None:
    old, link = here / "old.prompty", here / "link.prompty"
    old.write_text("---\nname: old\ninputs:\n  text: x\n---\nuser:\n{{ text }}\n")
    link.symlink_to(old)
    (fixed,) = check_prompts([str(link)], fix=True)
    assert fixed.fixed
    assert link.is_symlink()
    assert "kind: string" in old.read_text()


def test_the_longest_name_that_a_file_may_have_is_no_obstacle(here: Path) -> None:
    old = here / f"{'n' * 247}.prompty"
    old.write_text("---\ninputs:\n  text: x\n---\nuser:\n{{ text }}\n")
    (fixed,) = check_prompts([str(old)], fix=True)
    assert fixed.fixed


def test_merged_keys_are_left_to_their_author(here: Path) -> None:
    old = here / "old.prompty"
    text = "---\nbase: &base\n  name: old\n<<: *base\nmodel:\n  api: chat\n---\nuser:\nHi\n"
    old.write_text(text)
    (left,) = check_prompts([str(old)], fix=True)
    assert "not-fixed" in [finding.code for finding in left.findings]
    assert old.read_text() == text
