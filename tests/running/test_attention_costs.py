"""What attention takes, counted from a table."""

from __future__ import annotations

import msgspec
import pytest

from localprompt.engine.llama.proof.attention_child import SEVERAL
from localprompt.records.attention import AttentionCost, StepCost
from localprompt.running.attention_costs import Costs
from tests.attention_tables import like_amx, table

LAYERS = 30
SEQUENCES, OWN_TOKENS = next(iter(SEVERAL.items()))


def test_a_layers_seconds_are_counted_for_all_layers() -> None:
    costs = Costs(table(), LAYERS)
    assert costs.attention(False, 8, 512) == pytest.approx(LAYERS * like_amx(False, 8, 512))
    assert costs.rest(8) == 0
    assert not costs.knows_steps


def test_of_a_whole_model_only_what_grows_with_depth_is_attention() -> None:
    costs = Costs(table(whole=1e-3), LAYERS)
    assert costs.knows_steps
    grown = like_amx(False, 39, 2048) - min(like_amx(way, 39, 0) for way in (True, False))
    assert costs.attention(False, 39, 2048) == pytest.approx(grown)
    assert costs.rest(8) == pytest.approx(8e-3, rel=0.2)


def test_cells_of_their_own_cost_each_sequence_its_own_depth() -> None:
    costs = Costs(table(), LAYERS)
    for depth in (32, 60, 128, 512):
        step = costs.step(True, 16, depth, 0, apart=True)
        assert step == pytest.approx(16 * costs.attention(True, 1, depth), rel=0.05)


def test_in_the_same_cells_each_token_meets_or_skips_those_of_all() -> None:
    costs = Costs(table(), LAYERS)
    own = OWN_TOKENS[-1]
    others = (SEQUENCES - 1) * own
    off = costs.step(False, SEQUENCES, own, others, apart=False)
    assert off == pytest.approx(costs.attention(False, SEQUENCES, own + others))
    on = costs.step(True, SEQUENCES, own, others, apart=False)
    measured = next(
        c.seconds
        for c in table().costs
        if c.sequences == SEQUENCES and c.flash_attn and not c.apart and c.depth == own
    )
    assert on == pytest.approx(LAYERS * measured), "as it was measured"


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("flash", [True, False])
def test_what_was_measured_of_several_sequences_is_what_is_counted_for_them(
    flash: bool, apart: bool
) -> None:
    def cheaper_in_company(cost: AttentionCost) -> AttentionCost:
        return msgspec.structs.replace(
            cost, seconds=cost.seconds * (0.7 if cost.sequences > 8 else 1)
        )

    costs = tuple(map(cheaper_in_company, table().costs))
    costs_of = Costs(msgspec.structs.replace(table(), costs=costs), LAYERS)
    for cost in costs:
        if (
            cost.sequences > 1
            and cost.depth == 32
            and (cost.flash_attn, cost.apart) == (flash, apart)
        ):
            others = 0 if apart else (cost.sequences - 1) * cost.depth
            step = costs_of.step(flash, cost.sequences, cost.depth, others, apart=apart)
            assert step == pytest.approx(LAYERS * cost.seconds)


def test_tiles_take_all_tokens_together() -> None:
    costs = Costs(table(), LAYERS)
    step = costs.step(True, 64, 100, 400, apart=False)
    assert step == pytest.approx(costs.attention(True, 64, 500))


def test_what_batches_take_beside_attention_is_read_between_the_measured_sizes() -> None:
    costs = Costs(table(), LAYERS, (StepCost(1, 0.1), StepCost(9, 0.5)))
    assert costs.knows_steps
    assert costs.rest(5) == pytest.approx(0.3)
