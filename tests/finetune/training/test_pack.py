from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import DatasetError, InputError
from localprompt.finetune.training.examples import Example, check_answers, evenly
from localprompt.finetune.training.pack import context_for, digest, windows


def example(length: int, prompt: int = 1, answer: str = "yes") -> Example:
    return Example(f"f.csv:{length}", answer, tuple(range(10, 10 + length)), prompt)


@given(lengths=st.lists(st.integers(3, 257), min_size=1, max_size=40))
def test_every_example_is_in_one_window_whole(lengths: list[int]) -> None:
    packed = windows([example(length, length - 2) for length in lengths], 256, "answer", 0)
    assert sorted(n + 1 for window in packed for n in window.lengths) == sorted(lengths)
    for window in packed:
        assert len(window.token_ids) == len(window.labels) == len(window.counted) == 256
        assert sum(window.lengths) <= 256
        start = 0
        for length in window.lengths:
            assert window.token_ids[start : start + length] == tuple(range(10, 10 + length))
            assert window.labels[start : start + length] == tuple(range(11, 11 + length))
            start += length
        assert not any(window.counted[start:]), "filling never counts"
    assert sum(sum(window.counted) for window in packed) == 2 * len(lengths)


def test_the_loss_over_all_counts_every_token_but_the_first() -> None:
    (window,) = windows([example(7, 5)], 256, "all", 0)
    assert sum(window.counted) == 6
    (window,) = windows([example(7, 5)], 256, "answer", 0)
    assert window.counted[:7] == (False, False, False, False, True, True, False)


def test_the_context_is_as_long_as_the_longest_example_needs() -> None:
    assert context_for([example(257)], None, 8192) == 256
    assert context_for([example(258)], None, 8192) == 512
    assert context_for([example(5)], 512, 8192) == 512


def test_an_example_longer_than_the_context_is_named_with_what_would_do() -> None:
    with pytest.raises(DatasetError) as caught:
        context_for([example(5), example(300)], 256, 8192)
    assert caught.value.where == "f.csv:300"
    assert caught.value.found == "300 tokens"
    assert caught.value.next_step == "--n-ctx 512"
    with pytest.raises(DatasetError, match="longer"):
        context_for([example(600)], None, 512)


@pytest.mark.parametrize("n_ctx", [100, 8448])
def test_a_context_that_llama_cpp_cannot_train_is_refused(n_ctx: int) -> None:
    with pytest.raises(InputError, match="multiple of 256"):
        context_for([example(5)], n_ctx, 8192)


def test_drawn_examples_keep_the_share_of_each_answer() -> None:
    pool = [example(5, answer="yes" if n % 4 else "no") for n in range(80)]
    drawn, others = evenly(pool, 20, seed=3)
    assert [e.answer for e in drawn].count("no") == 5
    assert len(others) == 60
    assert evenly(pool, 0, seed=3)[0] == []


def test_examples_of_one_answer_are_refused() -> None:
    from pathlib import Path

    with pytest.raises(DatasetError, match="3 × 'yes'"):
        check_answers([example(5)] * 3, Path("f.csv"))


def test_what_counts_is_part_of_the_digest() -> None:
    one = windows([example(7, 5)], 256, "all", 0)
    other = windows([example(7, 5)], 256, "answer", 0)
    assert digest(one, []) != digest(other, [])
    assert digest(one, []) == digest(one, [])
