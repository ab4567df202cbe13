"""Texts exist in every language, and numbers are written as each language does."""

from __future__ import annotations

import re
import string

import pytest

from localprompt.errors import UnknownNameError
from localprompt.records.evidence import Condition, Figure
from localprompt.stats.samples import Interval
from localprompt.views.language import LANGUAGES, Language, texts


def gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("code", LANGUAGES[1:])
def test_every_language_has_the_same_texts_with_the_same_gaps(code: str) -> None:
    english, other = texts(LANGUAGES[0]), texts(code)
    assert other.keys() == english.keys()
    assert {k: gaps(v) for k, v in other.items()} == {k: gaps(v) for k, v in english.items()}


@pytest.mark.parametrize("code", LANGUAGES[1:])
def test_what_is_a_sentence_is_not_left_in_english(code: str) -> None:
    english = texts(LANGUAGES[0])
    same = [k for k, v in texts(code).items() if v == english[k] and len(v.split()) > 2]
    assert [key for key in same if not re.fullmatch(r"rule\.value|format\..*", key)] == []


def test_numbers_have_the_separators_of_the_language() -> None:
    english, portuguese = Language("en"), Language("pt-BR")
    assert english.quantity(106_203_456, "count") == "106,203,456"
    assert portuguese.quantity(106_203_456, "count") == "106.203.456"
    assert portuguese.quantity(0.125, "share") == "12,5 %"
    assert portuguese.quantity(0.125, "points") == "+12,5 pontos"


def test_a_share_that_is_not_all_does_not_look_like_all() -> None:
    say = Language("en")
    assert say.quantity(1, "share") == "100 %"
    assert say.quantity(0.9999, "share") == "99.99 %"


def test_a_small_amount_of_money_is_not_nothing() -> None:
    say = Language("en")
    assert say.quantity(0.00012, "usd") == "120 µ$"
    assert say.quantity(0.0000093, "usd") == "9.3 µ$"
    assert say.quantity(0.0018, "usd") == "1.8 m$"
    assert say.quantity(0.034, "usd") == "0.034 USD"
    assert say.quantity(0.0, "usd") == "0 USD"
    assert say.quantity(1234.5, "usd") == "1,234.50 USD"


def test_a_condition_reads_as_a_sentence() -> None:
    condition = Condition("gain_with_text", "low", ">", 0)
    assert (
        Language("en").condition(condition, "points") == "gain with the text: low end > +0.0 points"
    )


def test_an_interval_has_its_unit_on_both_ends() -> None:
    figure = Figure("x", 0.5, "share", "measured", Interval(0.4, 0.6), 10)
    assert Language("pt-BR").interval(figure) == "40,0 % a 60,0 %"


def test_a_language_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownNameError) as caught:
        Language("fr")
    assert caught.value.nearest == LANGUAGES
