"""Which way through attention a request gets, from a table."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.engine.llama.proof.attention import contradiction
from localprompt.engine.llama.proof.attention_child import BATCHES, DEPTHS
from localprompt.engine.scripted import ScriptedEngine
from localprompt.records.attention import AttentionCost, AttentionTable, Heads
from localprompt.records.cell import Cell, MemoryLimit
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import Kind, RequestedSettings, Sampling
from localprompt.running.attention import MEASURING, attention_for
from localprompt.running.attention_choice import Attention, Request, choose
from localprompt.running.attention_costs import seconds
from tests.attention_tables import even, like_amx, table
from tests.models.tiny_gguf import METADATA, TENSORS, tiny_gguf


def request(prompt: int, kept: int = 0, answer: int = 128) -> Request:
    return Request(prompt, kept, answer, n_layer=30, kv_bytes_per_token=23_000, n_ubatch=512)


def test_measured_points_are_given_back_and_lines_drawn_between_them() -> None:
    one = table()
    for flash, tokens, depth in product((True, False), BATCHES, DEPTHS):
        assert seconds(one, flash, tokens, depth) == pytest.approx(like_amx(flash, tokens, depth))
    assert seconds(one, True, 1, 1024) == pytest.approx(like_amx(True, 1, 1024), rel=0.05)
    assert seconds(one, True, 1, 4096) == pytest.approx(like_amx(True, 1, 4096), rel=0.05)
    assert seconds(one, True, 63, 512) > 5 * seconds(one, True, 64, 512), "no tile below 64 tokens"


def test_a_long_prompt_and_a_long_answer_get_each_their_own() -> None:
    chosen = choose(request(2000), table(), may_relay=True)
    assert (chosen.flash_attn, chosen.flash_beginning) == (False, 1999)
    assert chosen.reason == "off after the first 1,999 tokens (decode behind 2,000 tokens)"
    assert chosen.saved_seconds > 1


def test_a_long_prompt_and_hardly_an_answer_stay_with_flash_attention() -> None:
    chosen = choose(request(2000, answer=1), table(), may_relay=True)
    assert chosen.flash_attn
    assert chosen.flash_beginning == 0


def test_without_memory_for_two_caches_one_way_is_taken_throughout() -> None:
    assert choose(request(2000), table(), may_relay=False).flash_beginning == 0


def test_what_follows_a_kept_beginning_is_evaluated_without() -> None:
    chosen = choose(request(540, kept=500, answer=4), table(), may_relay=True)
    assert (chosen.flash_attn, chosen.flash_beginning) == (False, 500)
    assert chosen.reason == ("off after the first 500 tokens (40 tokens behind 500 kept ones)")


def test_a_machine_on_which_it_makes_no_difference_keeps_flash_attention() -> None:
    for prompt, kept, answer in product((30, 300, 3000), (0, 20), (1, 300)):
        assert choose(request(prompt, kept, answer), table(even), may_relay=True).flash_attn is True


def test_no_choice_is_slower_than_either_way_throughout() -> None:
    one = table()
    for prompt, answer in product((30, 100, 500, 1000, 3000), (1, 16, 64, 300)):
        for slower in (0.5, 1.0, 2.0, 10.0):
            chosen = choose(
                request(prompt, answer=answer), table(slower_off=slower), may_relay=True
            )
            assert chosen.saved_seconds >= 0
            if slower == 10.0 and answer == 1:
                assert chosen.flash_attn, (prompt, answer)
    assert not choose(request(3000, answer=300), one, may_relay=False).flash_attn


def test_a_table_that_contradicts_itself_is_seen() -> None:
    assert not contradiction(table())
    costs = table().costs
    absurd = tuple(
        AttentionCost(c.flash_attn, c.tokens, c.depth, c.seconds / 100)
        if (c.tokens, c.depth) == (1, DEPTHS[-1])
        else c
        for c in costs
    )
    assert contradiction(AttentionTable(absurd, 1.0))
    assert contradiction(AttentionTable(costs[:-1], 1.0)), "and one that is not whole"


def test_a_rest_of_a_few_tokens_is_not_read_in_tiles() -> None:
    chosen = choose(request(1080), table(), may_relay=True)
    assert chosen.flash_beginning == 1024, "what is behind two batches makes no tile"
    assert choose(request(1200), table(), may_relay=True).flash_beginning == 1199


def test_a_prompt_that_is_hardly_answered_is_read_in_even_batches() -> None:
    one = msgspec.structs.replace(request(540, answer=1), smaller_ubatch=128)
    chosen = choose(one, table(), may_relay=False)
    assert (chosen.flash_attn, chosen.n_ubatch) == (True, 288)
    assert chosen.settings(RequestedSettings()).n_batch == 288
    assert chosen.reason == "on, in batches of 288: no rest below 64 tokens"
    assert choose(request(540, answer=1), table(), may_relay=False).n_ubatch is None, "not asked to"
    for tokens in (65, 511, 512, 530, 575, 1023, 1080, 3000):
        few = msgspec.structs.replace(request(tokens, answer=1), smaller_ubatch=128)
        size = choose(few, table(), may_relay=False).n_ubatch or 512
        assert size <= 512
        assert tokens % size == 0 or tokens % size >= 64


def test_re_laying_weighs_more_beside_what_many_threads_share() -> None:
    one = request(300, answer=16)
    assert choose(one, table(), may_relay=True).flash_beginning
    shared = msgspec.structs.replace(one, threads=64)
    assert not choose(shared, table(), may_relay=True).flash_beginning


def test_answers_under_a_schema_come_in_small_batches() -> None:
    one = request(400, answer=24)
    free = choose(one, table(), may_relay=False)
    held = choose(msgspec.structs.replace(one, step_tokens=3), table(), may_relay=False)
    assert not held.flash_attn
    assert held.saved_seconds > free.saved_seconds


def _cell(model: Path, kind: Kind, **settings: Any) -> Cell:
    return Cell(
        kind=kind,
        model=ModelRecord(name="starter", path=str(model), sha256=None),
        template=PromptTemplate(name="", body=""),
        params={},
        sampling=Sampling(),
        settings=RequestedSettings(**settings),
    )


def _chosen(cell: Cell, measured: AttentionTable | None = None, **request: Any) -> Attention:
    engine = ScriptedEngine(lambda _: [b"x"])
    engine.attention = measured
    given = {"prompt_tokens": 2000, "beginning_tokens": 0, "n_ctx": 2256, "baseline_bytes": None}
    return attention_for(cell, engine, **{**given, **request})


@pytest.mark.model
def test_a_bench_keeps_what_is_typed_and_says_what_would_be_chosen(starter_model: Path) -> None:
    own = _chosen(_cell(starter_model, "bench"), table())
    assert own.flash_attn is None
    assert own.reason is not None
    assert own.reason.startswith("llama.cpp's own; ask would take off after the first 1,999 tokens")
    typed = _chosen(_cell(starter_model, "bench", flash_attn=True), table())
    assert typed.flash_attn is True
    assert typed.reason is not None
    assert typed.reason.startswith("typed: on; ask would take off")


@pytest.mark.model
def test_a_tuning_is_chosen_for_as_its_user_will_be(starter_model: Path) -> None:
    assert _chosen(_cell(starter_model, "tune"), table()).flash_attn is False


@pytest.mark.model
def test_without_a_table_llama_cpp_chooses(starter_model: Path) -> None:
    chosen = _chosen(_cell(starter_model, "ask"))
    assert chosen == Attention(None, "llama.cpp's own: not measured on this machine")


@pytest.mark.model
def test_quantized_values_need_flash_attention(starter_model: Path) -> None:
    chosen = _chosen(_cell(starter_model, "ask", type_v="q8_0"), table())
    assert chosen == Attention(None, "llama.cpp's own: values in q8_0 need it on")


SINKS = ("blk.0.attn_sinks.weight", (4,), "F32")
STATE = ("blk.0.ssm_a.weight", (64,), "F32")


@pytest.mark.parametrize(
    ("architecture", "keys", "tensor", "why"),
    [
        ("llama", {"attention.causal": False}, None, "it keeps no keys and values"),
        ("llama", {"attention.head_count_kv": 0}, None, "it keeps no keys and values"),
        ("llama", {"attention.head_count_kv": [2, 4]}, None, "its layers have different heads"),
        ("llama", {}, STATE, "some of its layers keep a state instead of keys and values"),
        (
            "gemma3",
            {"attention.sliding_window": 1024},
            None,
            "some of its layers see a window of 1,024 tokens",
        ),
        (
            "gpt-oss",
            {"attention.sliding_window": 128},
            SINKS,
            "some of its layers see a window of 128 tokens",
        ),
        ("llama", {}, SINKS, "its attention has sinks"),
        ("grok", {}, None, "its attention caps scores"),
        ("llama", {"attn_logit_softcapping": 30.0}, None, "its attention caps scores"),
        (
            "deepseek2",
            {
                "attention.head_count_kv": 1,
                "attention.key_length": 576,
                "attention.value_length": 512,
                "attention.key_length_mla": 192,
                "attention.value_length_mla": 128,
            },
            None,
            "its keys and values are one compressed vector (MLA)",
        ),
    ],
)
def test_attention_that_is_not_the_measured_one_is_left_to_llama_cpp(
    architecture: str,
    keys: dict[str, Any],
    tensor: tuple[str, tuple[int, ...], str] | None,
    why: str,
    tmp_path: Path,
) -> None:
    own = {name.replace("llama.", f"{architecture}."): each for name, each in METADATA.items()}
    own |= {"general.architecture": architecture}
    own |= {f"{architecture}.{name}": each for name, each in keys.items()}
    path = tmp_path / "other.gguf"
    path.write_bytes(tiny_gguf(own, (*TENSORS, *((tensor,) if tensor else ()))))
    assert _chosen(_cell(path, "ask"), table()) == Attention(None, f"llama.cpp's own: {why}")
    typed = _chosen(_cell(path, "ask", flash_attn=False), table())
    assert typed == Attention(False), "what is typed is obeyed"


def test_plain_attention_is_chosen_for(tmp_path: Path) -> None:
    path = tmp_path / "plain.gguf"
    path.write_bytes(tiny_gguf())
    assert _chosen(_cell(path, "ask"), table()).flash_attn is False


@pytest.mark.model
def test_a_limit_that_forbids_the_scores_keeps_flash_attention(starter_model: Path) -> None:
    """Room for the model and its cache, and not for half a gigabyte of scores."""
    cell = _cell(starter_model, "ask")
    long = {"prompt_tokens": 8000, "n_ctx": 8192, "baseline_bytes": 0}
    whole = Attention(True).peak(cell, 8192, 0, 8000)
    assert whole is not None
    limited = msgspec.structs.replace(cell, limit=MemoryLimit(whole + 10_000_000))
    chosen = _chosen(limited, table(), **long)
    assert chosen == Attention(True, "on: no memory for the scores without it")
    roomy = msgspec.structs.replace(cell, limit=MemoryLimit(whole + 150_000_000))
    smaller = _chosen(roomy, table(), **long)
    assert (smaller.flash_attn, smaller.n_ubatch) == (False, 128)


@pytest.mark.model
def test_a_prompt_that_waits_for_its_table_says_so(
    starter_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Waiting(ScriptedEngine):
        def attention_table(
            self, heads: Heads, *, may_measure: bool, on_wait: Callable[[], None] = lambda: None
        ) -> AttentionTable | None:
            if may_measure:
                on_wait()
            return None

    cell = msgspec.structs.replace(_cell(starter_model, "ask"), sampling=Sampling(max_tokens=32))
    for tokens in (40, 400):
        attention_for(
            cell,
            Waiting(lambda _: [b"x"]),
            prompt_tokens=tokens,
            beginning_tokens=0,
            n_ctx=512,
            baseline_bytes=None,
            on_note=told.append,
        )
    assert told == [MEASURING], "and a short one does not wait"
