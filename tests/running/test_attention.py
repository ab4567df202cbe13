"""Which way through attention a request gets, from a table."""

from __future__ import annotations

from itertools import product

import pytest

from localprompt.engine.llama.proof.attention import BATCHES, DEPTHS, contradiction
from localprompt.records.attention import AttentionCost, AttentionTable
from localprompt.running.attention import Request, choose
from localprompt.running.attention_costs import seconds
from tests.attention_tables import even, like_amx, table


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
