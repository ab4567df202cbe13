"""Wordings that a model writes: only where the user names one with ``--rewrite-with``.

Small models that rewrite whole prompts lose variables and answer the prompt instead. So a model is
given the instruction alone, and what it writes takes the instruction's place in a prompt that keeps
its inputs. What is empty, endless, or looks like a template or a role line is not taken; what is
taken races as every other wording does, so a bad one costs a block of cases and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from localprompt.engine.base import Finished, GenerationRequest, Token
from localprompt.errors import InputError
from localprompt.evaluate.models import OpenModel
from localprompt.improve.turns import Simple, simple
from localprompt.improve.wordings import Wording, built, check_variables
from localprompt.records.prompt import Message, PromptTemplate, Segment
from localprompt.records.run import Sampling
from localprompt.rendering.segments import ROLE_LIKE

COUNT = 6
_MOST_TOKENS = 96
_TEMPERATURE = 0.8
_LONGEST = 600
_ASK = (
    "Write this instruction in other words. Keep its meaning. "
    "Answer with the new instruction alone."
)


def rewritten(template: PromptTemplate, writer: OpenModel, *, seed: int) -> tuple[Wording, ...]:
    """Up to COUNT wordings whose instruction the writer wrote.

    Raises:
        InputError: the template has no instruction that could be told apart.
        EngineError: llama.cpp fails.
    """
    parts = simple(template.body)
    if parts is None or not parts.instruction:
        raise InputError(
            "this prompt has no instruction for a model to rewrite",
            where="--rewrite-with",
            expected="a system instruction, and a last turn that names its inputs",
            found=template.path or template.name,
        )
    found: dict[str, Wording] = {}
    for number, text in enumerate(_written(parts.instruction, writer, seed), start=1):
        instruction = instruction_in(text)
        if instruction is None or instruction == parts.instruction:
            continue
        wording = _placed(parts, template, instruction, f"instruction {number} by the writer")
        check_variables(wording.body, template, "--rewrite-with")
        found.setdefault(instruction, wording)
    return tuple(found.values())


def instruction_in(text: str) -> str | None:
    """The instruction in what a model wrote; None where there is none to be used."""
    first = text.strip().split("\n\n")[0].strip().strip("\"'“”").strip()
    marks = ("{{", "{%", "{#", "```")
    if not first or len(first) > _LONGEST or any(mark in first for mark in marks):
        return None
    return None if ROLE_LIKE.search(first) else first


def _placed(parts: Simple, template: PromptTemplate, instruction: str, name: str) -> Wording:
    """The prompt with another instruction, all else as it is."""
    other = msgspec.structs.replace(parts, instruction=instruction)
    wording = built(other, template, place="system", cue=parts.cue, asking=True)
    return msgspec.structs.replace(wording, name=name)


def _written(instruction: str, writer: OpenModel, seed: int) -> Iterator[str]:
    """What the writer says, a text for each seed."""
    messages: Sequence[Message] = (Message("user", (Segment(f"{_ASK}\n\n{instruction}"),)),)
    prompt = writer.engine.encode(messages)
    requests = [
        GenerationRequest(
            prompt.token_ids,
            Sampling(max_tokens=_MOST_TOKENS, temperature=_TEMPERATURE, seed=seed + number),
        )
        for number in range(COUNT)
    ]
    writer.prepare([len(prompt.token_ids) + _MOST_TOKENS] * COUNT)
    texts = [""] * COUNT
    for event in writer.engine.generate(requests):
        if isinstance(event, Token | Finished):
            texts[event.request] += event.text
    yield from texts
