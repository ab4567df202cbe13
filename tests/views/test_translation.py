"""Portuguese is complete, fits the English, and nobody who speaks English pays for it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from localprompt.cli.app import COMMANDS
from localprompt.errors import InputError
from localprompt.store.history import History
from localprompt.views import translation
from localprompt.views.messages import format_error
from localprompt.views.report import html_report, markdown_report
from localprompt.views.translation import Catalogue, language, read_catalogue, read_po, translated
from tests.choose.samples import choice
from tests.cli.program import completed
from tests.views.eval_reports import sample_report
from tests.views.every_view import views
from tests.views.test_widths import drawn

ROOT = Path(__file__).resolve().parent.parent.parent
_GAP = re.compile(r"\{\d\}")


@pytest.fixture
def portuguese() -> Iterator[None]:
    translation.speak(read_catalogue("pt-BR.po"))
    yield
    translation.speak(None)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("catalogue", ROOT / "docs" / "catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_text_has_a_translation(tool: ModuleType) -> None:
    found = tool.keys()
    there = dict(read_po(tool.CATALOGUE.read_text(encoding="utf-8")))
    missing = [f"{key!r}, said in {found[key]}" for key in tool.lacking(there, found)]
    how = f"run python docs/catalogue.py, then fill in their msgstr in {tool.CATALOGUE.name}"
    assert not missing, "\n".join([f"{len(missing)} texts lack a translation; {how}:", *missing])


def test_the_catalogue_has_nothing_that_is_no_longer_said(tool: ModuleType) -> None:
    there = dict(read_po(tool.CATALOGUE.read_text(encoding="utf-8")))
    assert there.keys() - tool.keys().keys() == set(), "run python docs/catalogue.py"


def test_a_translation_has_the_gaps_commands_and_options_of_its_key(tool: ModuleType) -> None:
    option = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
    command = re.compile(rf"(?<!a )localprompt (?:{'|'.join(COMMANDS)})(?: [a-z]+)?\b")
    for key, said in read_po(tool.CATALOGUE.read_text(encoding="utf-8")):
        assert Counter(_GAP.findall(key)).keys() == Counter(_GAP.findall(said)).keys(), key
        assert set(option.findall(key)) == set(option.findall(said)), key
        assert command.findall(key) == command.findall(said), key
        if _GAP.search(key):
            said.format(*"0123456789")  # raises where a brace is alone


def test_a_new_text_is_found_in_the_source(tool: ModuleType) -> None:
    import ast

    source = (
        "raise UnknownNameError(f'no colour {name!r}', next_step='ask, or look')\n"
        "print_note(f'{n} rows' if n else 'no rows')\n"
        "Column('height', numeric=True)\n"
        "other('not shown')\n"
    )
    said = set(tool._said_in(ast.parse(source)))
    assert said == {"no colour {0}", "ask, or look", "no rows", "height"}


def test_a_catalogue_is_read_as_gettext_writes_it() -> None:
    text = (
        '# comment\nmsgid ""\nmsgstr "Language: pt_BR\\n"\n\n#: a.py\nmsgid "one"\nmsgstr "um"\n\n'
        'msgid ""\n"two "\n"lines\\n"\nmsgstr ""\n"duas "\n"linhas\\n"\n\n'
        'msgid "three"\nmsgstr ""\n'
    )
    assert list(read_po(text)) == [
        ("one", "um"),
        ("two lines\n", "duas linhas\n"),
        ("three", ""),
    ]


def test_values_go_into_the_gaps_whatever_their_order() -> None:
    say = Catalogue(
        {
            "{0} of {1} failed": "de {1}, {0} falharam",
            "no model is called {0}": "nenhum modelo se chama {0}",
            "no {0} here": "{0} não há",
            "model": "modelo",
            "braces {{a}} and {0}": "chaves {{a}} e {0}",
        }
    )
    assert say("3 of 12 failed") == "de 12, 3 falharam"
    assert say("no model is called 'no x here'") == "nenhum modelo se chama 'no x here'"
    assert say("no model here") == "modelo não há"
    assert say("braces {a} and {0}") == "chaves {a} e {0}"
    assert say("something else") == "something else"
    assert say(" of  failed") == "de ,  falharam"


@pytest.mark.parametrize(
    ("environment", "spoken"),
    [
        ({"LANG": "pt_BR.UTF-8"}, True),
        ({"LANG": "pt_BR"}, True),
        ({"LANG": "pt"}, True),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "pt_BR.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "pt_BR.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "pt_BR:en"}, True),
        ({"LANG": "pt_BR.UTF-8", "LANGUAGE": "en:pt_BR"}, False),
        ({"LANG": "pt_BR.UTF-8", "LANGUAGE": "fr:pt_BR"}, True),
        ({"LANG": "pt_PT.UTF-8"}, False),
        ({"LANG": "kpt_XX"}, False),
        ({}, False),
    ],
)
def test_the_environment_says_the_language(environment: dict[str, str], spoken: bool) -> None:
    assert (language(environment) is not None) is spoken


def test_an_error_is_said_in_portuguese(portuguese: None) -> None:
    error = InputError(
        "no model is called 'x'", where="-m", expected="one of: a, b", next_step="fix it"
    )
    assert format_error(error) == (
        "erro: nenhum modelo se chama 'x'\n"
        "  onde:       -m\n"
        "  esperado:   entre: a, b\n"
        "  tente:      fix it"
    )


def test_headings_are_said_in_portuguese_and_what_is_in_the_rows_is_not(portuguese: None) -> None:
    text = drawn(views()["models-list"], 120)
    assert text.splitlines()[0].split() == ["nome", "estado", "tam.", "licença", "descrição"]
    assert "for code and for short texts" in " ".join(text.split())


@pytest.mark.parametrize("name", views())
@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_too_wide_in_portuguese(portuguese: None, name: str, width: int) -> None:
    from rich.cells import cell_len

    if name in {"models-show", "prompts-template", "prompts-tokens"}:
        return
    for line in drawn(views()[name], width).splitlines():
        a_word = max(map(cell_len, line.split()), default=0)
        assert cell_len(line) <= width or a_word > width - 20, line


def test_english_is_given_back_as_it_came() -> None:
    assert translated("no model is called 'x'") == "no model is called 'x'"


_SHOWN = re.compile(
    r"<(?:h2|dt|th|caption|legend|summary|b|figcaption|li|p)[^>]{0,80}>([^<]{4,300})<"
)
_ENGLISH = re.compile(r"\b(?:the|with|of the|and|which|cases|answers|shown|left out|passed)\b")
_DATA = re.compile(r"Classify|Answer with|case \d|tickets|plain|careful|does not fit|contains")


def _english(page: str) -> list[str]:
    """What a page says in English around its data."""
    shown = page[page.index("<main") :]
    said = (text.strip() for text in _SHOWN.findall(shown))
    return [text for text in said if _ENGLISH.search(text) and not _DATA.search(text)]


def test_a_choice_as_a_page_says_nothing_in_english(tmp_path: Path, portuguese: None) -> None:
    with History(tmp_path / "history.db") as store:
        right = [n % 2 == 0 for n in range(40)]
        page = html_report(choices=[choice(store, [right, [True] * 40, [False] * 40])])
    assert '<html lang="pt-BR">' in page
    assert "Taxa de acerto com o seu intervalo" in page
    assert not _english(page)


def test_an_evaluation_as_a_page_and_as_markdown_is_in_portuguese(
    tmp_path: Path, portuguese: None
) -> None:
    report = sample_report(tmp_path)
    page = html_report(evaluations=[report])
    for said in ("Visão geral", "Uma linha é um caso", "não passaram", "Mostrar mais", "sem nota"):
        assert said in page
    assert not _english(page)
    assert "Every two" not in markdown_report(evaluations=[report])


def test_a_page_in_english_is_as_it_was(tmp_path: Path) -> None:
    page = html_report(evaluations=[sample_report(tmp_path)])
    assert '<html lang="en">' in page
    assert "A row is a case." in page
    assert "{0} of {1} are shown." in page


def test_the_program_speaks_portuguese_where_the_environment_says_so() -> None:
    spoken = completed("models", "--help", env={"LANGUAGE": "pt_BR"})
    assert spoken.out.startswith("Uso: localprompt models [OPTIONS] COMMAND [ARGS]...\n")
    assert "Mostra esta ajuda e sai." in spoken.out
    assert "\nComandos:\n" in spoken.out
    wrong = completed("ask", "--no-such", env={"LANGUAGE": "", "LC_ALL": "pt_BR.UTF-8"})
    assert wrong.code == 2
    assert wrong.err.startswith("erro: A opção --no-such não existe")
    assert "\n  tente:      localprompt ask --help" in wrong.err
    unknown = completed("models", "show", "nothing", env={"LANGUAGE": "pt_BR"})
    assert unknown.err.startswith("erro: nenhum modelo se chama 'nothing'\n")


def test_every_option_of_every_command_is_said_in_portuguese() -> None:
    import typer.main

    from localprompt.cli.app import build_app
    from localprompt.cli.help_texts import help_texts

    say = read_catalogue("pt-BR.po")
    said = help_texts(typer.main.get_command(build_app()))
    assert [text for text in said if " " in text and say(text) == text] == []


def test_in_english_nothing_of_it_is_loaded_for_help() -> None:
    code = (
        "import sys; from localprompt.__main__ import run; run(['--help']); "
        "print([m for m in sys.modules if 'translation' in m or 'help_texts' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"LANG": "en_US.UTF-8", "PATH": ""},
    )
    assert done.stdout.splitlines()[-1] == "[]"
