"""The finished page, first as text, then in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from localprompt.views.report import html_report, markdown_report
from tests import needs
from tests.sample_runs import make_run
from tests.views.bench_records import bench, cell, sample_bench
from tests.views.browser import CHROMIUM, Page, chromium

pytestmark = pytest.mark.slow

HOSTILE = (
    "</script></pre></style><script>window.harmed = 1</script>"
    "<img src='https://example.invalid/x.png' onerror='window.harmed = 1'>"
    '" onmouseover="window.harmed = 1" {{ 7 * 7 }} &amp; \x00\x1b[31m \ud800'
)


class Elements(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def hostile_report() -> str:
    return html_report(
        [bench([cell({"model": HOSTILE}, answer=HOSTILE)], title=HOSTILE)],
        [make_run(text=HOSTILE, model=HOSTILE, prompt=HOSTILE)],
        HOSTILE,
    )


def test_what_a_model_or_a_user_wrote_is_text_wherever_it_stands() -> None:
    elements = Elements(hostile_report())
    assert len(elements.named("script")) == 1
    assert elements.named("img") == []
    names = {name for _, attributes in elements.found for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert "49" not in re.findall(r">([^<]*)</h1>", hostile_report())[0]


def test_the_page_can_be_written_as_utf_8() -> None:
    assert "\ufffd".encode() in hostile_report().encode()


def test_the_page_refers_to_nothing_outside() -> None:
    page = html_report([sample_bench()], [make_run()])
    for _, attributes in Elements(page).found:
        for name in ("src", "srcset", "data", "action", "poster", "style", "xlink:href"):
            assert name not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttp|WebSocket|import\(", page)


def test_the_policy_allows_this_style_and_script_only() -> None:
    (policy,) = (
        meta["content"] or ""
        for meta in Elements(html_report([sample_bench()])).named("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_every_link_and_label_points_at_an_element() -> None:
    page = html_report([sample_bench(), sample_bench()], [make_run()])
    elements = Elements(page)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in elements.found:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name) in (None, *ids)
        assert (attributes.get("href") or "#content")[1:] in ids


def test_the_same_report_is_the_same_file() -> None:
    assert html_report([sample_bench()]) == html_report([sample_bench()])


def test_a_report_is_named_after_what_is_in_it() -> None:
    assert "<h1>bench summarize --n-ctx 1024,4096</h1>" in html_report([sample_bench()])
    assert "<h1>2 benches and 1 run</h1>" in html_report([sample_bench()] * 2, [make_run()])
    assert "<h1>A &amp; B</h1>" in html_report([sample_bench()], title="A & B")


def test_an_empty_report_is_still_a_page() -> None:
    assert html_report().rstrip().endswith("</html>")


def test_markdown_reports_hold_benches_and_runs() -> None:
    text = markdown_report([sample_bench()], [make_run(text="An answer.")])
    assert text.startswith("## 1 bench and 1 run\n")
    assert "| smollm2-135m Q4\\_1 |" in text
    assert "An answer." in text


# --------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip(needs.CHROMIUM)
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser: Page, tmp_path: Path) -> Page:
    """A report opened from the disk, as from a USB stick."""
    return opened(browser, html_report([sample_bench(HOSTILE)], [make_run()]), tmp_path)


def opened(browser: Page, html: str, folder: Path) -> Page:
    browser.messages.clear()
    browser.requests.clear()
    browser.show(1200)
    path = folder / "report.html"
    path.write_text(html, encoding="utf-8")
    browser.open(path)
    return browser


def test_the_page_opens_without_a_complaint_or_a_request(page: Page) -> None:
    assert page.evaluate("document.querySelectorAll('section').length") >= 5
    assert page.messages == []
    assert [url.rpartition("/")[2] for url in page.requests] == ["report.html"]


def test_hostile_text_runs_nowhere(browser: Page, tmp_path: Path) -> None:
    page = opened(browser, hostile_report(), tmp_path)
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("document.images.length") == 0
    assert page.messages == []
    assert len(page.requests) == 1


def test_the_policy_stops_a_script_that_got_in(browser: Page, tmp_path: Path) -> None:
    html = html_report([sample_bench()]).replace(
        "</body>", "<script>window.harmed = 1</script></body>"
    )
    page = opened(browser, html, tmp_path)
    assert page.evaluate("window.harmed") is None
    assert any("Content Security Policy" in message for message in page.messages)


def test_charts_draw_what_they_say(page: Page) -> None:
    widths = page.evaluate(
        "[...document.querySelectorAll('.bar rect')].map(r => r.getBoundingClientRect().width)"
    )
    assert len(widths) >= 10
    assert all(width > 0 for width in widths)
    heights = page.evaluate("[...document.querySelectorAll('.line')].map(l => l.getBBox().height)")
    assert len(heights) == 4
    assert all(height > 0 for height in heights)
    lines = page.evaluate("getComputedStyle(document.querySelector('.line')).stroke")
    assert lines == "rgb(47, 127, 181)"


def test_plots_have_a_text_alternative(page: Page) -> None:
    labels = page.evaluate(
        "[...document.querySelectorAll('svg:not([aria-hidden]):not(svg svg)')]"
        ".map(s => s.getAttribute('role') + ' ' + s.getAttribute('aria-label'))"
    )
    assert len(labels) == 4
    assert all(label.startswith("img smollm2-135m") for label in labels)


COLUMN = (
    "[...document.querySelectorAll('#cells tbody tr:first-child')].map(r => r.cells[2].textContent)"
)


def test_a_column_sorts_with_the_keyboard_and_unknown_stays_last(page: Page) -> None:
    page.evaluate("document.querySelectorAll('#cells thead button')[1].focus()")
    page.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "TTFT"
    page.press("Enter")
    page.press("Enter")
    assert page.evaluate(COLUMN) == ["120 ± 0.5 ms", "92.4 ± 0.4 ms", "–"]
    sort = "document.activeElement.closest('th').getAttribute('aria-sort')"
    assert page.evaluate(sort) == "descending"
    page.press("Enter")
    assert page.evaluate(COLUMN) == ["92.4 ± 0.4 ms", "120 ± 0.5 ms", "–"]
    assert page.evaluate(sort) == "ascending"


def test_details_move_with_their_row(page: Page) -> None:
    page.evaluate("document.querySelectorAll('#cells thead button')[1].click()")
    names = page.evaluate(
        "[...document.querySelectorAll('#cells tbody')].map(b => "
        "[b.rows[0].cells[1].textContent, b.querySelector('summary').textContent])"
    )
    assert len(names) == 3
    assert all(summary.endswith(f"n_ctx {n_ctx}") for n_ctx, summary in names)


def test_the_skip_link_comes_first_and_leads_to_the_content(page: Page) -> None:
    page.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#content"
    page.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


PAPER = "getComputedStyle(document.body).backgroundColor"


def test_dark_and_light_follow_the_system_until_the_button_is_pressed(page: Page) -> None:
    light = page.evaluate(PAPER)
    page.show(1200, dark=True)
    dark = page.evaluate(PAPER)
    assert light != dark
    assert page.evaluate("document.getElementById('scheme').textContent") == "Light colours"
    page.evaluate("document.getElementById('scheme').click()")
    assert page.evaluate(PAPER) == light
    assert page.evaluate("document.getElementById('scheme').textContent") == "Dark colours"


@pytest.mark.parametrize("width", [360, 768, 1200])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    page.show(width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_on_a_phone_every_figure_stands_beside_its_heading(page: Page) -> None:
    page.show(360)
    content = page.evaluate(
        "getComputedStyle(document.querySelector('#cells tbody td.number'), '::before').content"
    )
    assert content == '"TTFT"'
    assert page.evaluate("document.querySelector('#cells tbody td').getAttribute('role')") == "cell"


def test_paper_gets_light_colours_unfolded_details_and_no_controls(page: Page) -> None:
    page.show(1200, dark=True, media="print")
    assert page.evaluate(PAPER) == "rgb(253, 253, 252)"
    assert page.evaluate("document.querySelector('nav').offsetHeight") == 0
    assert page.evaluate("document.querySelector('#cells pre').offsetHeight") > 0
    assert page.evaluate("document.querySelector('#scheme').offsetHeight") == 0


def test_the_page_reads_without_its_script(browser: Page, tmp_path: Path) -> None:
    html = re.sub(r"<script>.*</script>", "", html_report([sample_bench()]), flags=re.DOTALL)
    page = opened(browser, html, tmp_path)
    assert page.evaluate("document.getElementById('scheme').hidden") is True
    assert page.evaluate(COLUMN)[0] == "92.4 ± 0.4 ms"
    assert page.messages == []
