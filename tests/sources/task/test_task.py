"""Tasks of lm-evaluation-harness: the texts that it makes, and what is refused by name.

The expected texts and draws were made by lm-evaluation-harness 0.4.13 from the same files.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from localprompt.errors import DatasetError
from localprompt.records.score import Expectation
from localprompt.sources.suite.records import EvalCase, EvalSuite
from localprompt.sources.task.file import is_task
from localprompt.sources.task.suite import suite_from_task

CAPITALS = """
task: capitals
dataset_path: json
dataset_kwargs: {data_files: {test: capitals.jsonl, train: shots.jsonl}}
test_split: test
fewshot_split: train
num_fewshot: 2
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
"""
ROWS = """{"question": "Capital of France?", "choices": ["Paris", "Lyon", "Rome"], "answer": 0}
{"question": "Capital of Italy?", "choices": ["Paris", "Milan", "Rome"], "answer": 2}
{"question": "Capital of Portugal?", "choices": ["Porto", "Lisbon"], "answer": 1}
"""
SHOTS = """{"question": "Capital of Spain?", "choices": ["Madrid", "Rome"], "answer": 0}
{"question": "Capital of Greece?", "choices": ["Sofia", "Athens"], "answer": 1}
{"question": "Capital of Norway?", "choices": ["Oslo", "Bergen"], "answer": 0}
"""
REVIEWS = """
task: reviews
dataset_path: csv
dataset_kwargs: {data_files: {test: reviews.csv}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{text}}"
doc_to_choice: ["negative", "positive"]
doc_to_target: label
"""
LOOP = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"


def task(folder: Path, text: str, **files: str) -> EvalSuite:
    (folder / "task.yaml").write_text(text, encoding="utf-8")
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content, encoding="utf-8")
    return suite_from_task(folder / "task.yaml")


def capitals(folder: Path, more: str = "") -> list[EvalCase]:
    return list(task(folder, CAPITALS + more, capitals__jsonl=ROWS, shots__jsonl=SHOTS).cases())


def reviews(folder: Path, more: str, rows: str) -> list[EvalCase]:
    return list(task(folder, REVIEWS + more, reviews__csv=rows).cases())


def plain(expectations: Any) -> list[tuple[str, Any, float]]:
    return [(e.type, e.value, e.weight) for e in expectations if isinstance(e, Expectation)]


def test_examples_and_question_stand_as_lm_eval_writes_and_draws_them(tmp_path: Path) -> None:
    first, second, third = capitals(tmp_path)
    assert first.prefix == (
        "Question: Capital of Greece?\nAnswer: Athens\n\n"
        "Question: Capital of Spain?\nAnswer: Madrid\n\n"
        "Question: Capital of France?\nAnswer:"
    )
    assert second.prefix.startswith("Question: Capital of Spain?\nAnswer: Madrid\n\nQuestion: ")
    assert "Norway" in second.prefix
    assert third.prefix.startswith("Question: Capital of Norway?\nAnswer: Oslo\n\n")


def test_choices_target_and_usual_metrics_are_the_tasks(tmp_path: Path) -> None:
    case = capitals(tmp_path)[1]
    assert (case.choices, case.lead) == (("Paris", "Milan", "Rome"), " ")
    assert plain(case.expectations) == [("acc", 2, 1.0), ("acc_norm", 2, 0.0)]


def test_the_first_examples_are_taken_where_the_task_says_so(tmp_path: Path) -> None:
    cases = capitals(tmp_path, "fewshot_config: {sampler: first_n}\n")
    assert all(case.prefix.startswith("Question: Capital of Spain?") for case in cases)


def test_a_row_is_not_its_own_example(tmp_path: Path) -> None:
    rows = "text,label\na,1\nb,0\nc,1\n"
    cases = reviews(tmp_path, "fewshot_split: test\nnum_fewshot: 2\n", rows)
    for case in cases:
        *shots, own = case.prefix.split("\n\n")
        assert len(shots) == 2
        assert not any(shot.startswith(own) for shot in shots)


def test_too_few_examples_are_told_with_how_many_there_are(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="too few rows to take examples from") as caught:
        reviews(tmp_path, "fewshot_split: test\nnum_fewshot: 2\n", "text,label\na,1\nb,0\n")
    assert caught.value.found == "2 rows"


def test_cells_of_csv_have_the_types_of_their_columns(tmp_path: Path) -> None:
    text = 'doc_to_text: "{{text}} {{n}} {{x}} {{sure}} {{part}}"\n'
    rows = "text,label,n,x,sure,part\nNA,1,7,0.5,true,1\nb,0,8,2,False,\n"
    (tmp_path / "task.yaml").write_text("")
    first, second = reviews(tmp_path, "", rows.replace("text,", "text,", 1))
    assert first.vars == {
        "text": None, "label": 1, "n": 7, "x": 0.5, "sure": True, "part": 1.0,
    }  # fmt: skip
    assert second.vars["part"] is None
    written = task(tmp_path, REVIEWS.replace('doc_to_text: "{{text}}"\n', text), reviews__csv=rows)
    assert [case.prefix for case in written.cases()] == [
        "None 7 0.5 True 1.0",
        "b 8 2.0 False None",
    ]


def test_json_may_be_a_list_lines_or_a_field(tmp_path: Path) -> None:
    base = CAPITALS.replace("num_fewshot: 2\n", "").replace(", train: shots.jsonl", "")
    listed = "[" + ",".join(ROWS.strip().split("\n")) + "]"
    assert len(list(task(tmp_path, base, capitals__jsonl=listed).cases())) == 3
    inside = base.replace("{data_files", "{field: rows, data_files")
    wrapped = f'{{"rows": {listed}}}'
    assert len(list(task(tmp_path, inside, capitals__jsonl=wrapped).cases())) == 3


def test_a_generated_answer_goes_through_each_pipeline_to_each_metric(tmp_path: Path) -> None:
    text = """
task: sums
dataset_path: json
dataset_kwargs: {data_files: {validation: sums.jsonl}}
validation_split: validation
output_type: generate_until
description: "Add.\\n"
doc_to_text: "Q: {{q}}\\nA:"
doc_to_target: "{{a}}"
gen_prefix: "It is"
generation_kwargs: {until: ["\\n"], max_gen_toks: 9, do_sample: false, temperature: 0.7}
filter_list:
  - {name: strict, filter: [{function: regex, regex_pattern: "(\\\\d+)"}, {function: take_first}]}
  - {name: loose, filter: [{function: remove_whitespace}, {function: take_first}]}
metric_list: [{metric: exact_match, ignore_case: true}]
"""
    suite = task(tmp_path, text, sums__jsonl='{"q": "3+4?", "a": 7}\n')
    (case,) = suite.cases()
    assert case.prefix == "Add.\nQ: 3+4?\nA: It is"
    assert plain(case.expectations) == [("exact_match", ["7"], 1.0), ("exact_match", ["7"], 0.0)]
    assert [e.metric for e in case.expectations] == ["exact_match,strict", "exact_match,loose"]
    template = suite.prompts[0].template
    assert template.options == {
        "temperature": 0.0, "maxOutputTokens": 9, "stopSequences": ["\n"],
    }  # fmt: skip
    assert not template.closed


def test_a_text_whose_last_word_is_asked_for_is_a_closed_answer_of_one(tmp_path: Path) -> None:
    text = """
task: last
dataset_path: json
dataset_kwargs: {data_files: {test: last.jsonl}}
test_split: test
output_type: loglikelihood
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' ' + text.split(' ')[-1]}}"
"""
    (case,) = task(tmp_path, text, last__jsonl='{"text": "the cat sat"}\n').cases()
    assert (case.prefix, case.choices, case.lead) == ("the cat", (" sat",), "")
    assert plain(case.expectations) == [("perplexity", 0, 0.0), ("acc", 0, 1.0)]


def test_an_included_file_stands_below_the_own_keys(tmp_path: Path) -> None:
    (tmp_path / "_base_yaml").write_text(CAPITALS)
    text = "include: _base_yaml\ntask: other\nnum_fewshot: 0\n"
    suite = task(tmp_path, text, capitals__jsonl=ROWS, shots__jsonl=SHOTS)
    assert suite.name == "other"
    assert next(iter(suite.cases())).prefix == "Question: Capital of France?\nAnswer:"


def test_a_group_beside_a_task_s_name_is_a_tag_as_in_older_releases(tmp_path: Path) -> None:
    assert len(capitals(tmp_path, "group: [geography]\ngroup_alias: world\n")) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: a\ndoc_to_text: !function utils.text\nprocess_docs: !function utils.docs\n",
         "runs Python of its author"),
        ("task: a\nmetric_list:\n  - metric: f1\n    aggregation: !function \"mine.f1\"\n",
         "runs Python of its author"),
        ("group: all\ntask: [a, b]\n", "a group of tasks: all"),
        ("task: a\ninclude: missing.yaml\n", "no such file"),
        ("task: a\ninclude: task.yaml\n", "too many includes"),
        ("task: a\ndataset_path: allenai/ai2_arc\ndataset_name: ARC-Easy\ntest_split: test\n"
         "doc_to_text: q\ndoc_to_target: a\n", "the data is on a hub"),
        (CAPITALS.replace("capitals.jsonl", "https://example.org/a.jsonl"), "not on this machine"),
        (CAPITALS.replace("capitals.jsonl", "nothing.jsonl"), "no such data file"),
        (CAPITALS.replace("capitals.jsonl", "../outside.jsonl"), "outside its own folder"),
        (CAPITALS.replace("test_split: test", "test_split: trial"), "has no split 'trial'"),
        (CAPITALS + "metric_list: [{metric: bleu}]\n", "'bleu' is not computed here"),
        (CAPITALS + "metric_list: [{metric: f1}]\n", "f1 is of two choices"),
        (CAPITALS + "metric_list: [{metric: acc, regexes_to_ignore: ['(']}]\n",
         "regexes_to_ignore are not regular expressions"),
        (CAPITALS + "gen_prefix: [a]\n", "gen_prefix is not text"),
        (CAPITALS + "fewshot_config: {target_delimiter: 5}\n", "target_delimiter is not text"),
        (CAPITALS.replace("multiple_choice", "generate_until")
         + "generation_kwargs: {max_gen_toks: many}\n", "max_gen_toks is not a number"),
        (CAPITALS + "filter_list: [{name: x, filter: [{function: regex, group_select: a}]}]\n",
         "group_select is not a whole number"),
        (CAPITALS + "repeats: 4\n", "an answer is made once"),
        (CAPITALS + "process_results: x\n", "'process_results' is not supported"),
        (CAPITALS + "doc_to_image: picture\n", "reads no images"),
        (CAPITALS + "filter_list: [{name: x, filter: [{function: arg_max}]}]\n",
         "the filter 'arg_max' is not supported"),
        (CAPITALS.replace("multiple_choice", "loglikelihood_rolling"), "measured elsewhere"),
        (CAPITALS.replace("multiple_choice", "[multiple_choice]"), "not an output type"),
        (CAPITALS.replace("doc_to_choice: choices\n", ""), "there is no doc_to_choice"),
        (CAPITALS.replace("doc_to_choice: choices", 'doc_to_choice: "{{question}}"'),
         "made no list of choices"),
        (CAPITALS.replace("doc_to_target: answer", "doc_to_target: 5"), "not one of the choices"),
        (CAPITALS.replace("{{question}}", "{{queston}}"), "'queston' is not defined"),
        (CAPITALS.replace('"Question: {{question}}\\nAnswer:"', '"{{answer}}"'),
         "gives a number, which stands for several texts"),
        (CAPITALS.replace("{{question}}", LOOP),
         "without end"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path.parent / "outside.jsonl").write_text(ROWS)
    with pytest.raises(DatasetError, match=message):
        task(tmp_path, text, capitals__jsonl=ROWS, shots__jsonl=SHOTS)


def test_a_hub_dataset_is_refused_with_how_to_bring_it(tmp_path: Path) -> None:
    text = CAPITALS.replace("dataset_path: json", "dataset_path: hub/arc\ndataset_name: easy")
    with pytest.raises(DatasetError) as caught:
        task(tmp_path, text)
    assert "datasets.load_dataset('hub/arc', 'easy')['test'].to_json('test.jsonl')" in str(
        caught.value.next_step
    )


def test_a_bad_row_is_told_with_its_line_or_passed_over(tmp_path: Path) -> None:
    rows = "text,label\na,1\nb,2\nc,0\n"
    with pytest.raises(DatasetError) as caught:
        reviews(tmp_path, "", rows)
    assert str(caught.value.where).endswith("reviews.csv:3")
    suite = suite_from_task(tmp_path / "task.yaml", skip_bad_rows=True)
    assert (suite.counts.cases, suite.counts.skipped_rows) == (2, 1)
    assert len(list(suite.cases())) == 2


def test_a_target_may_be_a_truth_value_or_a_number_with_a_point(tmp_path: Path) -> None:
    assert [c.expectations[0].value for c in reviews(tmp_path, "", "text,label\na,true\nb,false\n")
            if isinstance(c.expectations[0], Expectation)] == [1, 0]  # fmt: skip
    assert plain(reviews(tmp_path, "", "text,label\na,1.0\n")[0].expectations)[0] == ("acc", 1, 1.0)


@pytest.mark.parametrize("quote", ['"', "'"])
def test_keys_may_stand_in_quotes(tmp_path: Path, quote: str) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(f"{quote}include{quote}: base\n{quote}task{quote}: a\n")
    assert is_task(path)
    path.write_text(f"{quote}prompts{quote}: [a]\ntask: b\n")
    assert not is_task(path)


def test_a_suite_of_promptfoo_is_not_taken_for_a_task(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("prompts: [a]\ntests: [{vars: {task: b}}]\noutput_type: x\n")
    assert not is_task(path)
    path.write_text("# a task\ntask: mine\ndataset_path: json\n")
    assert is_task(path)


TABLE = """
task: reviews
dataset_path: csv
dataset_kwargs: {data_files: {test: reviews.tsv}, delimiter: "\\t"}
test_split: test
output_type: multiple_choice
doc_to_text: text
doc_to_choice: ["negative", "positive"]
doc_to_target: label
"""


def test_a_table_is_cut_into_rows_at_line_ends_alone(tmp_path: Path) -> None:
    rows = 'text\tlabel\nfine\u2028really\t1\n"two\nlines\x85"\t0\n'
    cases = list(task(tmp_path, TABLE, reviews__tsv=rows).cases())
    assert [case.prefix for case in cases] == ["fine\u2028really", "two\nlines\x85"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"\\t"', '";;"', "the delimiter is not one character"),
        ('"\\t"', "null", "the delimiter is not one character"),
        ("csv\ndataset_kwargs: {", "json\ndataset_kwargs: {field: [a], ", "field is not text"),
        ("output_type: multiple_choice", "output_type: [a]", "not an output type"),
        ('["negative", "positive"]', '"{{ choices }}"', "made no list of choices"),
    ],
)
def test_a_key_with_a_wrong_value_is_told_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in TABLE
    with pytest.raises(DatasetError, match=message):
        task(tmp_path, TABLE.replace(old, new), reviews__tsv="text\tlabel\tchoices\nx\t0\t{[1]}\n")


def test_a_long_cell_of_a_table_is_read(tmp_path: Path) -> None:
    before = csv.field_size_limit(131_072)  # as in a process that has read no other file yet
    try:
        rows = "text\tlabel\n" + "a" * 200_000 + "\t1\n"
        (case,) = task(tmp_path, TABLE, reviews__tsv=rows).cases()
    finally:
        csv.field_size_limit(before)
    assert len(case.prefix) == 200_000
