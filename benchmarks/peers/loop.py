"""The loop that people write: llama-cpp-python's high-level class, one case after the other.

It keeps its KV cache between calls and evaluates only what differs from the prompt before, so the
shared beginning costs it once, too. Run as a module, it is the process of one turn: prompts on
stdin as JSON, answers on stdout.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec

N_CTX = 2048


class Job(msgspec.Struct, frozen=True):
    weights: str
    threads: int
    prompts: tuple[str, ...]
    max_tokens: int


class Looped(msgspec.Struct, frozen=True):
    wall_seconds: float
    """First prompt → last answer; loading excluded."""
    answers: tuple[str, ...]
    shared_tokens: int
    """With which all prompts begin."""
    own_tokens: int
    """All others of all prompts."""
    generated_tokens: int


def answer_all(job: Job) -> Looped:
    """Answer every prompt, greedily."""
    from llama_cpp import Llama

    # Flash attention is what llama.cpp chooses by itself for all other contenders.
    model: Any = Llama(
        job.weights,
        n_ctx=N_CTX,
        n_threads=job.threads,
        n_threads_batch=job.threads,
        flash_attn=True,
        verbose=False,
    )
    # Something else first, so that threads and pages are there and nothing is kept of use.
    model.create_completion("Warm up.", max_tokens=2, temperature=0.0)
    answers, generated = [], 0
    started = time.perf_counter()
    for prompt in job.prompts:
        done = model.create_completion(prompt, max_tokens=job.max_tokens, temperature=0.0)
        answers.append(done["choices"][0]["text"])
        generated += done["usage"]["completion_tokens"]
    wall_seconds = time.perf_counter() - started
    tokens = [model.tokenize(prompt.encode(), special=True) for prompt in job.prompts]
    shared = common_beginning(tokens)
    own = sum(len(ids) - shared for ids in tokens)
    return Looped(wall_seconds, tuple(answers), shared, own, generated)


def common_beginning(lists: list[list[int]]) -> int:
    """The number of items with which all lists begin."""
    first, last = min(lists), max(lists)  # in order, whatever lies between begins like both
    pairs = zip(first, last, strict=False)
    same = next((at for at, (a, b) in enumerate(pairs) if a != b), None)
    return min(len(first), len(last)) if same is None else same


if __name__ == "__main__":
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(answer_all(task)))
