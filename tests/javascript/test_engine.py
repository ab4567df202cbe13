from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

import localprompt.javascript
from localprompt.errors import ScriptError, ScriptLimitError
from localprompt.javascript.engine import (
    Result,
    Template,
    analyse,
    call,
    compile_error,
    function_body,
    render_prompt,
    render_prompts,
    render_text,
)
from localprompt.javascript.worker import NUNJUCKS
from localprompt.processes import Child

VALUES: dict[str, Any] = {
    "name": "Ada",
    "other": "Grace",
    "on": True,
    "off": False,
    "gap": None,
    "items": ["a", "b"],
    "mapping": {"x": 1, "y": 2},
    "pairs": [["p", 1], ["q", 2]],
    "thing": {"title": "<b> & 'it's'", "list": [1]},
}


def test_nunjucks_is_the_release_that_it_says() -> None:
    source = (Path(localprompt.javascript.__file__).parent / NUNJUCKS).read_bytes()
    assert (
        hashlib.sha256(source).hexdigest()
        == "93769288b3eb63fff02d40406ba4d2d49f48b70f31576cdc330ee7f626856f3f"
    )


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("Hello {{ name }}!", "Hello Ada!"),
        ("{{ name}}{{name }}{{ other }}{{ gap }}{{ missing }}", "AdaAdaGrace"),
        ("{% if name === 'Ada' %}yes{% endif %}", "yes"),
        ("{% if name !== 'Ada' %}no{% elseif on %}yes{% endif %}", "yes"),
        ("{% if on and not off %}yes{% endif %}", "yes"),
        ("{{ items.length }} {{ items | length }}", "2 2"),
        ("{{ name.toUpperCase() }} {{ name | lower }} {{ ' x '.trim() }}", "ADA ada x"),
        ("{{ items.map }}{{ items.indexOf('b') }}", None),
        ("{% for i in items %}{{ loop.index }}{{ i }}{% endfor %}", "1a2b"),
        ("{% for k, v in mapping %}{{ k }}={{ v }};{% endfor %}", "x=1;y=2;"),
        ("{% for k, v in pairs %}{{ k }}={{ v }};{% endfor %}", "p=1;q=2;"),
        ("{{ mapping | dump }} {{ mapping | dump(1) }}", '{"x":1,"y":2} {\n "x": 1,\n "y": 2\n}'),
        ("{{ thing.title }}", "<b> & 'it's'"),
        ("{% raw %}{{ a === b }}{% endraw %}", "{{ a === b }}"),
        ("{% verbatim %}{{ a && b }}{% endverbatim %}!", "{{ a && b }}!"),
        ("{%- set x = 'v' -%} {{- x -}} end", "vend"),
        ("{{ items | join(', ') }} {{ '[1,2]' | load | last }}", "a, b 2"),
        ("{% switch name %}{% case 'Ada' %}one{% default %}two{% endswitch %}", "one"),
        ("{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}", "12"),
        ("{{ 'x' if on else 'y' }} {{ 7 // 2 }} {{ 2 ** 3 }} {{ 1 + 'a' }}", "x 3 8 1a"),
        ("{{ r/a+/g.test('caat') }} {{ range(3) }} {{ items | batch(1) | dump }}", None),
        ("text without marks", "text without marks"),
        ("{{ on }} {{ mapping }} {{ items }}", "true [object Object] a,b"),
    ],
)
def test_a_text_is_rendered_by_nunjucks(template: str, rendered: str | None) -> None:
    text = render_text(Template(template), VALUES)
    assert rendered is None or text == rendered


@pytest.mark.parametrize(
    "template", ["{% if %}", "{{ name", "{{ a ? b : c }}", "{% include 'x' %}", "{{ name() }}"]
)
def test_what_is_not_a_template_says_so(template: str) -> None:
    with pytest.raises(ScriptError):
        render_text(Template(template), VALUES)


def test_many_cases_are_rendered_together_and_each_fails_alone() -> None:
    template = Template("{% if fail %}{{ nothing() }}{% endif %}{{ q }}")
    first, second, third = render_prompts(
        template, [{"q": 1, "fail": 0}, {"q": 2, "fail": 1}, {"q": 3, "fail": 0}]
    )
    assert (first, third) == ("1", "3")
    assert isinstance(second, ScriptError)
    assert "nothing" in second.message


def test_what_a_template_takes_from_outside() -> None:
    template = Template(
        "{{ a.b }}{{ c | default('x') }}{% if d %}{{ d }}{% endif %}{% for i in e %}{{ i }}"
        "{{ loop.index }}{% endfor %}{% set f = g %}{{ f }}{{ h | shout }}{{ j or 1 }}"
    )
    found = analyse(template)
    assert found.needed == ("a", "e", "g", "h")
    assert found.optional == ("c", "d", "j")
    assert found.unknown_filters == ("shout",)


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("return given.length", Result("number", 3)),
        ("return undefined", Result("undefined")),
        ("return 0 / 0", Result("number")),
        ("return Promise.resolve([1])", Result("object", [1])),
        ("return new Promise(r => setTimeout(() => r(7), 60000))", Result("number", 7)),
        ("console.log('x'); return structuredClone({a: 1})", Result("object", {"a": 1})),
        ("return new Date('2024-02-29').getFullYear()", Result("number", 2024)),
        ("const f = n => n ? 1 + f(n - 1) : 0; return f(1000)", Result("number", 1000)),
    ],
)
def test_a_script_returns_what_it_makes_of_what_it_is_given(code: str, result: Result) -> None:
    assert call(code, ["abc"], names=["given"]) == result


def test_chance_is_the_same_in_every_call() -> None:
    assert call("return Math.random()", []) == call("return Math.random()", [])


@pytest.mark.parametrize(
    ("source", "name", "value"),
    [
        ("module.exports = (a) => a + 1", None, 2),
        ("module.exports = { one: a => 1, two: async a => 2 }", "two", 2),
        ("exports.default = function (a) { return a }", None, 1),
    ],
)
def test_a_file_exports_its_function(source: str, name: str | None, value: int) -> None:
    assert call(source, [1], file=True, name=name).value == value


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("for (;;);", "more than 3 s"),
        ("return 'x'.repeat(2 ** 29) + 'y'.repeat(2 ** 29)", "memory|out of memory|string length"),
        ("const all = []; for (;;) all.push('x'.repeat(1e6))", "memory|more than 3 s"),
        ("const f = () => f() + 1; return f()", "call stack|nested calls"),
        ("return new Promise(() => {})", "never settled"),
        ("return require('fs').readFileSync('/etc/passwd', 'utf8')", "require needs Node"),
        ("return process.env.HOME", "process needs Node"),
        ("return fetch('http://localhost')", "fetch needs Node"),
        ("return Date.now()", "clock"),
        ("return new Date()", "clock"),
    ],
)
def test_what_does_not_end_or_is_not_there_is_stopped_and_the_next_call_is_unharmed(
    code: str, words: str
) -> None:
    with pytest.raises(ScriptLimitError, match=words):
        call(code, [])
    assert call("return [1, 2].map(x => x * 2)", []).value == [2, 4]


def test_what_a_script_changes_does_not_outlive_it() -> None:
    call("Array.prototype.map = () => 'changed'; globalThis.left = 1; return 1", [])
    assert call("return [[1].map(x => x), typeof left]", []).value == [[1], "undefined"]


def test_what_a_template_changes_does_not_outlive_it() -> None:
    code = "Object.prototype.left = 1; Array.prototype.join = null; globalThis.JSON = null"
    render_text(Template("{{ ''.constructor.constructor(code)() }}"), {"code": code})
    assert render_text(Template("{{ left }}{{ items | join }}{{ items | dump }}"), VALUES) == (
        'ab["a","b"]'
    )


@pytest.mark.parametrize("code", ["for (;;);", "return 'x'.repeat(1e9) + 1"])
def test_a_template_without_end_is_stopped_and_the_next_is_unharmed(code: str) -> None:
    with pytest.raises(ScriptLimitError):
        render_prompt(Template("{{ ''.constructor.constructor(code)() }}"), {"code": code})
    assert render_prompt(Template("{{ name | upper }}"), VALUES) == "ADA"


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("output === 'a';", "return output === 'a'"),
        ("const s = output; s === 'a;b'", "const s = output; return s === 'a;b'"),
        ("let x = 1;", "let x = 1"),
        ("const f = () => { return 1; }", "const f = () => { return 1; }"),
        ("let a = `;`; /;'/.test(a) || `;`", "let a = `;`; return /;'/.test(a) || `;`"),
        ("var a = 1; {pass: true}", "var a = 1; return {pass: true}"),
        ("if (a) {\n return 1 }\n", "if (a) {\n return 1 }"),
    ],
)
def test_one_line_of_code_is_an_expression(code: str, body: str) -> None:
    assert function_body(code) == body


def test_syntax_is_checked_without_running() -> None:
    assert compile_error("return output", ["output"]) is None
    assert "SyntaxError" in (compile_error("return const x") or "")


def test_after_ctrl_c_the_next_script_gets_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Child[Any], seconds: float | None = None) -> Any:
        raise KeyboardInterrupt

    assert call("return 1", []).value == 1
    with monkeypatch.context() as patch:
        patch.setattr(Child, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call("return 2", [])
    assert call("return 3", []).value == 3
