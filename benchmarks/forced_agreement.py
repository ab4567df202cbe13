"""Forced tokens in one batch against the same tokens one by one: do the answers agree?

What a schema forces is evaluated together with the token before it. The tokens are the same either
way, so greedy answers can only differ by rounding: a product of several rows adds up in another
order than products of one row each. This counts how often that tips an answer, and shows how close
the two candidates were where it did.

    python -m benchmarks.forced_agreement FILE [-n 200] [-m MODEL] [--threads N] [--max-tokens 80]

FILE is JSON: a list of pairs of a name and a mapping with ``schema`` in it. Public collections can
be brought into that form; none is part of this project.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from localprompt.engine.base import Finished, GenerationRequest, Token
from localprompt.engine.constraints.holding import hold
from localprompt.engine.device import Chosen, RequestSampler
from localprompt.engine.llama.engine import LlamaEngine
from localprompt.engine.llama.logits import row
from localprompt.errors import LocalPromptError
from localprompt.measure import machine
from localprompt.models.cards import DEFAULT_MODEL
from localprompt.records.prompt import Message, Segment
from localprompt.records.run import RequestedSettings, Sampling
from localprompt.running.assemble import model_record

NEAR = 0.05
"""A difference of logits that rounding is known to bridge here."""


class OneByOne:
    """A sampler whose forced tokens take a step each; notes how near each choice was."""

    def __init__(self, inner: RequestSampler, engine: LlamaEngine) -> None:
        self._inner = inner
        self._engine = engine
        self._queue: list[int] = []
        self.margins: list[float] = []
        """Of each token: the best logit less the second; 0 where it was forced."""

    def choose(self, batch_index: int) -> Chosen:
        if not self._queue:
            self._note(batch_index)
            self._queue = list(self._inner.choose(batch_index).token_ids)
        else:
            self.margins.append(0.0)
        return Chosen((self._queue.pop(0),))

    def fitting(self, token_ids: Sequence[int]) -> int:
        return 0

    @property
    def finished(self) -> bool:
        return not self._queue and self._inner.finished

    def close(self) -> None:
        self._inner.close()

    def _note(self, batch_index: int) -> None:
        context = self._engine.context
        logits = row(context.pointer, batch_index, len(self._engine.vocabulary))
        best, second = sorted(logits[logits.argpartition(-2)[-2:]].tolist(), reverse=True)
        self.margins.append(best - second)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("-n", type=int, default=200, help="schemas (%(default)s)")
    parser.add_argument("-m", "--model", default=DEFAULT_MODEL)
    parser.add_argument("--threads", type=int, default=machine.default_threads())
    parser.add_argument("--max-tokens", type=int, default=80)
    options = parser.parse_args()
    model = model_record(options.model)
    named = json.loads(options.file.read_text(encoding="utf-8"))[: options.n]
    counts: Counter[str] = Counter()
    with (
        suppress(KeyboardInterrupt),
        LlamaEngine(Path(model.path), model_sha256=model.sha256) as engine,
    ):
        for name, content in named:
            said = _compare(engine, content["schema"], options)
            counts[said.partition(":")[0]] += 1
            if ":" in said:
                print(f"{name}: {said}", flush=True)
    print(json.dumps(counts))
    return 0


def _compare(engine: LlamaEngine, schema: Any, options: argparse.Namespace) -> str:
    try:
        constraint = hold(schema).constraint
    except LocalPromptError as error:
        return f"refused: {error.message}"
    prompt = f"Write an example for this JSON Schema:\n{json.dumps(schema)[:200]}"
    encoded = engine.encode([Message("user", (Segment(prompt),))])
    settings = RequestedSettings(n_threads=options.threads)
    engine.prepare(settings, n_ctx=len(encoded.token_ids) + options.max_tokens)
    sampling = Sampling(max_tokens=options.max_tokens)
    request = GenerationRequest(encoded.token_ids, sampling, constraint)
    context = engine.context
    context.can_rewind = False  # guesses are another matter
    together = _tokens(engine, request)
    ours = context.sampler
    made: list[OneByOne] = []

    def one_by_one(request: GenerationRequest) -> OneByOne:
        made.append(OneByOne(ours(request), engine))
        return made[-1]

    vars(context)["sampler"] = one_by_one
    single = _tokens(engine, request)
    del vars(context)["sampler"]
    if together == single:
        return "same"
    pairs = zip(together, single, strict=False)
    at = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(together), len(single)))
    margin = made[0].margins[at] if at < len(made[0].margins) else 0.0
    kind = "rounding" if margin < NEAR else "other"
    return f"{kind}: token {at} of {len(single)}, the two best logits {margin:.4f} apart"


def _tokens(engine: LlamaEngine, request: GenerationRequest) -> list[int]:
    ids = []
    for event in engine.generate([request]):
        if isinstance(event, Token):
            ids.append(event.token_id)
        elif isinstance(event, Finished):
            break
    return ids


if __name__ == "__main__":
    sys.exit(main())
