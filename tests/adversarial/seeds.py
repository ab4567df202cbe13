"""What works as it stands: the generators spoil it."""

from __future__ import annotations

PROMPT = """---
name: say
description: Says something.
model:
  id: tiny
  options:
    temperature: 0
    maxOutputTokens: 4
    stopSequences: [x]
inputs:
  text: {kind: string, required: true}
  count: {kind: integer, default: 3}
outputs:
  a: {kind: string}
metadata:
  localprompt:
    cases: cases.jsonl
    choices: [red, blue]
---
system:
Be short. {{ count }}
user:
Say {{ text }} {% if count > 2 %}twice{% endif %}.
assistant:
"""
SUITE = """description: colours
prompts:
  - 'Say {{ x }}.'
  - file://prompt.txt
providers: [tiny]
defaultTest:
  vars: {y: 1}
  assert:
    - type: contains
      value: '{{ x }}'
tests:
  - vars: {x: red, z: [a, b]}
    assert:
      - {type: regex, value: 'r.d', weight: 2}
      - {type: not-equals, value: blue, metric: blueness}
      - {type: is-json, value: {type: object, properties: {a: {$ref: '#/b'}}}}
  - vars: file://vars.yaml
  - file://rows.csv
scenarios:
  - config: [{vars: {x: green}}]
    tests: [{assert: [{type: levenshtein, threshold: 3, value: green}]}]
evaluateOptions: {repeat: 1}
"""
TASK = """task: colours
include: base.yaml
dataset_path: csv
dataset_kwargs: {data_files: {test: rows.csv}}
test_split: test
fewshot_split: test
num_fewshot: 1
output_type: multiple_choice
description: "Colours. "
doc_to_text: "{{ x }} is"
doc_to_choice: [red, blue]
doc_to_target: 0
fewshot_config: {sampler: first_n, target_delimiter: ": "}
metric_list: [{metric: acc, aggregation: mean}, {metric: acc_norm}]
filter_list:
  - {name: a, filter: [{function: regex, regex_pattern: '(r.d)'}, {function: take_first}]}
generation_kwargs: {until: ["\\n"], max_gen_toks: 3, do_sample: false}
metadata: {version: 1}
"""
BENCH = """models: [tiny]
prompts:
  - {prompt: say, params: {text: one}}
settings: {n_threads: [1]}
repetitions: 2
synthetic: {prefill: [8], decode: [2]}
"""
CSV = 'text,id,__expected,__metric\nred,1,contains:red,m\n"b,lue",2,equals:blue,m\n'
JSONL = '{"text": "red", "expected": "red"}\n{"text": "blue", "expected": "blue", "id": "b"}\n'
CARD = """name = "other"
file = "other.gguf"
sha256 = "{}"
size_bytes = 5
description = "x"

[licence]
name = "mit"

[[sources]]
kind = "file"
path = "other"
""".format("0" * 64)
PRICES = "gpu,provider,usd_per_gpu_hour,read_on,source\nH100,x,2.5,2026-01-01,y\n"

SCHEMA = """{
  "type": "object",
  "properties": {
    "name": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]+$"},
    "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 99, "multipleOf": 3},
    "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1, "uniqueItems": true},
    "when": {"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]},
    "more": {"type": "object", "patternProperties": {"^x": true}, "additionalProperties": false},
    "b": {"allOf": [{"$ref": "#/properties/age"}, {"not": {"const": 3}}]}
  },
  "required": ["name"],
  "$defs": {"tag": {"enum": ["a", "b", 1, null]}}
}
"""
LARK = """start: greeting ("," NAME)*
greeting: "a" | "b" greeting | "c"{1,3}
NAME: /[a-z]+/
json: %json {"type": "integer"}
%ignore /[ \\t]+/
"""
GBNF = """root ::= item ("," item)*
item ::= "a" | [b-d]+ | "x"{2,4} ws
ws ::= [ \\t\\n]?
"""
FIELDS = "name, age int, tags [str], share float, sure bool"
WORDINGS = """# short
{{ text }}?
---
system:
Say a colour.

user:
Text: {{ text }}
Colour:
---
user:
{% raw %}{{ x }}{% endraw %} {{ text }}
"""
LABELS = "red: [rot, ruby]\nblue: [blau, azure]\n"
PLAIN = """---
name: plain
inputs:
  text: {kind: string, required: true}
metadata:
  localprompt:
    choices: [red, blue]
---
system:
Which colour is it?
user:
Text: {{ text }}
Colour:
"""
MANY = "".join(
    f'{{"text": "thing {number} of many", "expected": "{("red", "blue")[number % 2]}"}}\n'
    for number in range(40)
)
SCRIPTED = """prompts: ['Say {{ x | loud }}.', file://ask.mjs]
providers: [tiny]
nunjucksFilters: {loud: file://loud.js}
defaultTest:
  options: {transform: 'output.trim()'}
  assert:
    - {type: javascript, value: 'output.length > 1'}
    - {type: javascript, value: file://check.mjs}
    - {type: javascript, value: "const n = output.length; return {pass: n > 2, score: n / 9}"}
    - {type: python, value: 'len(output) > 1'}
    - {type: assert-set, threshold: 0.5, assert: [{type: javascript, value: 'context.vars.x'}]}
derivedMetrics: [{name: a, value: 'b / c'}]
tests:
  - {vars: {x: red, list: [a, b]}}
  - {vars: {x: blue}, options: {transformVars: '({...vars, y: 1})'}}
"""
SCRIPTS = {
    "check.mjs": """import { near } from './helper.js';
import words from './words.json';
export default async (output, context) => {
  const score = near(output, words[0]);
  return { pass: score > 0.5, score, reason: `near ${context.vars.x}`, namedScores: { b: 1 } };
};
""",
    "helper.js": "module.exports = { near: (a, b) => (a.includes(b) ? 1 : 0) };\n",
    "loud.js": "module.exports = (text) => text.toUpperCase();\n",
    "ask.mjs": "export default ({ vars }) => [{ role: 'user', content: `Say ${vars.x}` }];\n",
    "words.json": '["red", "blue"]\n',
}
JAVASCRIPT = (
    "while (true) {}", "'x'.repeat(2 ** 30)", "new Array(1e9).fill(0)", "require('fs')",
    "import fs from 'node:fs';", "process.exit(1)", "throw new Error('\\x1b[2J')", "throw null",
    "new Promise(() => {})", "return { pass: 1, score: NaN }", "return { pass: 1, score: 1e999 }",
    "return Symbol('x')", "return 10n ** 9999n", "const a = {}; a.a = a; return a", "/* ", "});",
    "/(a+)+$/.test('a'.repeat(40) + '!')", "globalThis.__internals = null", "JSON.parse = null",
    "Object.prototype.toJSON = () => 1", "Array.prototype.map = null", "eval('1')", "new Date()",
    "Function('return this')()", "export { a as b };", "export const c = 1;", "`${`${`",
    "({ get pass() { throw 1 } })", "function f() { return f(); } f()", "return [[[[]]]]",
    "await import('./helper.js')", "'\\ud800'", "import a from './check.mjs';", "[" * 3000,
    "import x from '../../etc/passwd';", "(" * 3000, ";" * 50_000, "setTimeout(() => {}, 1e9)",
    "return { componentResults: 7 }", "new Proxy({}, { get() { throw 1 } })", "Math.random()",
)  # fmt: skip
CONFIG = 'model = "tiny"\nthreads = 1\nmax_memory = "4GiB"\nlog = true\ncolours = false\n'
PROFILE = """{
  "name": "fast", "created_at": "2026-01-01T00:00:00", "localprompt_version": "1",
  "model": "tiny", "model_sha256": "", "machine_id": "", "uses": "tiny", "uses_sha256": "",
  "settings": {"n_threads": 1, "n_batch": 64}, "tuning": "x", "speed_up": 1.5
}
"""
UNDER_WAY = '{"kind": "eval", "pid": 1, "title": "x", "done": 3, "total": 9}'
