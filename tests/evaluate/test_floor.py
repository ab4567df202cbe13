"""What an evaluation had to evaluate at least."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localprompt.evaluate.floor import Work

IDS = st.lists(st.integers(0, 2), max_size=12).map(tuple)


def _counted(*prompts: tuple[int, ...]) -> Work:
    work = Work()
    for prompt in prompts:
        work.add(prompt, generated=1)
    return work


def test_the_beginning_of_all_prompts_counts_once() -> None:
    work = _counted((1, 2, 3, 4), (1, 2, 5), (1, 2, 6, 7, 8))
    assert (work.shared, work.own, work.generated) == (2, 2 + 1 + 3, 3)


def test_a_beginning_that_only_some_share_counts_once_as_well() -> None:
    # Two passages, two questions each, after one instruction.
    work = _counted((9, 1, 1, 5), (9, 1, 1, 6), (9, 2, 2, 5), (9, 2, 2, 6))
    assert work.shared == 1
    assert work.own == 3 + 1 + 3 + 1


def test_the_last_token_of_a_prompt_is_always_evaluated() -> None:
    work = _counted((1, 2, 3), (1, 2, 3))
    assert work.shared + work.own == 3 + 1


@given(st.lists(IDS.filter(bool), min_size=1, max_size=20, unique=True))
def test_sorted_prompts_need_as_many_tokens_as_their_tree_has(
    prompts: list[tuple[int, ...]],
) -> None:
    work = _counted(*sorted(prompts))
    tree = {prompt[:n] for prompt in prompts for n in range(1, len(prompt) + 1)}
    assert work.shared + work.own == len(tree)
