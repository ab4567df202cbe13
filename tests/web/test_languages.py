"""The page in the reader's language."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from localprompt.views.language import texts
from tests.web.conftest import Served

_USED = re.compile(r"""say\(\s*["'](site\.[\w.-]+)["']\s*([~,)])""")


def _sources() -> str:
    package = Path(str(resources.files("localprompt.web")))
    files = [*package.glob("*.py"), *package.glob("templates/*.html")]
    return "\n".join(file.read_text("utf-8") for file in files)


def test_every_sentence_that_a_page_asks_for_is_in_the_texts() -> None:
    sources = _sources()
    asked = {key for key, then in _USED.findall(sources) if then != "~"}
    assert asked
    assert asked - texts("en").keys() == set()


def test_every_sentence_of_the_texts_is_asked_for_somewhere() -> None:
    sources = _sources()
    beginnings = {key for key, then in _USED.findall(sources) if then == "~"}
    beginnings |= set(re.findall(r'f"(site\.\w+\.)\{', sources))
    unused = [
        key
        for key in texts("en")
        if key.startswith("site.")
        and key not in sources
        and not any(key.startswith(beginning) for beginning in beginnings)
        and not re.fullmatch(r"site\.\w+\.short", key)
    ]
    assert unused == []


def test_a_browser_that_asks_for_portuguese_gets_it(served: Served) -> None:
    served.enter()
    for asked in ("pt-BR,pt;q=0.9,en;q=0.8", "pt", "fr, pt-PT;q=0.5"):
        page = served.get("/runs", Accept_Language=asked).text
        assert '<html lang="pt-BR">' in page
        assert "<h1>Execuções</h1>" in page
    for asked in ("en-GB,pt;q=0.5", "fr", "", "*", "pt;;;=,,,"[5:]):
        assert '<html lang="en">' in served.get("/runs", Accept_Language=asked).text


def test_a_language_that_was_chosen_stays(served: Served) -> None:
    served.enter()
    page = served.get("/runs?model=x&language=pt-BR")
    assert "<h1>Execuções</h1>" in page.text
    assert 'href="/runs?model=x&amp;language=en"' in page.text
    cookie = page.headers["set-cookie"]
    assert "SameSite=strict" in cookie
    both = f"{served.cookie}; {cookie.partition(';')[0]}"
    assert "<h1>Resultados</h1>" in served.get("/results", Cookie=both).text


def test_a_language_that_there_is_not_is_passed_over(served: Served) -> None:
    served.enter()
    assert '<html lang="en">' in served.get("/runs?language=tlh").text
    forged = f"{served.cookie}; localprompt-language=../../etc"
    assert served.get("/runs", Cookie=forged).status == 200


def test_all_pages_come_in_portuguese_without_a_word_missing(served: Served) -> None:
    served.enter()
    for path in ("/", "/runs", "/results", "/models", "/prompts/new", "/live", "/nowhere"):
        page = served.get(path, Accept_Language="pt-BR")
        assert page.status in {200, 404}, path
