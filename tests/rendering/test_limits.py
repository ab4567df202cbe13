"""A template that runs or grows without end is stopped, soon and with its line."""

from __future__ import annotations

import pytest

from localprompt.errors import PromptFileError, TemplateLimitError
from localprompt.measure import memory
from localprompt.rendering.budget import Limits
from localprompt.rendering.failures import Place
from localprompt.rendering.segments import render_segments
from localprompt.units import MIB

_SMALL = Limits(units=300_000)
_DOUBLE = "{% set ns = namespace(x='x', l=[1]) %}{% for i in range(60) %}"

_BOMBS = {
    "nested loops": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "filtered loop": "{% for i in range(99999) if false %}{% endfor %}"
    "{% for i in range(99999) if false %}{% endfor %}",
    "recursive loop": "{% for i in [1] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "macro without end": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "macro that doubles": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}"
    "{% endmacro %}{{ f(60) }}",
    "repetition": "{{ 'x' * 10**9 }}",
    "list repetition": "{{ [0] * 10**9 }}",
    "constant repetition": "{{ ('x' * 99999 * 99999)|length }}",
    "doubling": _DOUBLE + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "doubling with plus": _DOUBLE + "{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "doubling a list": _DOUBLE + "{% set ns.l = ns.l + ns.l %}{% endfor %}",
    "a list of itself": _DOUBLE + "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
    "a mapping of itself": _DOUBLE + "{% set ns.l = {1: ns.l, 2: ns.l} %}{% endfor %}{{ ns.l }}",
    "a dict of itself": _DOUBLE + "{% set ns.l = dict(a=ns.l, b=ns.l) %}{% endfor %}{{ ns.l }}",
    "a default that grows": "{% set a = range(9999)|map(attribute='z', default='y' * 99)|list %}"
    "{% set b = range(9999)|map(attribute='z', default=a)|list %}",
    "namespaces": "{% set n = namespace(v=namespace(x=1)) %}{% for i in range(60) %}"
    "{% set n.v = namespace(a=n.v, b=n.v) %}{% endfor %}{{ n.v }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "integers": "{% set ns = namespace(n=9) %}{% for i in range(60) %}"
    "{% set ns.n = ns.n * ns.n %}{% endfor %}",
    "center": "{{ 'x'|center(10**9) }}",
    "center method": "{{ 'x'.center(10**9) }}",
    "ljust": "{{ q.ljust(10**9) }}",
    "zfill": "{{ q.zfill(10**9) }}",
    "expandtabs": "{{ '\t'.expandtabs(10**9) }}",
    "indent": "{{ 'a\nb'|indent(10**9) }}",
    "join": "{{ range(9999)|join('x' * 9999) }}",
    "join method": "{{ ('x' * 9999).join(range(9999)|map('string')) }}",
    "replace": "{{ ('a' * 9999)|replace('a', 'x' * 9999) }}",
    "replace method": "{{ ('a' * 9999).replace('a', 'x' * 9999) }}",
    "replace of nothing": "{{ ('a' * 9999).replace('', 'x' * 9999) }}",
    "translate": "{{ ('a' * 9999).translate({97: 'x' * 9999}) }}",
    "printf": "{{ '%1000000000d' % 1 }}",
    "printf star": "{{ '%*d' % (10**9, 1) }}",
    "printf filter": "{{ '%.1000000000f'|format(1) }}",
    "format": "{{ '{:1000000000}'.format(1) }}",
    "format with a width": "{{ '{:{w}}'.format(1, w=10**9) }}",
    "format of many": "{{ ('{0}' * 999).format('x' * 9999) }}",
    "to_bytes": "{{ (5).to_bytes(10**9, 'big') }}",
    "round": "{{ 5|round(10**9, 'ceil') }}",
    "round down": "{{ 5|round(-10**9) }}",
    "json": "{{ [[1]]|tojson(indent=10**9) }}",
    "wordwrap": "{{ ('a' * 99999)|wordwrap(1, true, 'x' * 999) }}",
    "searching": "{% set t = big * 99 %}{% for i in range(99) %}{{ t.count('zz') }}{% endfor %}",
    "wordwrap by name": "{{ ('ab ' * 999)|wordwrap(1, wrapstring='x' * 50_000) }}",
    "batch": "{{ [1]|batch(10**9, 'x')|list }}",
    "slice": "{{ [1]|slice(10**9, 'x')|list }}",
    "map": "{{ range(99999)|map('center', 99999)|list }}",
    "sum": "{{ ([[0] * 999] * 999)|sum(start=[]) }}",
    "output": "{% for i in range(999) %}{{ big }}{% endfor %}",
}


@pytest.mark.parametrize("name", _BOMBS)
def test_a_template_without_end_is_stopped(name: str) -> None:
    with pytest.raises(TemplateLimitError) as error:
        render_segments(
            _BOMBS[name], {"q": "x", "big": "y" * 999}, place=Place("b.prompty", 4), limits=_SMALL
        )
    assert error.value.where is not None
    assert error.value.where.startswith("b.prompty")


@pytest.mark.skipif(not memory.reset_peak(), reason="the peak cannot start again here")
@pytest.mark.parametrize("name", _BOMBS)
def test_the_bombs_took_no_memory_to_speak_of(name: str) -> None:
    memory.reset_peak()
    before = memory.read().peak_rss_bytes
    with pytest.raises(TemplateLimitError):
        render_segments(_BOMBS[name], {"q": "x", "big": "y" * 999}, limits=_SMALL)
    after = memory.read().peak_rss_bytes
    assert before is not None
    assert after is not None
    assert after - before < 64 * MIB


def test_a_template_that_takes_too_long_is_stopped_by_the_clock() -> None:
    with pytest.raises(TemplateLimitError, match="more than 0 s"):
        render_segments("{% for i in range(9) %}{% endfor %}", {}, limits=Limits(seconds=0.0))


def test_a_long_document_is_no_reason_to_stop() -> None:
    document = "word " * 800_000
    segments = render_segments("user:\n{{ text|trim }}\n", {"text": document})
    assert sum(len(segment.text) for segment in segments) == len(document.strip()) + 7


def test_a_few_digits_or_spaces_are_no_reason_to_stop() -> None:
    body = "{{ 2.71828|round(2) }} {{ 1234|round(-2) }} {{ [1]|tojson(indent=2) }}"
    text = "".join(s.text for s in render_segments(body, {}, limits=_SMALL))
    assert text == "2.72 1200 [\n  1\n]"


def test_many_examples_are_no_reason_to_stop() -> None:
    rows = [{"text": f"review {n}", "label": "good"} for n in range(5_000)]
    body = "{% for r in rows %}{{ loop.index }}. {{ r.text|trim }}: {{ r['label'] }}\n{% endfor %}"
    text = "".join(s.text for s in render_segments(body, {"rows": rows}))
    assert text.count("\n") == 5_000


@pytest.mark.parametrize("body", ["{{ 'x'|urlize }}", "{{ 'x'|striptags }}", "{{ lipsum(9) }}"])
def test_filters_that_take_quadratic_time_are_not_there(body: str) -> None:
    with pytest.raises(PromptFileError, match=r"urlize|striptags|lipsum"):
        render_segments(body, {})


def test_a_long_text_is_blamed_and_not_the_template() -> None:
    text = "word " * 800_000
    with pytest.raises(TemplateLimitError, match="the text is too long") as error:
        render_segments("{% for i in range(9) %}{{ q }}{% endfor %}", {"q": text})
    assert error.value.found == "about 4,000,000 characters"
    with pytest.raises(TemplateLimitError, match="runs or grows without end"):
        render_segments(
            "{% for i in range(9999) %}{% for j in range(9999) %}{{ q }}{% endfor %}{% endfor %}",
            {"q": "x" * 99},
        )
