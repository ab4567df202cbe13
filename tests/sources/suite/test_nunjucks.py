from __future__ import annotations

from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import PromptFileError
from localprompt.sources.suite.nunjucks import translate_nunjucks, variables_of

VALUES: dict[str, Any] = {
    "name": "Ada",
    "other": "Grace",
    "on": True,
    "off": False,
    "items": ["a", "b"],
    "mapping": {"x": 1, "y": 2},
    "pairs": [["p", 1], ["q", 2]],
    "thing": {"title": "<b> & 'it's'", "list": [1]},
}


def render(template: str, **options: Any) -> str:
    translated = translate_nunjucks(template, **options)
    assert translated.count("\n") == template.count("\n")
    return jinja2.Environment(autoescape=False).from_string(translated).render(VALUES)


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("Hello {{ name }}!", "Hello Ada!"),
        ("{% if name === 'Ada' %}yes{% endif %}", "yes"),
        ("{% if name !== 'Ada' %}no{% elseif on %}yes{% endif %}", "yes"),
        ("{% if on && !off %}yes{% endif %}", "yes"),
        ("{% if off||on %}yes{% endif %}", "yes"),
        ("{% if name != other %}yes{% endif %}", "yes"),
        ("{{ missing if missing !== undefined else 'none' }}", ""),
        ("{{ items.length }} {{ items | length }}", "2 2"),
        ("{% if items.length > 1 %}many{% endif %}", "many"),
        ("{{ thing.list.length + 1 }}", "2"),
        ("{{ name.toUpperCase() }} {{ name | lower }}", "ADA ada"),
        ("{{ ' x '.trim() }}", "x"),
        ("{% for i in items %}{{ loop.index }}{{ i }}{% endfor %}", "1a2b"),
        ("{% for k, v in mapping %}{{ k }}={{ v }};{% endfor %}", "x=1;y=2;"),
        ("{% for k, v in pairs %}{{ k }}={{ v }};{% endfor %}", "p=1;q=2;"),
        ("{{ mapping | dump }}", '{"x": 1, "y": 2}'),
        ("{{ thing.title | dump | safe }}", "\"<b> & 'it's'\""),
        ("{{ mapping | dump(2) }}", '{\n  "x": 1,\n  "y": 2\n}'),
        ("{% raw %}{{ a === b }}{% endraw %}", "{{ a === b }}"),
        ("{% verbatim %}{{ a && b }}{% endverbatim %}!", "{{ a && b }}!"),
        ("{# a === b && }} #}text", "text"),
        ("{{ 'a === b && c }}' }}", "a === b && c }}"),
        ("{%- set x = 'v' -%} {{- x -}} end", "vend"),
        ("{{ items | join(', ') }}", "a, b"),
        ('{"role": "user", "content": "{{ name }}"}', '{"role": "user", "content": "Ada"}'),
    ],
)
def test_nunjucks_renders_as_jinja(template: str, rendered: str) -> None:
    assert render(template) == rendered


def test_environment_variables_become_literals() -> None:
    env = {"PLACE": 'a "quoted" {{ place }}'}
    assert render("{{ env.PLACE }}/{{ env['PLACE'] | upper }}", env=env) == (
        'a "quoted" {{ place }}/A "QUOTED" {{ PLACE }}'
    )


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% switch x %}{% endswitch %}", "switch"),
        ("{% include 'other.njk' %}", "include"),
        ("{{ a ? b : c }}", "'?'"),
        ("{{ items.map(x) }}", "map()"),
        ("{{ text | load }}", "load"),
        ("{{ r/a+/g.test(x) }}", "regular expressions"),
        ("{{ env.NOT_THERE }}", "NOT_THERE"),
        ("{{ name", "never closed"),
        ("{% raw %} {{ x }}", "never closed"),
        ("{% %}", "no name"),
    ],
)
def test_what_jinja_cannot_do_is_refused_with_its_line(template: str, words: str) -> None:
    with pytest.raises(PromptFileError) as caught:
        translate_nunjucks("first\n\n" + template, where="p.txt", first_line=10)
    assert caught.value.where == "p.txt:12"
    assert words in caught.value.message


def test_the_variables_of_a_template_are_those_it_takes_from_outside() -> None:
    template = "{% for i in items %}{{ i }}{{ loop.index }}{% endfor %}{% set a = b %}{{ a }}"
    assert list(variables_of(template)) == ["b", "items"]
    with pytest.raises(PromptFileError, match="cannot be read"):
        list(variables_of("{% if %}"))


@given(st.text(st.characters(exclude_characters="{%#}")))
def test_text_without_blocks_is_left_alone(text: str) -> None:
    assert translate_nunjucks(text) == text


@given(st.text(alphabet="{%}#ab '\"|.\n!&-"))
def test_any_text_is_translated_or_refused_and_never_crashes(text: str) -> None:
    try:
        assert translate_nunjucks(text).count("\n") == text.count("\n")
    except PromptFileError:
        assert "{" in text
