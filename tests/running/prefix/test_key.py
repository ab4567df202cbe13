"""States are interchangeable only where everything that they depend on is equal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localprompt.running.prefix.seal import key_of

CONDITIONS = {"build": "b 1", "type_k": "f16", "flash_attn": True, "n_ubatch": 512}
IDS = st.lists(st.integers(min_value=0, max_value=2**31 - 1), max_size=8)


@given(IDS, IDS)
def test_other_tokens_have_another_key(a: list[int], b: list[int]) -> None:
    assert (key_of("m", a, CONDITIONS) == key_of("m", b, CONDITIONS)) == (a == b)


def test_every_condition_and_the_weights_have_a_say() -> None:
    keys = {key_of("m", [1, 2], CONDITIONS), key_of("n", [1, 2], CONDITIONS)}
    for name in CONDITIONS:
        keys.add(key_of("m", [1, 2], {**CONDITIONS, name: "another"}))
    assert len(keys) == 2 + len(CONDITIONS)


def test_the_order_of_conditions_has_none() -> None:
    assert key_of("m", [1], CONDITIONS) == key_of("m", [1], dict(reversed(CONDITIONS.items())))
