"""What the documentation says is what the program does."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

from localprompt.cli.app import build_app

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "README.pt-BR.md",
        ROOT / "CHANGELOG.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/**/*.md"),
    ]
)


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", list(_generator().generated()), ids=lambda path: path.name)
def test_a_generated_page_is_what_the_code_says_now(path: Path) -> None:
    made = _generator().generated()[path]()
    assert path.read_text(encoding="utf-8") == made, "run: python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []


def _anchors(page: Path) -> set[str]:
    """The names under which a page's headings are linked to."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_a_section_find_its_heading(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    missing = [
        f"{path}#{name}"
        for path, name in links
        if name not in _anchors((page.parent / path) if path else page)
    ]
    assert missing == []


def test_the_files_that_the_architecture_names_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = re.findall(r"`((?:[\w-]+/)+[\w.-]*|[\w-]+\.(?:py|toml|md))`", page)
    assert len(names) > 30
    missing = [
        name
        for name in names
        if not any((base / name).exists() for base in (ROOT, ROOT / "localprompt"))
    ]
    assert missing == []


def test_no_two_decisions_have_the_same_number() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(name[:4]) for name in names]
    assert len(set(numbers)) == len(numbers)
    for name in names:
        heading = (ROOT / "docs" / "decisions" / name).read_text(encoding="utf-8").splitlines()[0]
        assert heading.startswith(f"# {int(name[:4])}. ")


def test_every_command_of_the_makefile_stands_in_the_readme() -> None:
    """README shows the lines of ``demo`` and ``test`` for people without make."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    recipes = re.findall(r"^(?:demo|test):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert len(recipes) == 2
    for line in "".join(recipes).splitlines():
        assert line.strip().replace("$(BIN)", ".venv/bin") in readme


def _headings(text: str) -> list[int]:
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [len(match[1]) for match in re.finditer(r"^(#+) ", outside, re.MULTILINE)]


def _commands(text: str) -> list[str]:
    """Lines that are typed, without what is said of them."""
    lines = re.findall(r"^(?: {4}|\$ )(.+)$", text, re.MULTILINE)
    return [line.partition("  #")[0].strip() for line in lines]


def _tree_names(text: str) -> list[str]:
    tree = text.partition("<!-- tree -->")[2].partition("<!-- /tree -->")[0]
    return re.findall(r"^ *([\w.]+/?)(?:  |$)", tree, re.MULTILINE)


def test_the_portuguese_readme_has_what_the_english_one_has() -> None:
    """Where this fails, README.md has changed: say the same in README.pt-BR.md."""
    english = (ROOT / "README.md").read_text(encoding="utf-8")
    portuguese = (ROOT / "README.pt-BR.md").read_text(encoding="utf-8")
    assert _headings(portuguese) == _headings(english)
    assert _commands(portuguese) == _commands(english)
    assert _tree_names(portuguese) == _tree_names(english)
    rows = re.compile(r"^\| (`.+?) \| ", re.MULTILINE)
    assert rows.findall(portuguese) == rows.findall(english)
    sessions = re.compile(r"^```\n(\$.*?)^```$", re.DOTALL | re.MULTILINE)
    assert sessions.findall(portuguese) == sessions.findall(english)
    links = re.compile(r"\]\(([^)\s]+)\)")
    others = {"README.md", "README.pt-BR.md"}
    assert set(links.findall(portuguese)) - others == set(links.findall(english)) - others


def test_no_page_names_an_index_or_a_path_of_a_machine() -> None:
    for page in [*PAGES, ROOT / "constraints.txt", ROOT / "pyproject.toml", ROOT / "Makefile"]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"index-url|/root/|/work/|/tmp/build", text), page


def _shown(text: str) -> list[list[str]]:
    """The calls of localprompt on a page, as words: in blocks, indented, or inside a sentence."""
    blocks = "".join(re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    indented = "\n".join(re.findall(r"^    +(\S.*)$", text, re.MULTILINE))
    typed = f"{blocks}\n{indented}"
    lines = re.findall(r"^ *(?:\$ |sudo |- run: )*(localprompt .+)$", typed, re.MULTILINE)
    spans = re.findall(r"`(localprompt [^`]+)`", text.replace("\n", " "))
    return [_one_call(shlex.split(line, comments=True)) for line in (*lines, *spans)]


def _one_call(words: list[str]) -> list[str]:
    ends = [place for place, word in enumerate(words) if word in {"|", "||", "&&", ">", "<"}]
    return words[1 : min(ends, default=len(words))]


def _unknown_in(words: list[str], program: Any) -> str | None:
    """The first command or option among the words that the program does not have."""
    words = list(words)
    while hasattr(program, "commands") and words and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in program.list_commands(None):
            return name
        program = program.get_command(None, name)
    known = {name for each in program.params for name in (*each.opts, *each.secondary_opts)}
    options = (word.partition("=")[0] for word in words if re.match("--?[a-z]", word))
    return next((option for option in options if option not in {*known, "-h", "--help"}), None)


def test_the_commands_and_options_that_the_pages_show_exist() -> None:
    program = typer.main.get_command(build_app())
    pages = [page for page in PAGES if page.parent.name != "decisions"]  # those are dated
    shown = [(page, call) for page in pages for call in _shown(page.read_text(encoding="utf-8"))]
    assert len(shown) > 200
    wrong = [(page.name, call, it) for page, call in shown if (it := _unknown_in(call, program))]
    assert wrong == []


def test_a_command_or_option_that_does_not_exist_would_be_noticed() -> None:
    program = typer.main.get_command(build_app())
    page = "    localprompt runs list --last 3   # three\n\nType `localprompt rnus list` or\n"
    assert [_unknown_in(call, program) for call in _shown(page)] == ["--last", "rnus"]
    assert _unknown_in(["models", "show", "smollm2-135m", "--n-ctx", "512"], program) is None
