"""What several prompts share is found, and only where it pays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localprompt.engine.prefixes import (
    MOST_NESTED,
    Prefix,
    TokenIds,
    common_tokens,
    shared_prefixes,
)

PROMPTS = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple), min_size=1, max_size=12
).map(sorted)


def _lengths(found: list[Prefix | None]) -> list[int]:
    return [0 if prefix is None else len(prefix) for prefix in found]


def test_a_system_text_in_common_is_one_prefix_for_all() -> None:
    system = tuple(range(100))
    found = shared_prefixes([(*system, 1000 + n, 7) for n in range(5)])
    assert _lengths(found) == [100] * 5
    assert len({id(prefix) for prefix in found}) == 1


def test_a_document_with_several_questions_is_a_prefix_within_a_prefix() -> None:
    system, one, two = tuple(range(100)), tuple(range(200, 280)), tuple(range(300, 380))
    prompts = [(*system, *document, q, 9) for document in (one, two) for q in (1, 2)]
    found = shared_prefixes(prompts)
    assert _lengths(found) == [180] * 4
    assert found[0] is found[1]
    assert found[0] is not found[2]
    assert {id(p.parent) for p in found if p is not None} == {id(found[0] and found[0].parent)}


def test_a_few_tokens_in_common_are_not_worth_a_batch() -> None:
    system = tuple(range(100))
    alike = [(*system, 500, 501, 1), (*system, 500, 501, 2), (*system, 600, 3), (*system, 700, 4)]
    assert _lengths(shared_prefixes(alike)) == [100] * 4


def test_equal_prompts_share_all_but_their_last_token() -> None:
    assert _lengths(shared_prefixes([tuple(range(90))] * 3)) == [89] * 3


def test_prompts_that_nothing_joins_share_nothing() -> None:
    assert shared_prefixes([(1, 2, 3), (2, 3, 4)], least_saved=1) == [None, None]


def test_later_prompts_take_as_much_of_a_held_prefix_as_all_of_them_begin_with() -> None:
    system, document = tuple(range(100)), tuple(range(200, 280))
    earlier = [(*system, *document, 1), (*system, *document, 2), (*system, 3), (*system, 4)]
    held = shared_prefixes(sorted(earlier))[-1]
    assert held is not None
    assert held.parent is not None
    assert (held.waiting, held.parent.waiting) == (2, 4)
    same = shared_prefixes([(*system, *document, 5), (*system, *document, 6)], held)
    assert same == [held, held]
    assert (held.waiting, held.parent.waiting) == (4, 6)
    shorter = shared_prefixes([(*system, 5, 5), (*system, *document, 6)], held)
    assert shorter == [held.parent, held.parent]
    assert (held.waiting, held.parent.waiting) == (4, 8)


def test_a_held_prefix_leaves_a_token_of_each_later_prompt() -> None:
    system = tuple(range(100))
    held = shared_prefixes([(*system, 1), (*system, 2)])[0]
    found = shared_prefixes([system, (*system, 5)], held)
    assert _lengths(found) == [99, 99]
    assert held not in found
    assert shared_prefixes([(7, 8)], held) == [None]
    assert shared_prefixes([(*system, 9)], held) == [held]
    assert shared_prefixes([], held) == []


@given(PROMPTS, PROMPTS)
def test_what_is_held_begins_what_it_is_taken_for(
    earlier: list[TokenIds], prompts: list[TokenIds]
) -> None:
    held = shared_prefixes(earlier, least_saved=1)[-1]
    before = {id(node): node.waiting for node in held.chain()} if held else {}
    found = shared_prefixes(prompts, held, least_saved=1)
    for prompt, prefix in zip(prompts, found, strict=True):
        chain = list(prefix.chain()) if prefix else []
        assert len(chain) <= MOST_NESTED
        for node in chain:
            assert prompt[: len(node)] == node.token_ids
            assert len(node) < len(prompt)
    nodes = {id(node): node for prefix in found if prefix for node in prefix.chain()}
    for name, node in nodes.items():
        begun = sum(node in prefix.chain() for prefix in found if prefix)
        assert node.waiting == before.get(name, 0) + begun


@given(PROMPTS)
def test_every_prefix_begins_its_prompts_and_leaves_a_token_of_each(
    prompts: list[TokenIds],
) -> None:
    for prompt, prefix in zip(prompts, shared_prefixes(prompts, least_saved=1), strict=True):
        for node in prefix.chain() if prefix else ():
            assert prompt[: len(node)] == node.token_ids
            assert len(node) < len(prompt)
            assert node.own_tokens > 0


@given(PROMPTS)
def test_each_prefix_counts_the_prompts_below_it(prompts: list[TokenIds]) -> None:
    found = shared_prefixes(prompts, least_saved=1)
    nodes = {id(node): node for prefix in found if prefix for node in prefix.chain()}
    for node in nodes.values():
        below = [p for p in found if p is not None and any(n is node for n in p.chain())]
        assert node.waiting == len(below) >= 2


@given(PROMPTS, st.integers(1, 20), st.integers(1, 3))
def test_every_prefix_saves_enough_and_none_is_nested_too_deep(
    prompts: list[TokenIds], least_saved: int, most_nested: int
) -> None:
    for prefix in shared_prefixes(prompts, least_saved=least_saved, most_nested=most_nested):
        chain = list(prefix.chain()) if prefix else []
        assert len(chain) <= most_nested
        assert all(node.own_tokens * (node.waiting - 1) >= least_saved for node in chain)


@given(st.lists(st.integers(0, 1), min_size=1).map(tuple), st.lists(st.integers(0, 1)).map(tuple))
def test_common_tokens_are_counted_as_one_by_one(a: TokenIds, b: TokenIds) -> None:
    n = 0
    while n < min(len(a), len(b)) - 1 and a[n] == b[n]:
        n += 1
    assert common_tokens(a, b) == n
