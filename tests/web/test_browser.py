"""The local page in a real browser: every page at two widths, and the ways through them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.store.history import History
from localprompt.web.host import Host
from tests import needs
from tests.sample_evaluations import make_evaluation, make_result
from tests.sample_runs import make_run
from tests.sample_tunings import tuning
from tests.views.browser import CHROMIUM, Page, chromium
from tests.web.conftest import Served, running

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=needs.CHROMIUM)]

EVALUATION = make_evaluation(cases=2)


@pytest.fixture
def page(served: Served) -> Iterator[Page]:
    """A browser that has exchanged the key, in front of a history with one of each."""
    with History() as history:
        history.record(make_run(0, text="red and blue"))
        history.record(make_run(1, text="red and <b>green</b>"))
        history.begin(EVALUATION)
        history.add(EVALUATION.id, [make_result(0), make_result(1, False)])
        history.keep(tuning())
    with chromium() as browser:
        browser.visit(f"{served.origin}/?key={served.keys.current}")
        yield browser


def until(page: Page, expression: str, seconds: float = 20.0) -> None:
    limit = time.monotonic() + seconds
    while not _holds(page, expression):
        assert time.monotonic() < limit, page.evaluate("document.body.innerText")
        time.sleep(0.05)


def _holds(page: Page, expression: str) -> bool:
    try:
        return bool(page.evaluate(expression))
    except RuntimeError as error:
        if "navigated" in str(error):  # it went to another page while it was asked
            return False
        raise


def test_every_page_fits_a_phone_and_a_wide_screen_and_asks_nobody_else(
    page: Page, served: Served
) -> None:
    ids = (make_run(0).id, make_run(1).id)
    paths = (
        "/", "/?prompt=summarize", "/runs", f"/runs/{ids[0]}", "/results",
        f"/results/{EVALUATION.id}", f"/results/{tuning().id}",
        f"/compare?id={ids[0]}&id={ids[1]}", "/chat", f"/chat/{ids[1]}",
        "/models", "/prompts/summarize", "/runs/NONESUCH",
        f"/cases?evaluation={EVALUATION.id}&case=case-0", "/doctor",
        "/models?language=pt-BR", "/?prompt=summarize", "/runs", "/results?language=en",
    )  # fmt: skip
    for path in paths:
        for width, dark in ((390, False), (1600, True)):
            page.show(width, dark=dark)
            page.visit(served.origin + path)
            until(page, "document.querySelector('#scheme').hidden === false")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
            assert page.evaluate("document.querySelectorAll('h1').length") == 1
            unnamed = (
                "[...document.querySelectorAll('input:not([type=hidden]),select,textarea,button')]"
                ".filter(e => !(e.labels?.length || e.getAttribute('aria-label') || "
                "e.textContent.trim())).length"
            )
            assert page.evaluate(unnamed) == 0, path
    assert [m for m in page.messages if "404" not in m] == []
    assert all(url.startswith(served.origin) for url in page.requests)


def test_an_answer_streams_into_the_page_and_what_it_took_stands_below(page: Page) -> None:
    page.evaluate("document.querySelector('#text').value = 'Name three colours.'")
    page.evaluate("document.querySelector('#try button.main').click()")
    until(page, "document.querySelector('.below')?.innerText.includes('TTFT')")
    assert "<b>blue</b>" in page.evaluate("document.querySelector('.stream').textContent")
    assert page.evaluate("document.querySelectorAll('.stream b').length") == 0
    assert page.evaluate("document.querySelector('.state').textContent") == "done"
    assert page.messages == []


def test_two_answers_stand_side_by_side_and_lead_to_what_differs(
    page: Page, served: Served
) -> None:
    page.evaluate("document.querySelector('#text').value = 'Name three colours.'")
    page.evaluate(
        "{const tick = document.querySelector('[name=model]');"
        "tick.closest('fieldset').append(tick.closest('label').cloneNode(true));"
        "document.querySelector('#try button.main').click()}"
    )
    until(page, "document.querySelector('.differences section') !== null")
    assert page.evaluate("document.querySelectorAll('.columns .answer').length") == 2
    page.evaluate("document.querySelector('.differences a').click()")
    until(page, "document.querySelector('.columns + .difference-of-texts') !== null")


def test_the_stop_button_ends_an_answer(page: Page) -> None:
    page.evaluate("document.querySelector('#text').value = 'Be slow.'")
    page.evaluate("document.querySelector('#try button.main').click()")
    until(page, "document.querySelector('.stream')?.textContent.includes('Red')")
    page.evaluate("document.querySelector('[data-stop]').click()")
    until(page, "document.querySelector('.state').textContent === 'done'")
    assert "More. More. More. More. More. More." not in page.evaluate(
        "document.querySelector('.stream').textContent"
    )


def test_a_tab_that_goes_elsewhere_ends_its_run(page: Page, served: Served, host: Host) -> None:
    page.evaluate("document.querySelector('#text').value = 'Be slow.'")
    page.evaluate("document.querySelector('#try button.main').click()")
    until(page, "document.querySelector('.stream')?.textContent.includes('Red')")
    page.visit(f"{served.origin}/models")
    limit = time.monotonic() + 10
    while host.waiting():
        assert time.monotonic() < limit
        time.sleep(0.05)
    with History(read_only=True) as history:
        assert next(history.runs()).output.finish_reason == "interrupted"


def test_the_form_follows_the_prompt_that_is_chosen(page: Page) -> None:
    page.evaluate(
        "{const s = document.querySelector('#prompt'); s.value = 'summarize';"
        "s.dispatchEvent(new Event('change', {bubbles: true}))}"
    )
    until(page, "!!document.querySelector('[name=\"param.text\"]')")
    assert page.evaluate("!document.querySelector('#text')")


def test_a_wrong_value_is_explained_in_the_page(page: Page) -> None:
    page.evaluate("document.querySelector('#text').value = 'x'")
    page.evaluate("document.querySelector('[name=max_tokens]').value = 'many'")
    page.evaluate("document.querySelector('#try button.main').click()")
    until(page, "!!document.querySelector('#answers [role=alert]')")
    assert "not a number" in page.evaluate("document.querySelector('#answers').innerText")


def test_runs_are_filtered_as_one_types_and_compared_by_two_ticks(
    page: Page, served: Served
) -> None:
    page.visit(f"{served.origin}/runs")
    page.evaluate(
        "{const i = document.querySelector('[name=model]'); i.value = 'nonesuch';"
        "i.dispatchEvent(new Event('change', {bubbles: true}))}"
    )
    until(page, "document.querySelector('#rows').innerText.includes('No runs here')")
    page.visit(f"{served.origin}/runs")
    page.evaluate("document.querySelectorAll('[name=id]').forEach(e => e.click())")
    page.evaluate("document.querySelector('.ticks button').click()")
    until(page, "document.querySelector('.difference ins') !== null")
    assert page.evaluate("document.querySelectorAll('ins b').length") == 0


def test_two_prompts_in_two_columns_share_what_was_typed(page: Page) -> None:
    for at, name in enumerate(("summarize", "translate")):
        page.evaluate(
            f"{{const s = document.querySelectorAll('#try select[name=prompt]')[{at}];"
            f"s.value = '{name}'; s.dispatchEvent(new Event('change', {{bubbles: true}}))}}"
        )
        until(page, "!!document.querySelector('[name=\"param.text\"]')")
        page.evaluate("document.querySelector('[name=\"param.text\"]').value = 'A cat.'")
    until(page, "!!document.querySelector('[href=\"/prompts/translate\"]')")
    assert page.evaluate("document.querySelector('[name=\"param.text\"]').value") == "A cat."
    page.evaluate("document.querySelector('#try button.main').click()")
    until(page, "document.querySelector('.differences section') !== null")
    titles = page.evaluate("[...document.querySelectorAll('.answer h2')].map(e => e.textContent)")
    assert titles == ["summarize · smollm2-135m", "translate · smollm2-135m"]
    assert page.messages == []


def test_the_back_button_brings_back_the_filters_that_were_there(
    page: Page, served: Served
) -> None:
    page.visit(f"{served.origin}/runs?model=smollm2-135m")
    page.evaluate(
        "{const i = document.querySelector('[name=model]'); i.value = 'nonesuch';"
        "i.dispatchEvent(new Event('change', {bubbles: true}))}"
    )
    until(page, "document.querySelector('#rows').innerText.includes('No runs here')")
    page.evaluate("history.back()")
    until(page, "document.querySelectorAll('#rows [name=id]').length === 2")
    assert page.evaluate("document.querySelector('[name=model]').value") == "smollm2-135m"
    assert page.evaluate("document.querySelectorAll('h1').length") == 1


def test_a_turn_leads_to_its_own_page_and_the_back_button_takes_it_back(
    page: Page, served: Served
) -> None:
    page.visit(f"{served.origin}/chat")
    for text in ("Hello.", "And more."):
        page.evaluate(f"document.querySelector('#text').value = '{text}'")
        before = page.evaluate("location.pathname")
        page.evaluate("document.querySelector('#say button.main').click()")
        until(page, f"location.pathname !== '{before}' && !!document.querySelector('#text')")
    until(page, "document.querySelectorAll('article.turn').length === 2")
    assert page.evaluate("document.querySelector('.asked').textContent") == "Hello."
    assert page.evaluate("document.activeElement.id") == "text"
    page.evaluate("history.back()")
    until(page, "document.querySelectorAll('article.turn').length === 1")
    page.evaluate("document.querySelector('article details').open = true")
    page.evaluate("document.querySelector('#edit-1').value = 'Good day.'")
    page.evaluate("document.querySelector('article form button').click()")
    until(page, "document.querySelector('.asked')?.textContent === 'Good day.'")
    assert page.messages == []


def test_two_tabs_take_their_turns(page: Page, served: Served, host: Host) -> None:
    with chromium() as other:
        other.visit(f"{served.origin}/?key={served.keys.current}")
        for tab, text in ((page, "Be slow."), (other, "Hello.")):
            tab.evaluate(f"document.querySelector('#text').value = '{text}'")
            tab.evaluate("document.querySelector('#try button.main').click()")
            until(tab, "!!document.querySelector('[data-job]')")
        until(other, "document.querySelector('#live').innerText.includes('waiting')")
        page.evaluate("document.querySelector('[data-stop]').click()")
        until(other, "document.querySelector('.state').textContent === 'done'")
        assert other.messages == []


def test_the_keyboard_alone_reaches_the_content(page: Page) -> None:
    page.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(8):
        page.press("Tab")
    assert page.evaluate("document.activeElement.closest('form')?.id") == "try"


@pytest.mark.model
@pytest.mark.slow
def test_the_starter_model_answers_in_the_page(lab_home: Path) -> None:
    for served in running(Host()):
        with chromium() as browser:
            browser.visit(f"{served.origin}/?key={served.keys.current}")
            browser.evaluate("document.querySelector('#text').value = 'Say hello.'")
            browser.evaluate("document.querySelector('[name=max_tokens]').value = '8'")
            browser.evaluate("document.querySelector('#try button.main').click()")
            until(browser, "document.querySelector('.below')?.innerText.includes('TTFT')", 60)
            # Opened before htmx has taken over what came, it would stay empty.
            until(
                browser, "!!document.querySelector('[hx-trigger*=toggle]')?.['htmx-internal-data']"
            )
            browser.evaluate("document.querySelector('.below details').open = true")
            until(browser, "!!document.querySelector('.received .origin.variable')", 60)
            assert "Say hello." in browser.evaluate(
                "[...document.querySelectorAll('.received .origin.variable')]"
                ".map(e => e.textContent).join('')"
            )
            assert browser.messages == []
