from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.bench.value_lists import switches, whole_numbers, words
from localprompt.errors import InputError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("4", (4,)),
        ("1,2", (1, 2)),
        (" 2 , 1,2 ", (2, 1)),
        ("1-4", (1, 2, 3, 4)),
        ("1-9+3", (1, 4, 7)),
        ("128-1024*2", (128, 256, 512, 1024)),
        ("100-1000*3", (100, 300, 900)),
        ("1-2,8-8", (1, 2, 8)),
    ],
)
def test_lists_and_ranges_are_read_as_llama_bench_reads_them(
    text: str, values: tuple[int, ...]
) -> None:
    assert whole_numbers(text, "--n-ctx") == values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1,2 or 1-8"),
        ("x", "1,2 or 1-8"),
        ("1,,2", "1,2 or 1-8"),
        ("1.5", "1,2 or 1-8"),
        ("-1", "1,2 or 1-8"),
        ("4-1", "upwards"),
        ("1-4+0", "upwards"),
        ("1-4*1", "upwards"),
        ("0-4*2", "upwards"),
        ("0", "1 or more"),
        ("1-100000", "at most 1000"),
        ("1-999999999999", "at most 1000"),
    ],
)
def test_what_is_no_list_is_refused_with_its_place_and_what_would_be_right(
    text: str, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        whole_numbers(text, "--n-ctx")
    assert caught.value.where == "--n-ctx"
    assert expected in str(caught.value.expected)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=20))
def test_a_list_that_is_written_out_comes_back_without_its_repeats(values: list[int]) -> None:
    assert whole_numbers(",".join(map(str, values)), "x") == tuple(dict.fromkeys(values))


def test_words_have_to_be_among_the_allowed() -> None:
    assert words("f16,q8_0,f16", "--type-k", ("f16", "q8_0")) == ("f16", "q8_0")
    with pytest.raises(InputError) as caught:
        words("f16,q9", "--type-k", ("f16", "q8_0"))
    assert (caught.value.expected, caught.value.found) == ("f16, q8_0", "q9")


def test_switches_are_on_and_off() -> None:
    assert switches("on,off", "--mmap") == (True, False)
    with pytest.raises(InputError, match="unknown value"):
        switches("maybe", "--mmap")
