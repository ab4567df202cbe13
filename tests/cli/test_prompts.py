"""``localprompt prompts``, as somebody at a terminal uses it."""

from __future__ import annotations

import json
import shutil
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from localprompt import paths
from tests.cli.conftest import Localprompt
from tests.cli.program import SHORT, Ran, write_prompt

ONE_THREAD = ("--threads", "1", "--no-log", "--quiet")
SUM = """\
---
name: sum
description: Sums up.
model:
  options:
    maxOutputTokens: 4
inputs:
  - name: text
    kind: string
    required: true
template:
  format:
    kind: jinja2
  parser:
    kind: prompty
---
system:
Sum up.

user:
{{ text }}
"""


@pytest.fixture
def prompts(
    localprompt: Localprompt, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Localprompt:
    """``localprompt prompts …`` where ``./prompts/sum.prompty`` is the only prompt."""
    write_prompt(work, "sum", SUM)
    shipped = paths.shipped
    places = {"prompts": tmp_path / "nothing-shipped"}
    monkeypatch.setattr(paths, "shipped", lambda folder: places.get(folder, shipped(folder)))
    return lambda *arguments, stdin=b"": localprompt("prompts", *arguments, stdin=stdin)


def test_list_says_what_each_prompt_takes_and_where_it_is(prompts: Localprompt) -> None:
    ran = prompts("list")
    assert ran.code == 0
    assert ran.out.splitlines()[1].split() == ["sum", "text", "here", "Sums", "up."]


def test_list_shows_the_good_ones_beside_a_broken_one(prompts: Localprompt, work: Path) -> None:
    write_prompt(work, "bad", "---\nname: [\n---\nuser:\nHi")
    ran = prompts("list")
    assert ran.code == 0
    assert "sum" in ran.out
    assert "bad.prompty:" in ran.err


def test_an_empty_list_says_how_to_begin(prompts: Localprompt, work: Path) -> None:
    (work / "prompts" / "sum.prompty").unlink()
    ran = prompts("list")
    assert (ran.code, ran.out) == (0, "")
    assert "localprompt prompts new" in ran.err


def test_show_without_parameters_needs_no_model(prompts: Localprompt, lab_home: Path) -> None:
    next((lab_home / "models").glob("*.gguf")).unlink()
    ran = prompts("show", "sum")
    assert ran.code == 0
    assert "{{ text }}" in ran.out
    assert "prompts/sum.prompty" in ran.out
    assert json.loads(prompts("show", "sum", "--json").out)["inputs"][0]["name"] == "text"
    assert prompts("show", "sum", "-p", "text=x").code == 3


def test_show_counts_what_the_body_uses_where_nothing_is_declared(
    prompts: Localprompt, work: Path
) -> None:
    write_prompt(work, "bare", "user:\nSum up {{ it }}.")
    ran = prompts("show", "bare")
    assert ran.code == 0
    assert "Sum up {{ it }}." in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "summ"), "there is no prompt 'summ'"),
        (("show", "sum", "-p", "txt=x"), "the prompt has no parameter 'txt'"),
        (("show", "sum", "-p", "text=@nowhere"), "no such file"),
        (("show", "sum", "-p", "text=x", "-m", "nothing"), "no model is called 'nothing'"),
        (("new", "sum"), "the file exists already"),
        (("lint", "summ"), "there is no prompt 'summ'"),
        (("lint", "none.prompty"), "no such prompt file"),
    ],
)
def test_mistakes_are_explained_and_exit_with_2(
    prompts: Localprompt, arguments: tuple[str, ...], message: str
) -> None:
    ran = prompts(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.fields()["error"] == message


def test_show_gives_exactly_what_a_run_gives_the_model(
    prompts: Localprompt, localprompt: Localprompt, work: Path
) -> None:
    (work / "notes.txt").write_text("It rains. É tarde.", encoding="utf-8")
    given = ("sum", "-p", "text=@notes.txt", "--json")
    shown: dict[str, Any] = json.loads(prompts("show", *given).out)
    ran: dict[str, Any] = json.loads(localprompt("run", *given, *ONE_THREAD).out)
    ids = [token["id"] for token in shown["tokens"]]
    packed = struct.pack(f"<{len(ids)}i", *ids)
    assert sha256(packed).hexdigest() == ran["prompt"]["token_ids_sha256"]
    assert sha256(shown["text"].encode()).hexdigest() == ran["prompt"]["rendered_sha256"]
    assert shown["messages"] == ran["prompt"]["messages"]
    assert shown["sampling"] == ran["sampling"]
    assert shown["attributed_tokens"] == len(ids)


def test_show_tells_the_value_s_tokens_from_the_rest(prompts: Localprompt) -> None:
    ran = prompts("show", "sum", "-p", "text=It rains.")
    assert ran.code == 0
    assert "«text: It rains.»" in ran.out
    assert "100 % attributed" in ran.out
    assert "a second run" in ran.out
    every = prompts("show", "sum", "-p", "text=It rains.", "--tokens")
    assert len(every.out.splitlines()) > len(ran.out.splitlines())


def test_the_guide_shows_what_show_prints(prompts: Localprompt, work: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    for path in (root / "prompts").glob("classify-sentiment.*"):
        shutil.copy(path, work / "prompts")
    ran = prompts("show", "classify-sentiment", "-p", "review=Never again.")
    indented = "\n".join(f"    {line}".rstrip() for line in ran.out.splitlines())
    assert f"{indented}\n" in (root / "docs/guide/prompts.md").read_text(encoding="utf-8")


def test_show_takes_another_chat_template(prompts: Localprompt, work: Path) -> None:
    (work / "chat.jinja").write_text("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    given = ("show", "sum", "-p", "text=It rains.")
    assert "[Sum up.][«text: It rains.»]" in prompts(*given, "--chat-template", "chat.jinja").out


def test_a_missing_parameter_is_named_when_others_are_given(
    prompts: Localprompt, work: Path
) -> None:
    text = SUM.replace("inputs:\n", "inputs:\n  - name: tone\n    kind: string\n")
    write_prompt(work, "two", text.replace("Sum up.", "Sum up, {{ tone }}."))
    ran = prompts("show", "two", "-p", "text=x")
    assert ran.code == 2
    assert ran.fields()["error"] == "the prompt needs tone"


def test_new_writes_a_prompt_and_says_how_to_run_it(prompts: Localprompt, work: Path) -> None:
    ran = prompts("new", "mine", "--from", "sum")
    assert (ran.code, ran.out) == (0, "")
    assert "localprompt run mine -p text=…" in ran.err
    written = (work / "prompts" / "mine.prompty").read_text()
    assert written == SUM.replace("name: sum", "name: mine")


def test_a_new_prompt_runs_at_once(prompts: Localprompt, localprompt: Localprompt) -> None:
    assert prompts("new", "mine").code == 0
    ran = localprompt("run", "mine", "-p", "question=What is rain?", *SHORT, "--no-log")
    assert ran.code == 0
    assert ran.out.strip()


def test_lint_exits_with_2_only_for_errors(prompts: Localprompt, work: Path) -> None:
    assert prompts("lint", "sum") == Ran(0, "", "1 file, 0 findings\n")
    write_prompt(work, "odd", SUM.replace("{{ text }}", "{{ txt }}"))
    ran = prompts("lint", "odd")
    assert ran.code == 0
    assert "undeclared-variable" in ran.out
    write_prompt(work, "odd", SUM.replace("{{ text }}", "{{ text }"))
    ran = prompts("lint")
    assert ran.code == 2
    assert "prompts/odd.prompty:21: error:" in ran.out


def test_lint_fix_brings_an_old_file_into_the_long_form(prompts: Localprompt, work: Path) -> None:
    old = "---\nname: old\nmodel:\n  api: chat\nsample:\n  q: x\n---\nuser:\n{{ q }}\n"
    path = write_prompt(work, "old", old)
    ran = prompts("lint", "old")
    assert ran.code == 0
    assert ran.out.count("(--fix)") == 3
    assert "--fix corrects 3" in ran.err
    ran = prompts("lint", "old", "--fix")
    assert (ran.code, ran.out) == (0, "")
    assert "rewritten" in ran.err
    assert "apiType: chat" in path.read_text()
