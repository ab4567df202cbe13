from __future__ import annotations

from typing import Any

import msgspec
import pytest

from localprompt.bench.spec import BenchSpec, PromptAsk, cell_asks, key_of
from localprompt.errors import InputError
from localprompt.gguf import tensor_types
from localprompt.gguf.tensor_types import KV_TYPES
from localprompt.records.cell import BenchRequest, Cell
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import RequestedSettings, Sampling

SUMMARIZE = PromptAsk("summarize", ("text=@notes.txt",))


def a_request(**changes: Any) -> BenchRequest:
    cell = Cell(
        kind="bench",
        model=ModelRecord(name="m", path="/a/m.gguf", sha256="aa" * 32),
        template=PromptTemplate(name="p", body="user:\n{{ text }}", path="/a/p.prompty"),
        params={"text": "a"},
        sampling=Sampling(),
        settings=RequestedSettings(n_threads=2),
    )
    return BenchRequest(msgspec.structs.replace(cell, **changes))


def test_the_plan_is_the_product_in_the_order_models_workloads_settings() -> None:
    spec = BenchSpec(
        models=("a", "b"),
        prompts=(SUMMARIZE,),
        prefill=(64,),
        axes={"type_k": ("f16", "q8_0"), "n_threads": (1, 2), "n_ctx": (512,)},
    )
    asks = cell_asks(spec)
    assert len(asks) == 2 * 2 * 4
    assert asks[0].labels == {
        "model": "a", "workload": "summarize", "n_threads": "1", "type_k": "f16",
    }  # fmt: skip
    assert [ask.settings.type_k for ask in asks[:3]] == ["f16", "q8_0", "f16"]
    assert {ask.settings.n_ctx for ask in asks} == {512}
    assert [ask.workload for ask in asks[::4]] == ["summarize", "pp64"] * 2


def test_what_does_not_vary_is_no_label() -> None:
    spec = BenchSpec(models=("a",), decode=(64,), axes={"use_mmap": (False,)})
    (ask,) = cell_asks(spec)
    assert ask.labels == {}
    assert ask.workload == "tg64"
    assert (ask.prefill, ask.decode, ask.settings.use_mmap) == (0, 64, False)


def test_prompts_of_one_name_are_told_apart_by_their_parameters() -> None:
    prompts = (PromptAsk("p", ("n=1",)), PromptAsk("p", ("n=2",)))
    names = [ask.workload for ask in cell_asks(BenchSpec(models=("a",), prompts=prompts))]
    assert names == ["p n=1", "p n=2"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (BenchSpec(models=("a",)), "a prompt, --prefill or --decode"),
        (BenchSpec(models=(), prompts=(SUMMARIZE,)), "a model"),
        (BenchSpec(models=("a",), prefill=tuple(range(1, 1002))), "at most 1000 cells"),
    ],
)
def test_a_plan_of_nothing_or_of_too_much_is_refused(spec: BenchSpec, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        cell_asks(spec)
    assert caught.value.expected == expected


def test_the_key_ignores_where_files_lie_and_when_they_were_made() -> None:
    one = a_request()
    moved = a_request(
        model=ModelRecord(name="other", path="/b/m.gguf", sha256="aa" * 32),
        template=PromptTemplate(name="p", body="user:\n{{ text }}", path="/b/p.prompty"),
    )
    touched = msgspec.structs.replace(one, size_bytes=5, mtime_ns=6)
    assert key_of(one) == key_of(moved) == key_of(touched)


@pytest.mark.parametrize(
    "changes",
    [
        {"params": {"text": "b"}},
        {"sampling": Sampling(max_tokens=1)},
        {"settings": RequestedSettings(n_threads=1)},
        {"template": PromptTemplate(name="p", body="user:\nb")},
        {"model": ModelRecord(name="m", path="/a/m.gguf", sha256="bb" * 32)},
        {"chat_template": ""},
    ],
)
def test_the_key_changes_with_everything_that_matters(changes: dict[str, Any]) -> None:
    assert key_of(a_request(**changes)) != key_of(a_request())


def test_synthetic_work_has_keys_of_its_own() -> None:
    pp, tg = (msgspec.structs.replace(a_request(), **{of: 64}) for of in ("prefill", "decode"))
    assert len({key_of(pp), key_of(tg), key_of(a_request())}) == 3


def test_a_request_survives_being_stored_as_plain_data() -> None:
    one = msgspec.structs.replace(a_request(), prefill=5, size_bytes=1, mtime_ns=2)
    stored = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(one)))
    assert msgspec.convert(stored, BenchRequest) == one


def test_the_plan_knows_the_same_cache_types_as_the_catalog() -> None:
    assert KV_TYPES == tensor_types.KV_TYPES


def test_kept_prefixes_are_another_measurement_and_only_where_they_are_asked_for() -> None:
    (plain,) = cell_asks(BenchSpec(models=("a",), prompts=(SUMMARIZE,)))
    (asked,) = cell_asks(BenchSpec(models=("a",), prompts=(SUMMARIZE,), prefix_store=True))
    assert (plain.prefix_store, asked.prefix_store) == (False, True)
    assert key_of(a_request(prefix="kept")) != key_of(a_request(prefix="whole"))
    assert key_of(a_request(prefix="whole")) == key_of(a_request())
