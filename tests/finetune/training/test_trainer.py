"""llama.cpp trains a tiny model, for real."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

from localprompt.engine.windows import Window, WindowLoss
from localprompt.finetune.training.support import TRAINABLE
from localprompt.gguf.header import read_gguf
from tests.finetune.training.tiny_model import write_trainable

LENGTH = 30


def copies(count: int) -> Window:
    """The same example several times; its last five tokens count."""
    ids = tuple((7 * n) % 300 + 3 for n in range(LENGTH + 1))
    rest = 256 - count * LENGTH
    return Window(
        token_ids=ids[:-1] * count + (2,) * rest,
        labels=ids[1:] * count + (2,) * rest,
        counted=tuple(n % LENGTH >= 25 for n in range(count * LENGTH)) + (False,) * rest,
        lengths=(LENGTH,) * count,
    )


class Elsewhere(Protocol):
    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any: ...


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    """Calls in a process that may die: an assertion in ggml would take the tests with it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


def learn(path: Path, steps: int) -> tuple[list[WindowLoss], WindowLoss, int, bool]:
    from localprompt.engine.llama.training import Trainer

    saved, theirs = path.with_name("saved.gguf"), path.with_name("theirs.gguf")
    with Trainer(path, n_ctx=256, n_threads=1) as trainer:
        before = [trainer.evaluate(copies(count)) for count in (1, 3)]
        for _ in range(steps):
            trainer.train(copies(2), 1e-2)
        after = trainer.evaluate(copies(1))
        trainer.save(saved, path)
        trainer._lib.llama_model_save_to_file(trainer._model, bytes(theirs))
        trained = trainer.trained_parameters
    with Trainer(saved, n_ctx=256, n_threads=1) as again:
        same = again.evaluate(copies(1)) == after and weights(saved) == weights(theirs)
    return [*before, after], after, trained, same


def weights(path: Path) -> dict[str, bytes]:
    head, content = read_gguf(path), path.read_bytes()
    return {
        tensor.name: content[head.data_offset + tensor.offset :][: tensor.n_bytes]
        for tensor in head.tensors
    }


@pytest.mark.parametrize("architecture", TRAINABLE)
def test_a_model_learns_and_what_is_saved_is_what_was_learned(
    architecture: str, tmp_path: Path, elsewhere: Elsewhere
) -> None:
    path = write_trainable(tmp_path / "tiny.gguf", architecture)
    (alone, thrice, after), _, trained, same = elsewhere(learn, path, 12)
    assert thrice.loss_sum == pytest.approx(3 * alone.loss_sum, rel=1e-5), "kept apart"
    assert after.loss_sum < 0.9 * alone.loss_sum
    assert same, "as llama.cpp itself would have written the weights"
    before, learned = weights(path), weights(tmp_path / "saved.gguf")
    frozen = {name for name in before if before[name] == learned[name]}
    assert frozen == {"token_embd.weight"}
    assert trained == sum(len(data) // 4 for name, data in before.items() if name not in frozen)
    assert read_gguf(tmp_path / "saved.gguf").metadata == read_gguf(path).metadata


def grow_whole(path: Path) -> tuple[WindowLoss, WindowLoss]:
    from localprompt.engine.llama.training import Trainer

    everything = Window(copies(1).token_ids, copies(1).labels, (True,) * 256, (256,))
    with Trainer(path, n_ctx=256, n_threads=1) as masked:
        ours = masked.evaluate(everything)
    with Trainer(path, n_ctx=256, n_threads=1, masked=False) as plain:
        return ours, plain.evaluate(everything)


def test_where_everything_counts_the_loss_is_ggmls_own(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    ours, theirs = elsewhere(grow_whole, write_trainable(tmp_path / "tiny.gguf"))
    assert ours.loss_sum == pytest.approx(theirs.loss_sum, rel=1e-5)
    assert (ours.counted, ours.correct) == (theirs.counted, theirs.correct)
