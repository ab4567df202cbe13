"""What is going to be executed, decided before anything is.

A :class:`Cell` is one model, one prompt with its parameters, and one set of settings: everything
that the engine needs and nothing that it could look up. Cells are plain data, so that they can
be listed, estimated, stored, and sent to another process.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from localprompt.errors import InputError
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import Message, PromptTemplate
from localprompt.records.run import (
    ConversationPlace,
    Kind,
    ProfileUse,
    RequestedSettings,
    RunWarning,
    Sampling,
)

DEFAULT_MAX_TOKENS = 256

PrefixUse = Literal["whole", "apart", "kept"]
"""How the constant beginning of a prompt is evaluated: together with the rest; in batches of its
own; or that, unless an earlier run kept its state. The last two give the same answer."""


AfterUse = Literal["forget", "hold", "keep"]
"""What becomes of the state after an answer: nothing; it stays in the context for the next turn
of the same process; or that, and it is kept on disk for turns in others."""


class MemoryLimit(msgspec.Struct, frozen=True):
    """How much the process may take; settings are chosen so that it is predicted to suffice."""

    bytes: int
    """Of peak RSS."""
    fixed: tuple[str, ...] = ()
    """Fields of the settings that the user typed, and that stay as they are."""


class Cell(msgspec.Struct, frozen=True):
    """One model × prompt × settings."""

    kind: Kind
    model: ModelRecord
    template: PromptTemplate
    params: dict[str, Any]
    sampling: Sampling
    settings: RequestedSettings
    chat_template: str | None = None
    """Jinja2 text to use instead of the model's own; "" for plain completion."""
    lenient: bool = False
    """Undefined variables render empty instead of being errors."""
    force: bool = False
    """Load even where the memory is predicted not to suffice."""
    profile: ProfileUse | None = None
    """Which profile chose model and settings; None: none did."""
    prefix: PrefixUse = "whole"
    complete_json: bool = False
    """An answer that is cut is brought to its shortest valid end."""
    limit: MemoryLimit | None = None
    before: tuple[Message, ...] = ()
    """The conversation that the prompt's own messages go on from."""
    conversation: ConversationPlace | None = None
    after: AfterUse = "forget"
    notices: tuple[RunWarning, ...] = ()
    """What a reader of the record should know and what was known before the run began."""


class SamplingChoices(msgspec.Struct, frozen=True):
    """What the user asked for on the command line; None leaves it to the prompt file."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


MOST_SEED = (1 << 32) - 2
"""llama.cpp's seeds have 32 bits, and the last one means: any."""


_FIELDS = {
    "temperature": "temperature",
    "topK": "top_k",
    "topP": "top_p",
    "minP": "min_p",
    "seed": "seed",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
}
"""``model.options`` → the sampling's fields."""


def with_options(sampling: Sampling, choices: SamplingChoices, options: dict[str, Any]) -> Sampling:
    """The sampling with one case's own options, as far as the user did not choose otherwise."""
    if not options:
        return sampling
    own = sampling_for(choices, options)
    fields = {field: getattr(own, field) for name, field in _FIELDS.items() if name in options}
    return msgspec.structs.replace(sampling, **fields)


def sampling_for(choices: SamplingChoices, options: dict[str, Any]) -> Sampling:
    """The user's choices over the prompt file's ``model.options`` over the defaults.

    Args:
        choices: from the command line.
        options: v2 names: temperature, topK, topP, minP, seed, maxOutputTokens, stopSequences.

    Raises:
        InputError: a number is not finite, or the seed has more than 32 bits.
    """
    default = Sampling(max_tokens=DEFAULT_MAX_TOKENS)

    def pick(choice: Any, option: str, fallback: Any) -> Any:
        if choice is not None:
            return choice
        value = options.get(option)
        return fallback if value is None else value

    sampling = Sampling(
        temperature=float(pick(choices.temperature, "temperature", default.temperature)),
        top_k=int(pick(choices.top_k, "topK", default.top_k)),
        top_p=float(pick(choices.top_p, "topP", default.top_p)),
        min_p=float(pick(choices.min_p, "minP", default.min_p)),
        seed=int(pick(choices.seed, "seed", default.seed)),
        max_tokens=int(pick(choices.max_tokens, "maxOutputTokens", default.max_tokens)),
        stop=choices.stop or tuple(options.get("stopSequences") or ()),
    )
    for name, value in (
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("min_p", sampling.min_p),
    ):
        if not math.isfinite(value):
            raise InputError(f"{name} is not a finite number", where=name, found=str(value))
    if not 0 <= sampling.seed <= MOST_SEED:
        raise InputError(
            "the seed is out of range",
            where="seed",
            expected=f"0 to {MOST_SEED:,}; llama.cpp draws one of its own for {MOST_SEED + 1:,}",
            found=str(sampling.seed),
        )
    return sampling


class BenchRequest(msgspec.Struct, frozen=True):
    """A cell as a worker executes it. Synthetic ones have a cell too, without a prompt."""

    cell: Cell
    prefill: int = 0
    """Synthetic: tokens to evaluate at once."""
    decode: int = 0
    """Synthetic: tokens to evaluate one by one."""
    size_bytes: int | None = None
    """Of the model file when the bench was planned; with the next, how a change is noticed."""
    mtime_ns: int | None = None

    @property
    def synthetic(self) -> bool:
        return bool(self.prefill or self.decode)
