"""lm-eval's side of ``lm_eval_agreement.py``; runs in an environment of its own that has lm-eval.

python lm_eval_model.py TASK.yaml WEIGHTS.gguf THREADS LIMIT OUTPUT.json
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

import numpy as np
from llama_cpp import Llama
from lm_eval import simple_evaluate
from lm_eval.api.model import TemplateLM
from lm_eval.models.gguf import GGUFLM
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

N_CTX = 2048


class LlamaCpp(TemplateLM):
    """A GGUF in this process. What a request shares with the one before stays in the cache."""

    def __init__(self, weights: str, threads: int) -> None:
        super().__init__()
        self._llama = Llama(
            weights,
            n_ctx=N_CTX,
            n_threads=threads,
            n_threads_batch=threads,
            logits_all=True,
            flash_attn=True,
            verbose=False,
        )

    @property
    def eot_token_id(self) -> int:
        return self._llama.token_eos()

    @property
    def prefix_token_id(self) -> int:
        bos = self._llama.token_bos()
        return bos if bos >= 0 else self.eot_token_id

    def tok_encode(self, string, add_special_tokens=None, **kwargs):
        adds = bool(self._llama._model.add_bos_token()) and add_special_tokens is not False
        return self._llama.tokenize(string.encode(), add_bos=adds, special=False)

    def _loglikelihood_tokens(self, requests, **kwargs):
        return [self._scored(context, after) for _, context, after in requests]

    def _scored(self, context, after):
        llama, tokens = self._llama, [*context, *after][:-1]
        held = llama._input_ids[: llama.n_tokens].tolist()
        kept = next(
            (n for n, (a, b) in enumerate(zip(held, tokens, strict=False)) if a != b),
            min(len(held), len(tokens)),
        )
        kept = min(kept, len(context) - 1)  # the logits after the context's end are needed
        llama.n_tokens = kept
        llama.eval(tokens[kept:])
        rows = llama.scores[len(context) - 1 : len(tokens)]
        largest = rows.max(axis=1)
        total = np.log(np.exp(rows - largest[:, None]).sum(axis=1)) + largest
        logs = rows[np.arange(len(after)), after] - total
        return float(logs.sum()), bool((rows.argmax(axis=1) == np.array(after)).all())

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        raise NotImplementedError

    def generate_until(self, requests, disable_tqdm=False):
        return [self._written(*request.args) for request in requests]

    def _written(self, context, options):
        done = self._llama.create_completion(
            self.tok_encode(context),
            max_tokens=options["max_gen_toks"],
            stop=options["until"],
            temperature=0.0,
        )
        return done["choices"][0]["text"]


def main() -> None:
    file, weights, threads, limit, output = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    by_server = weights.startswith("http:")
    model = GGUFLM(base_url=weights) if by_server else LlamaCpp(weights, int(threads))
    config = load_yaml(file)
    started = time.perf_counter()
    result = simple_evaluate(
        model,
        tasks=[config],
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
        limit=int(limit),
    )
    seconds = time.perf_counter() - started
    samples = sorted(result["samples"][config["task"]], key=lambda sample: sample["doc_id"])
    cases = [_case(sample, config) for sample in samples]
    found = {"seconds": seconds, "results": result["results"], "cases": cases}
    Path(output).write_text(json.dumps(found, default=str), encoding="utf-8")


def _case(sample, config):
    first = sample["arguments"]["gen_args_0"] if isinstance(sample["arguments"], dict) else None
    text = first["arg_0"] if first else sample["arguments"][0][0]
    if config["output_type"] == "generate_until":
        return {"answer": sample["resps"][0][0], "logs": [], "text": text}
    scored = [response[0] for response in sample["resps"]]
    logs = [float(value) for value, _ in scored]
    if config["output_type"] == "loglikelihood":
        return {"answer": str(scored[0][1]) == "True", "logs": logs, "text": text}
    return {"answer": config["doc_to_choice"][int(np.argmax(logs))], "logs": logs, "text": text}


if __name__ == "__main__":
    main()
