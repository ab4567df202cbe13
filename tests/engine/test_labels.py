"""Choices as a tree: every term once, and as little evaluated as possible."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from localprompt.engine.labels import TokenIds, label_tree

CHOICES = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple),
    min_size=1,
    max_size=6,
    unique=True,
).map(tuple)


def test_labels_of_one_token_need_nothing_beyond_the_prompt() -> None:
    tree = label_tree(((1,), (2,), (3,)))
    assert tree.evaluated_tokens == 0
    assert tree.branches == 1
    assert tree.stems[0].next_ids == (1, 2, 3)


def test_a_beginning_in_common_is_evaluated_once() -> None:
    tree = label_tree(((7, 1), (7, 2), (8,)))
    assert [stem.token_ids for stem in tree.stems] == [(), (7,)]
    assert tree.branches == 1


def test_labels_that_part_after_their_first_tokens_branch() -> None:
    tree = label_tree(((7, 1), (8, 1)))
    assert tree.branches == 2
    assert [stem.branches for stem in tree.stems] == [(0, 1), (0,), (1,)]


def test_a_label_within_another_is_a_term_of_it() -> None:
    tree = label_tree(((7,), (7, 1)))
    assert tree.sums([[-1.0], [-0.5]]) == (-1.0, -1.5)


@given(CHOICES)
def test_the_sum_for_a_choice_runs_over_its_own_tokens(choices: tuple[TokenIds, ...]) -> None:
    tree = label_tree(choices)

    def of(before: TokenIds, token_id: int) -> float:
        return float(hash((before, token_id)) % 1009)

    looked_up = [[of(stem.token_ids, i) for i in stem.next_ids] for stem in tree.stems]
    for ids, total in zip(choices, tree.sums(looked_up), strict=True):
        assert total == sum(of(ids[:n], ids[n]) for n in range(len(ids)))


@given(CHOICES)
def test_each_branch_is_one_way_through_the_tree(choices: tuple[TokenIds, ...]) -> None:
    tree = label_tree(choices)
    for branch in range(tree.branches):
        way = [stem.token_ids for stem in tree.stems if branch in stem.branches]
        assert [len(stem) for stem in way] == list(range(len(way)))
        assert all(longer[:-1] == shorter for shorter, longer in itertools.pairwise(way))
