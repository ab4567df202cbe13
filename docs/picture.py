"""The picture of README.md: the ten verdicts of the newest committed evidence, as an SVG.

Written by ``docs/generate.py``; nothing in it is drawn by hand. Colours carry no meaning that the
words beside them do not have, and it has a background of its own, so that it reads on any page.
"""

from __future__ import annotations

from collections import Counter
from html import escape

from localprompt.records.evidence import EvidenceReport, Figure
from localprompt.views.evidence_text import figure_name, verdict_kind
from localprompt.views.language import DEFAULT, Language

WIDTH = 880
_TOP, _ROW = 74, 31
_COLOURS = {
    "supported": ("#14774a", "#e3f3ea"),
    "not-supported": ("#a3231c", "#fae6e4"),
    "not-shown": ("#5b5b57", "#efefec"),
    "not-run": ("#5b5b57", "#ffffff"),
}
_MOST_CHARACTERS = 74


def evidence_svg(report: EvidenceReport) -> str:
    """One row for each reason: its title, the figure that decided, the verdict."""
    say = Language(DEFAULT)
    found = Counter(verdict_kind(finding) for finding in report.findings)
    tally = ", ".join(f"{found[kind]} {say(f'verdict.{kind}')}" for kind in _COLOURS if found[kind])
    height = _TOP + _ROW * len(report.plans) + 12
    rows = []
    for at, plan in enumerate(report.plans):
        finding = report.finding(plan.number)
        kind = verdict_kind(finding)
        decides = None
        if finding is not None:
            names = [condition.figure for condition in finding.rule.supported]
            decides = next((f for name in names for f in finding.figures if f.name == name), None)
        rows.append(
            _row(
                _TOP + _ROW * at,
                f"{plan.number}. {say(f'experiments.{plan.name}.title')}",
                "" if decides is None else _words(decides, say),
                say(f"verdict.{kind}"),
                kind,
            )
        )
    title = f"Ten reasons for prompting, tried: {tally}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, sans-serif">\n'
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#fdfdfb" stroke="#d8d8d2"/>\n'
        f'<text x="20" y="32" font-size="16" font-weight="600" fill="#1b1b19">{escape(title)}'
        "</text>\n"
        f'<text x="20" y="54" font-size="12" fill="#5b5b57">{escape(_made(report))}</text>\n'
        + "".join(rows)
        + "</svg>\n"
    )


def _row(top: int, title: str, words: str, verdict: str, kind: str) -> str:
    ink, paper = _COLOURS[kind]
    width = 20 + round(7.2 * len(verdict))
    left = WIDTH - 20 - width
    return (
        f'<line x1="20" x2="{WIDTH - 20}" y1="{top - 5}" y2="{top - 5}" stroke="#e6e6e0"/>\n'
        f'<text x="20" y="{top + 15}" font-size="13" fill="#1b1b19">{escape(title)}</text>\n'
        f'<text x="205" y="{top + 15}" font-size="11.5" fill="#5b5b57">{escape(words)}</text>\n'
        f'<rect x="{left}" y="{top}" width="{width}" height="21" rx="10.5" fill="{paper}"/>\n'
        f'<text x="{left + width / 2}" y="{top + 15}" font-size="12" font-weight="600" '
        f'text-anchor="middle" fill="{ink}">{escape(verdict)}</text>\n'
    )


def _words(figure: Figure, say: Language) -> str:
    """``time to the first result, tuning ÷ prompting 4.33 ×``."""
    text = f"{figure_name(figure, say)}: {say.quantity(figure.value, figure.unit)}"
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _made(report: EvidenceReport) -> str:
    cpu = report.machine.cpu or report.machine.id
    return (
        f"{report.model.name} on {cpu}, {report.created_at[:10]}; small data sets, one small model"
    )
