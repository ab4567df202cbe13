"""The evaluation peers without their programs: workloads, floor, answers, figures."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers import evaluation, workloads
from benchmarks.peers.contenders import Answers, promptfoo_texts
from benchmarks.peers.evaluation import CHOICES, Round, floor_seconds
from benchmarks.peers.loop import Looped, common_beginning
from benchmarks.peers.server import Server
from localprompt.errors import WorkerError

LOOPED = Looped(
    wall_seconds=10.0, answers=(), shared_tokens=400, own_tokens=600, generated_tokens=70
)


class Shouting(BaseHTTPRequestHandler):
    """Answers each prompt with its own words in capitals, as llama-server's form has it."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        refused = body["prompt"] == "refuse this"
        answer = json.dumps({"content": body["prompt"].upper()}).encode()
        self.send_response(500 if refused else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing to stderr."""


@pytest.fixture
def server() -> Iterator[Server]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Shouting) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield Server(http.server_address[1], slots=3)
        http.shutdown()
        thread.join()


def test_every_case_of_a_workload_is_another_one() -> None:
    for workload in (workloads.choices(200), workloads.texts(64)):
        assert len(set(workload.prompts)) == len(workload.cases)


def test_a_workload_is_the_same_every_time_and_longer_ones_begin_like_shorter_ones() -> None:
    assert workloads.choices(20) == workloads.choices(20)
    assert workloads.choices(20).prompts == workloads.choices(40).prompts[:20]


def test_both_labels_are_expected_equally_often() -> None:
    expected = [case.expected for case in workloads.choices(200).cases]
    assert expected.count("positive") == expected.count("negative") == 100


def test_a_label_is_read_from_the_beginning_of_a_completion() -> None:
    workload = workloads.choices(2)
    assert workload.answer_of(" Positive\n\nReview:") == "positive"
    assert workload.answer_of(" neither") == "neither"


def test_a_free_answer_is_compared_as_it_is() -> None:
    assert workloads.texts(2).answer_of(" Two words ") == " Two words "


def test_a_suites_template_and_rows_give_the_very_prompts_of_the_workload(tmp_path: Path) -> None:
    workload = workloads.choices(5)
    suite = yaml.safe_load(workloads.write_suite(workload, tmp_path, "http://x").read_text())
    assert suite["providers"][0]["config"]["apiBaseUrl"] == "http://x/v1"
    template = (tmp_path / "prompt.txt").read_text(encoding="utf-8")
    with (tmp_path / "cases.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(template.replace("{{ text }}", row["text"]) for row in rows) == workload.prompts
    assert [row["__expected"] for row in rows] == [
        f"icontains: {case.expected}" for case in workload.cases
    ]


def test_a_suite_of_free_answers_expects_nothing(tmp_path: Path) -> None:
    workloads.write_suite(workloads.texts(2), tmp_path, "http://x")
    assert (tmp_path / "cases.csv").read_text(encoding="utf-8").splitlines()[0] == "text"


@given(
    st.lists(st.integers(0, 3), max_size=5),
    st.lists(st.lists(st.integers(0, 3), max_size=5), min_size=1, max_size=5),
)
def test_the_common_beginning_is_common_and_cannot_be_longer(
    start: list[int], ends: list[list[int]]
) -> None:
    lists = [start + end for end in ends]
    size = common_beginning(lists)
    assert size >= len(start)
    assert len({tuple(one[:size]) for one in lists}) == 1
    assert min(map(len, lists)) == size or len({one[size] for one in lists}) > 1


def test_the_floor_of_choices_generates_nothing() -> None:
    floor = floor_seconds(LOOPED, workloads.choices(10), prefill=100.0, decode=10.0)
    assert floor == 10.0


def test_behind_a_shared_beginning_own_tokens_have_a_rate_of_their_own() -> None:
    floor = floor_seconds(
        LOOPED, workloads.choices(10), prefill=100.0, decode=10.0, own_prefill=50.0
    )
    assert floor == 4.0 + 12.0


def test_the_first_token_of_a_free_answer_comes_with_its_prompt() -> None:
    floor = floor_seconds(LOOPED, workloads.texts(10), prefill=100.0, decode=10.0)
    assert floor == 10.0 + 6.0


@pytest.mark.parametrize(("repacked", "least"), [(False, 1.1), (True, 1.6)])
def test_repacked_weights_have_targets_of_their_own(repacked: bool, least: float) -> None:
    one = one_round({"loop": 3.0}, repacked=repacked)
    loop = evaluation._figures([one], CHOICES)[1]
    assert (loop.a, loop.b, loop.ratio.median) == ("loop", "localprompt eval", 1.5)
    assert loop.target is not None
    assert loop.target.at_least == least


def test_the_best_number_of_slots_stands_beside_ours() -> None:
    one = one_round({"llama-server -np 4": 2.5})
    best = evaluation._figures([one], CHOICES)[2]
    assert (best.a, best.a_median, best.b) == ("llama-server -np 4", 2.5, "localprompt eval")


def test_promptfoo_is_left_out_where_it_was_not_run() -> None:
    without = evaluation._figures([one_round({})], CHOICES)
    beside = evaluation._figures([one_round({"promptfoo": 8.0})], CHOICES)
    assert "promptfoo" not in {figure.a for figure in without}
    assert [figure.met for figure in beside if figure.a == "promptfoo"] == [True]


def test_answers_that_differ_from_the_loops_are_counted() -> None:
    one = one_round({})
    one.answers["localprompt eval"] = Answers(2.0, ("positive", "negative"))
    note = evaluation._agreement(one, workloads.choices(2))
    assert "localprompt eval 1 of 2" in note
    assert "llama-server -np 1 2 of 2" in note


def test_promptfoos_answers_are_put_in_the_order_of_the_cases() -> None:
    rows = [
        {"testIdx": 1, "response": {"output": "b"}},
        {"testIdx": 0, "response": {"output": "a"}},
    ]
    assert promptfoo_texts({"results": {"results": rows}}) == ["a", "b"]


def test_a_case_without_an_answer_of_promptfoo_says_why() -> None:
    rows = [{"testIdx": 0, "response": {"error": "x"}, "error": "connection refused"}]
    with pytest.raises(WorkerError, match="connection refused"):
        promptfoo_texts({"results": {"results": rows}})


def test_a_servers_answers_come_back_in_the_order_of_the_prompts(server: Server) -> None:
    seconds, answers = server.complete_all([f"prompt {at}" for at in range(20)], 4)
    assert answers == [f"PROMPT {at}" for at in range(20)]
    assert seconds > 0


def test_a_request_that_the_server_refuses_is_an_error(server: Server) -> None:
    with pytest.raises(WorkerError, match="refused"):
        server.complete_all(["fine", "refuse this"], 4)


def one_round(walls: dict[str, float], *, repacked: bool = False) -> Round:
    """Two cases; ours takes 2 s, the floor 1.6 s, everybody else 3 s unless said otherwise."""
    names = ("loop", *(f"llama-server -np {slots}" for slots in evaluation.SLOTS))
    all_walls = {"localprompt eval": 2.0, **dict.fromkeys(names, 3.0), **walls}
    texts = (" positive", " positive")
    return Round(
        answers={name: Answers(wall, texts) for name, wall in all_walls.items()},
        floor_seconds=1.6,
        deep_floor_seconds=None,
        loop=LOOPED,
        repacked=repacked,
    )
