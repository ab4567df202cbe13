"""Decode tok/s as we report it beside llama.cpp's own account of the same run.

Both clocks look at one generation: ours from first token to last as the caller sees them, sampling
and text included; llama.cpp's (``llama_perf_context``) inside its evaluation only. What is missing
from 1 is what our side of a token costs. Run as a module, it is the process of one turn.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from benchmarks.peers.processes import run
from benchmarks.peers.results import Section, Target, figure
from benchmarks.peers.setup import Setup
from localprompt.errors import WorkerError
from localprompt.records.cell import SamplingChoices
from localprompt.records.run import RequestedSettings
from localprompt.running.assemble import RunChoices, prompt_with_params, run_cell
from localprompt.running.execute import open_session, render

TOKENS = 128
NEAR_ITS_OWN = Target(at_least=0.95)
STORY = Path(__file__).with_name("story.prompty")
"""A prompt whose answer goes on until it is cut."""


class Accounts(msgspec.Struct, frozen=True):
    """One generation, told twice."""

    tokens: int
    ours_per_second: float
    llama_per_second: float


def measure(setup: Setup) -> Section:
    """One process for each turn."""
    program = [sys.executable, "-m", "benchmarks.peers.accounting"]
    turns = [
        msgspec.json.decode(run([*program, setup.model, str(setup.threads)]).stdout, type=Accounts)
        for _ in range(setup.pairs)
    ]
    return Section(
        name="accounting",
        title="Decode rate beside llama.cpp's own account",
        how=f"One answer of {TOKENS} tokens in each process: the rate of its run record, and "
        "n_eval / t_eval of llama_perf_context for the same answer.",
        figures=(
            figure(
                f"decode, {TOKENS} tokens",
                "tok/s",
                ("run record", [turn.ours_per_second for turn in turns]),
                ("llama_perf_context", [turn.llama_per_second for turn in turns]),
                NEAR_ITS_OWN,
            ),
        ),
    )


def generate(model: str, threads: int) -> Accounts:
    """Answer once, in this process.

    Raises:
        LocalPromptError: the model cannot be run, or its answer ends too early.
    """
    from localprompt.engine.llama.engine import LlamaEngine

    template, params = prompt_with_params(str(STORY), (), lambda: None)
    choices = RunChoices(
        model=model,
        sampling=SamplingChoices(max_tokens=TOKENS),
        settings=RequestedSettings(n_threads=threads),
    )
    cell = run_cell(template, params, choices)
    rendered = render(cell)
    engine = LlamaEngine(Path(cell.model.path), cell.settings)
    with open_session(cell, rendered, lambda _: engine) as session:
        run_record = session.run(cell, rendered).record
        account = engine.context.perf()
    rate = run_record.timing.decode_tokens_per_second
    if run_record.tokens.completion < TOKENS or rate is None:
        raise WorkerError(
            "the answer ended too early to be timed",
            expected=f"{TOKENS} tokens",
            found=f"{run_record.tokens.completion}",
        )
    return Accounts(
        run_record.tokens.completion, rate, account["n_eval"] / (account["t_eval_ms"] / 1e3)
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(generate(sys.argv[1], int(sys.argv[2]))))
