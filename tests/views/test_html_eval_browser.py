"""The matrix of cases in a browser: filters, differences, keyboard, phone, dark, paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.views.report import html_report
from tests import needs
from tests.sample_evaluations import make_result
from tests.views.browser import CHROMIUM, Page, chromium
from tests.views.eval_reports import CAREFUL, PLAIN, report, results, sample_report, target
from tests.views.test_html_eval import hostile_page

pytestmark = pytest.mark.slow

ROWS = (
    "[...document.querySelectorAll('#cases tbody')].filter(b => b.offsetHeight)"
    ".map(b => b.rows[0].cells[0].textContent)"
)
SHOWN = "document.querySelector('.shown').textContent"
COUNTS = "[...document.querySelectorAll('.controls .count')].map(c => Number(c.textContent))"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip(needs.CHROMIUM)
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page, tmp_path: Path) -> Page:
    return opened(browser, html_report(evaluations=[sample_report(tmp_path)]), tmp_path)


def opened(browser: Page, html: str, folder: Path) -> Page:
    browser.messages.clear()
    browser.requests.clear()
    browser.show(1200)
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    browser.open(path)
    return browser


def show(page: Page, filter_: str) -> None:
    page.evaluate(f"document.querySelector('input[value={filter_}]').click()")


def compare(page: Page, a: str, b: str) -> None:
    """Choose two columns, as a reader does in the two lists."""
    page.evaluate(
        f"for (const [side, value] of [['a', '{a}'], ['b', '{b}']]) {{"
        " const list = document.querySelector(`select[data-side=${side}]`);"
        " list.value = value; list.dispatchEvent(new Event('change')); }"
    )


def unfold(page: Page, row: int) -> None:
    """Open the details of a row and wait until the page has heard of it."""
    page.settled(
        "new Promise(done => { const details ="
        f" document.querySelectorAll('#cases .details > td > details')[{row}];"
        " details.addEventListener('toggle', () => done(), { once: true }); details.open = true; })"
    )


def marks(page: Page, tag: str) -> list[str]:
    found: list[str] = page.evaluate(
        f"[...document.querySelectorAll('#cases {tag}')].map(e => e.textContent)"
    )
    return found


def test_the_page_opens_folded_without_a_complaint_or_a_request(page: Page) -> None:
    assert page.evaluate("document.querySelectorAll('#cases details[open]').length") == 0
    assert page.evaluate(SHOWN) == "5 of 5 are shown."
    assert page.messages == []
    assert len(page.requests) == 1


def test_hostile_answers_run_nowhere_even_when_they_are_compared(
    browser: Page, tmp_path: Path
) -> None:
    page = opened(browser, hostile_page(tmp_path), tmp_path)
    unfold(page, 0)
    compare(page, "0", "1")
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("document.images.length") == 0
    assert page.messages == []
    assert len(page.requests) == 1


def test_filters_show_what_they_count(page: Page) -> None:
    assert page.evaluate(COUNTS) == [5, 4, 2]
    show(page, "open")
    assert page.evaluate(ROWS) == ["text 1", "text 2", "text 3", "text 4"]
    assert page.evaluate(SHOWN) == "4 of 5 are shown."
    show(page, "flipped")
    assert page.evaluate(ROWS) == ["text 1", "text 2"]
    show(page, "all")
    assert len(page.evaluate(ROWS)) == 5


def test_filters_are_reached_and_changed_with_the_keyboard(page: Page) -> None:
    page.evaluate("document.querySelector('input[value=all]').focus()")
    page.press("ArrowDown")
    assert page.evaluate("document.activeElement.value") == "open"
    assert len(page.evaluate(ROWS)) == 4


def test_what_flipped_since_the_earlier_one_can_be_shown_alone(
    browser: Page, tmp_path: Path
) -> None:
    found = report(tmp_path, (PLAIN,), results(False, True, True), results(True, True, False))
    page = opened(browser, html_report(evaluations=[found]), tmp_path)
    assert page.evaluate(COUNTS) == [3, 1, 0, 2]
    show(page, "changed")
    assert page.evaluate(ROWS) == ["text 0", "text 2"]
    cells = "[...document.querySelectorAll('#cases td[data-change] b')].map(b => b.textContent)"
    assert page.evaluate(cells) == ["failed, broken", "passed, repaired"]
    compare(page, "0", "1")
    show(page, "flipped")
    assert page.evaluate(ROWS) == ["text 0", "text 2"]


def test_two_columns_are_compared_word_by_word_in_prompts_and_answers(page: Page) -> None:
    unfold(page, 1)
    assert marks(page, "ins") == []
    compare(page, "0", "1")
    assert marks(page, "del") == ["good"]
    inserted = marks(page, "ins")
    assert inserted[0] == "bad"
    assert "".join(inserted[1:]).replace("\n", "") == "Think first. very"
    assert page.evaluate("document.querySelectorAll('#cases .answer details[open]').length") == 2
    compare(page, "", "1")
    assert marks(page, "ins") == []


def test_columns_that_are_not_compared_are_put_aside(browser: Page, tmp_path: Path) -> None:
    third = target("third", "{{ text }}")
    found = [one for at in range(3) for one in results(True, False, target=at)]
    page = opened(
        browser,
        html_report(evaluations=[report(tmp_path, (PLAIN, CAREFUL, third), found)]),
        tmp_path,
    )
    names = (
        "[...document.querySelectorAll('#cases details[open] .answer')].filter(a => a.offsetHeight)"
        ".map(a => a.querySelector('h4').textContent)"
    )
    unfold(page, 0)
    assert page.evaluate(names) == ["plain", "careful", "third"]
    compare(page, "2", "0")
    assert page.evaluate(names) == ["third", "plain"]
    compare(page, "", "0")
    assert page.evaluate(names) == ["plain", "careful", "third"]


def test_a_prompt_that_shares_its_beginning_is_put_together_when_it_is_opened(
    browser: Page, tmp_path: Path
) -> None:
    long = target("plain", f"{'An example. ' * 3000}\n{{{{ text }}}}\nOne word.")
    found = report(tmp_path, (long,), results(True, False))
    page = opened(browser, html_report(evaluations=[found]), tmp_path)
    text = "document.querySelector('#cases pre[data-text=prompt]').textContent"
    assert page.evaluate(text) == "0"
    unfold(page, 0)
    assert page.evaluate(text) == f"{'An example. ' * 3000}\ntext 0\nOne word."


def test_many_cases_come_a_few_at_a_time_and_stay_so_when_sorted(
    browser: Page, tmp_path: Path
) -> None:
    found = report(tmp_path, (PLAIN,), results(*[n % 3 > 0 for n in range(180)]))
    page = opened(browser, html_report(evaluations=[found]), tmp_path)
    assert page.evaluate(SHOWN) == "The first 50 of 180 are shown."
    page.evaluate("document.querySelectorAll('#cases thead button')[1].click()")
    assert len(page.evaluate(ROWS)) == 50
    first = "document.querySelector('#cases tbody td').textContent"
    assert page.evaluate(first).startswith("failed")
    more, everything = (f"document.querySelectorAll('.more button')[{n}].click()" for n in (0, 1))
    page.evaluate(more)
    assert len(page.evaluate(ROWS)) == 150
    page.evaluate(everything)
    assert len(page.evaluate(ROWS)) == 180
    assert page.evaluate("document.querySelector('.more').hidden") is True


@pytest.mark.parametrize("width", [360, 768, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_screen(page: Page, width: int, dark: bool) -> None:
    page.show(width, dark=dark)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    compare(page, "0", "1")
    page.next_frame()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_on_a_phone_every_verdict_stands_beside_its_column(page: Page) -> None:
    page.show(360)
    cell = "getComputedStyle(document.querySelector('#cases tbody td'), '::before').content"
    assert page.evaluate(cell) == '"plain"'


def test_marks_of_a_difference_are_not_told_by_colour_alone(page: Page) -> None:
    unfold(page, 1)
    compare(page, "0", "1")
    for tag, line in (("del", "line-through"), ("ins", "underline")):
        style = f"getComputedStyle(document.querySelector('#cases {tag}')).textDecorationLine"
        assert page.evaluate(style) == line


def test_dark_and_light_differ_in_the_marks_too(page: Page) -> None:
    unfold(page, 1)
    compare(page, "0", "1")
    paint = "getComputedStyle(document.querySelector('#cases ins')).backgroundColor"
    light = page.evaluate(paint)
    page.show(1200, dark=True)
    assert page.evaluate(paint) != light


def test_paper_gets_the_rows_that_are_shown_and_the_details_that_are_open(page: Page) -> None:
    show(page, "open")
    unfold(page, 1)
    page.show(1200, media="print")
    assert page.evaluate("document.querySelector('.controls').offsetHeight") == 0
    assert len(page.evaluate(ROWS)) == 4
    visible = (
        "[...document.querySelectorAll('#cases .answers')].filter(a => a.checkVisibility("
        "{ contentVisibilityAuto: true })).length"
    )
    assert page.evaluate(visible) == 1


def test_points_of_a_chart_have_their_numbers_and_names(page: Page) -> None:
    drawn = "[...document.querySelectorAll('#charts .scatter .dot')].length"
    assert page.evaluate(drawn) == 4
    listed = "[...document.querySelectorAll('#charts .points li')].map(l => l.textContent)"
    assert len(page.evaluate(listed)) == 4
    heights = (
        "[...document.querySelectorAll('#charts .scatter .whisker')]"
        ".map(w => w.getBoundingClientRect().height)"
    )
    assert all(height > 10 for height in page.evaluate(heights))


def test_the_matrix_reads_without_the_script(browser: Page, tmp_path: Path) -> None:
    html = html_report(evaluations=[sample_report(tmp_path)])
    page = opened(browser, re.sub(r"<script>.*</script>", "", html, flags=re.DOTALL), tmp_path)
    assert len(page.evaluate(ROWS)) == 5
    assert page.evaluate("document.querySelector('.controls').offsetHeight") == 0
    assert page.messages == []


def test_a_single_column_has_nothing_to_compare(browser: Page, tmp_path: Path) -> None:
    found = report(tmp_path, (PLAIN,), [make_result(0, False)])
    page = opened(browser, html_report(evaluations=[found]), tmp_path)
    assert page.evaluate("document.querySelectorAll('#cases select').length") == 0
    assert page.evaluate(COUNTS) == [1, 1]
    assert page.messages == []
