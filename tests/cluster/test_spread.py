"""Requests that are spread over children of this process: the seam without a network."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.cluster.local import LocalHands
from localprompt.cluster.room import Reply, Room
from localprompt.errors import InputError, WorkerError
from localprompt.evaluate.merging import merge
from localprompt.evaluate.shards import write_part
from localprompt.evaluate.spread import AT_HAND, _Round, check_spreadable
from localprompt.evaluate.summarize import load_result
from localprompt.models.store import add_model
from localprompt.records.model import AdapterUse
from localprompt.records.work import Done, Hand
from tests.cluster.harness import ClusterLab, figures, rows
from tests.models.tiny_gguf import tiny_gguf
from tests.sample_runs import make_run


def test_two_workers_give_the_table_of_this_process(lab: ClusterLab) -> None:
    lab.write("cases.csv", rows(150))
    unbroken = lab.here(lab.plan())
    with LocalHands(2) as hands:
        spread = lab.carry_out(lab.plan(), hands)
    assert lab.rows_of(spread) == lab.rows_of(unbroken)
    assert figures(spread) == figures(unbroken)
    assert spread.complete
    assert sum(use.answered for use in spread.uses) == 150


def test_closing_ends_what_is_worked_on_and_begins_nothing_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[bytes | None] = []
    working, closed = threading.Event(), threading.Event()

    def answer(room: Room, opening: bytes, line: bytes | None) -> Reply:
        begun.append(line)
        working.set()
        assert closed.wait(30)
        return Reply("failed", cause="it was closed")

    monkeypatch.setattr(Room, "answer", answer)
    monkeypatch.setattr(Room, "close", lambda _: closed.set())
    with LocalHands(1) as hands:
        hands.give("worker 1", msgspec.Raw(b"1"))
        hands.give("worker 1", msgspec.Raw(b"2"))
        assert working.wait(30)
    assert begun == [b"1"]


VARIED = """
prompts: ["Is this good or bad? {{ text }}", "One word, good or bad: {{ text }}"]
providers: [small, large]
evaluateOptions: {repeat: 2}
defaultTest:
  assert: [{type: javascript, value: output.length < 4, metric: short}]
tests: file://cases.csv
"""


def test_several_models_prompts_and_repetitions_give_the_table_and_the_parts_of_this_process(
    lab: ClusterLab, tmp_path: Path
) -> None:
    weights = lab.home / "models" / "large.gguf"
    weights.write_bytes(tiny_gguf() + b"\0" * 32)
    add_model(weights, name="large")
    lab.write("tones.yaml", VARIED)
    lab.write("cases.csv", rows(40))
    unbroken = lab.here(lab.plan())
    parts = []
    with LocalHands(2) as hands:
        spread = lab.carry_out(lab.plan(), hands)
        for number in (1, 2):
            part = lab.carry_out(lab.plan(shard=(number, 2)), hands)
            parts.append(tmp_path / f"part{number}.jsonl")
            with parts[-1].open("w", encoding="utf-8", newline="") as stream:
                write_part(part.evaluation, lab.store, stream)
    merged = load_result(merge(parts, lab.store), lab.store)
    for result in (spread, merged):
        assert len(result.targets) == 4
        assert lab.rows_of(result) == lab.rows_of(unbroken)
        assert figures(result) == figures(unbroken)
    assert {use.hand for use in merged.uses} <= {
        f"worker {worker}, part {part}" for worker in (1, 2) for part in (1, 2)
    }


def test_every_result_and_every_use_names_who_worked(lab: ClusterLab) -> None:
    lab.write("cases.csv", rows(120, " slow 2"))
    with LocalHands(2) as hands:
        spread = lab.carry_out(lab.plan(), hands)
    workers = {use.hand for use in spread.uses}
    assert workers == {"worker 1", "worker 2"}
    assert all(use.machine is not None and use.machine.cpu for use in spread.uses)
    named = {result.machine for result in lab.store.results(spread.evaluation.id)}
    assert named == workers
    assert spread.targets[0].ttft_seconds is None, "times of two workers are not pooled"


def test_a_crash_is_tried_again_and_nothing_is_lost(lab: ClusterLab) -> None:
    mark = lab.folder / "mark"
    lab.write("cases.csv", rows(60) + f"once {mark} a fine day,good\n")
    with LocalHands(1) as hands:
        spread = lab.carry_out(lab.plan(), hands)
    assert mark.exists()
    assert spread.complete
    assert spread.targets[0].passes.errors == 0


def test_what_kills_its_worker_three_times_fails_with_the_cause_and_the_rest_goes_on(
    lab: ClusterLab,
) -> None:
    lab.write("cases.csv", rows(60) + "die,good\n" + rows(40, " again").partition("\n")[2])
    with LocalHands(2) as hands:
        spread = lab.carry_out(lab.plan(), hands)
    assert spread.complete
    failed = [r for r in lab.store.results(spread.evaluation.id) if r.error]
    assert "die" in {str(r.vars["text"]) for r in failed}
    assert 1 <= len(failed) <= 16, "halves keep the damage small"
    assert all("SIGKILL" in str(r.error) for r in failed)
    assert all("3 tries" in str(r.error) for r in failed)


def test_what_one_hand_failed_at_is_for_the_others_first() -> None:
    machine = make_run().machine
    bad, good = Hand("bad", machine), Hand("good", machine)
    both, alone = frozenset({"bad", "good"}), frozenset({"bad"})
    requests: list[Any] = list(range(40))
    round_ = _Round(iter(requests), 40, {})
    first = next(round_.for_hand(bad, AT_HAND - 1, both))
    assert not list(round_.settle(first, Done(1, "bad", cause="it died")))
    again = list(round_.for_hand(bad, 0, both))
    assert all(not set(portion.requests) & set(first.requests) for portion in again)
    assert [
        number for portion in round_.for_hand(good, 0, both) for number in portion.requests
    ] == first.requests
    for portion in again:
        assert not list(round_.settle(portion, Done(2, "bad", cause="it died")))
    assert list(round_.for_hand(bad, 0, both)) == []
    assert len(list(round_.for_hand(bad, 0, alone))) == AT_HAND, "where nobody else is there"


def test_while_another_gets_ready_a_hand_has_one_portion_and_no_more_than_its_share() -> None:
    machine = make_run().machine
    first, second = Hand("first", machine), Hand("second", machine)
    round_ = _Round(iter(list[Any](range(80))), 80, {})
    early = list(round_.for_hand(first, 0, frozenset({"first"}), opening=True))
    assert [len(portion.requests) for portion in early] == [20]
    assert list(round_.for_hand(first, 1, frozenset({"first"}), opening=True)) == []
    both = frozenset({"first", "second"})
    assert sum(len(p.requests) for p in round_.for_hand(second, 0, both)) >= 30


def test_an_error_of_the_engine_is_the_portions_failure(lab: ClusterLab) -> None:
    lab.write("cases.csv", "text,__expected\nrefuse,good\n")
    with LocalHands(1) as hands:
        spread = lab.carry_out(lab.plan(), hands)
    (failed,) = lab.store.results(spread.evaluation.id)
    assert "llama_decode failed" in str(failed.error)
    assert failed.score.passed is False


@pytest.mark.parametrize(("what", "said"), [("small", "would not fit"), ("wrong", "compute right")])
def test_workers_that_cannot_open_the_model_end_the_evaluation_with_their_reason(
    lab: ClusterLab, monkeypatch: pytest.MonkeyPatch, what: str, said: str
) -> None:
    lab.write("cases.csv", rows(4))
    monkeypatch.setenv("SCRIPTED_WORKER", what)
    with LocalHands(2) as hands, pytest.raises(WorkerError, match=said):
        lab.carry_out(lab.plan(), hands)


def test_weights_that_are_not_the_ones_asked_for_are_refused(lab: ClusterLab) -> None:
    lab.write("cases.csv", rows(4))
    planned = lab.plan()
    weights = lab.home / "models" / "small.gguf"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with LocalHands(1) as hands, pytest.raises(WorkerError, match=r"sha256|do not match"):
        lab.carry_out(planned, hands)


def test_answers_that_are_known_are_not_asked_for_again(lab: ClusterLab) -> None:
    lab.write("cases.csv", rows(40))
    lab.here(lab.plan(cached=True))
    with LocalHands(1) as hands:
        spread = lab.carry_out(lab.plan(cached=True), hands)
    assert spread.targets[0].cached == 40
    assert spread.complete


def test_an_interrupted_evaluation_goes_on_without_the_cluster(
    lab: ClusterLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localprompt.evaluate.runner._SECONDS_BETWEEN_SAVES", 0)
    lab.write("cases.csv", rows(200))
    unbroken = lab.here(lab.plan())
    planned = lab.plan()

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with LocalHands(2) as hands, pytest.raises(KeyboardInterrupt):
        lab.carry_out(planned, hands, on_progress=interrupt)
    done = len(lab.store.done(planned.evaluation.id, 0))
    assert 0 < done < 200
    resumed = lab.here(lab.resumed(planned.evaluation.id))
    assert lab.rows_of(resumed) == lab.rows_of(unbroken)


def test_cases_that_see_earlier_answers_and_adapters_are_not_spread(lab: ClusterLab) -> None:
    lab.write("cases.csv", rows(4))
    planned = lab.plan()
    request = planned.evaluation.request
    check_spreadable(planned.suite, request)
    with pytest.raises(InputError, match="cannot be spread"):
        check_spreadable(msgspec.structs.replace(planned.suite, in_turn=True), request)
    adapter = AdapterUse("a", "a.gguf", "ab" * 32)
    settings = msgspec.structs.replace(request.settings, adapters=(adapter,))
    with pytest.raises(InputError, match="adapters are not given"):
        check_spreadable(planned.suite, msgspec.structs.replace(request, settings=settings))
