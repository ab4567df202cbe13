from __future__ import annotations

from localprompt.records.model import ModelRecord
from localprompt.tuning.candidates import Candidate, together, variations

MODEL = ModelRecord(name="some-model", path="/m.gguf", sha256="a" * 64)


def test_equal_candidates_have_equal_keys_whatever_the_order_of_their_changes() -> None:
    one = Candidate(MODEL, {"n_batch": 1, "n_ubatch": 2})
    other = Candidate(MODEL, {"n_ubatch": 2, "n_batch": 1})
    assert one.key == other.key
    assert one.key != Candidate(MODEL, {"n_batch": 1}).key


def test_a_candidate_is_called_by_its_model_and_its_changes() -> None:
    assert Candidate(MODEL, {"use_mmap": False}).name == "some-model, use_mmap off"


def test_batches_beyond_the_prompt_are_not_tried() -> None:
    short = list(variations(2, 2, prompt_tokens=100))
    assert {"n_ubatch": 64} in short
    assert {"n_ubatch": 128} not in short
    assert not any("n_batch" in change for change in short)
    assert any("n_batch" in change for change in variations(2, 2, prompt_tokens=2000))


def test_threads_are_tried_below_and_above_the_usual_and_not_at_it() -> None:
    counts = {change["n_threads"] for change in variations(4, 8, 100) if "n_threads" in change}
    assert counts == {2, 8}


def test_of_two_changes_of_one_setting_the_better_stays() -> None:
    assert together([{"n_ubatch": 64}, {"n_ubatch": 128}, {"use_mmap": False}]) == {
        "n_ubatch": 64,
        "use_mmap": False,
    }


def test_a_quantized_cache_is_never_put_together_with_no_flash_attention() -> None:
    cache = {"type_k": "q8_0", "type_v": "q8_0"}
    assert together([{"flash_attn": False}, cache]) == {"flash_attn": False}
    assert together([cache, {"flash_attn": False}]) == cache


def test_reading_weights_is_tried_where_they_are_mapped() -> None:
    reading = {"use_mmap": False}
    assert reading in variations(2, 2, 100)
    assert reading not in variations(2, 2, 100, mapped=False)
