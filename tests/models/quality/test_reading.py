from __future__ import annotations

import math
from string import ascii_lowercase

import pytest

from localprompt.errors import InputError
from localprompt.models.quality.reading import chunks_of, read_beside, read_text
from tests.models.quality.readers import RuleReader

ALPHABET = ascii_lowercase * 4


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary() -> None:
    found = read_text(RuleReader(0.0), ALPHABET, n_ctx=8)
    assert found.value == pytest.approx(30)
    assert found.standard_error == pytest.approx(0, abs=1e-9)


def test_the_perplexity_is_exp_of_the_mean_loss_of_the_second_halves() -> None:
    found = read_text(RuleReader(2.0), ALPHABET, n_ctx=8)
    # Each letter is followed by the next: every scored token has the same probability.
    assert found.value == pytest.approx((math.exp(2) + 29) / math.exp(2))
    # 13 chunks of 8; of each the tokens 5, 6 and 7 are scored, as llama-perplexity does.
    assert found.tokens == 13 * 3


def test_blocks_of_any_size_give_the_same_figures() -> None:
    text = "hellotherehowareyouthesedays" * 3
    figures = [read_text(RuleReader(1.5, rows=rows), text, n_ctx=12) for rows in (1, 2, 5, 100)]
    assert [figure.tokens for figure in figures] == [figures[0].tokens] * 4
    assert [figure.value for figure in figures] == pytest.approx([figures[0].value] * 4)


def test_every_chunk_begins_with_the_begin_of_text_token() -> None:
    reader = RuleReader(1.0, bos=29)
    chunks = chunks_of(reader, ALPHABET, 8)
    assert [chunk[0] for chunk in chunks] == [29] * len(chunks)
    # The token goes in front of the text once, and then takes the place of a chunk's first.
    assert chunks[0][1:] == [0, 1, 2, 3, 4, 5, 6]
    assert chunks[1][1:] == [8, 9, 10, 11, 12, 13, 14]


def test_a_text_of_less_than_two_chunks_is_refused_with_its_length() -> None:
    with pytest.raises(InputError) as caught:
        read_text(RuleReader(1.0), "abcdefghijklmno", n_ctx=8)
    assert caught.value.expected == "at least 16 tokens"
    assert caught.value.found == "15 tokens"


def test_a_model_beside_itself_does_not_diverge() -> None:
    found = read_beside(RuleReader(2.0), RuleReader(2.0), ALPHABET, n_ctx=8)
    assert found.divergence.kl.value == 0
    assert found.divergence.agreement == 1
    assert found.divergence.ratio == 1
    assert found.model == found.parent


def test_the_divergence_from_a_parent_is_that_of_the_formula() -> None:
    found = read_beside(RuleReader(0.0), RuleReader(3.0), ALPHABET, n_ctx=8)
    top = math.exp(3) / (math.exp(3) + 29)
    rest = 1 / (math.exp(3) + 29)
    expected = top * math.log(top * 30) + 29 * rest * math.log(rest * 30)
    assert found.divergence.kl.value == pytest.approx(expected, rel=1e-5)
    assert found.divergence.ratio == pytest.approx(30 * top)
    assert found.divergence.tokens == found.model.tokens == found.parent.tokens


def test_progress_is_told_chunk_by_chunk() -> None:
    told: list[tuple[int, int]] = []
    read_text(RuleReader(1.0), ALPHABET, n_ctx=8, on_chunk=lambda *step: told.append(step))
    assert told == [(done, 13) for done in range(1, 14)]


def test_models_of_other_vocabularies_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="different vocabularies"):
        read_beside(RuleReader(1.0), RuleReader(1.0, n_vocab=31), ALPHABET, n_ctx=8)
    with pytest.raises(InputError, match="different vocabularies"):
        read_beside(RuleReader(1.0), RuleReader(1.0, bos=29), ALPHABET, n_ctx=8)


def test_a_hopeless_model_reads_two_chunks_and_no_more() -> None:
    hopeless, told = RuleReader(0.5), list[tuple[int, int]]()
    found = read_beside(
        hopeless,
        RuleReader(3.0),
        ALPHABET,
        n_ctx=8,
        on_chunk=lambda *step: told.append(step),
        hopeless=1.03,
    )
    assert found.divergence.ratio > 1.03
    assert len(told) == len(hopeless.chunks) == 2
    assert found.divergence.tokens == 6


def test_a_model_inside_the_bound_reads_everything() -> None:
    reader = RuleReader(3.0)
    read_beside(reader, RuleReader(3.0), ALPHABET, n_ctx=8, hopeless=1.03)
    assert len(reader.chunks) == 13
