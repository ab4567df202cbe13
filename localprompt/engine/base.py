"""The seam between what localprompt asks for and what executes it.

An :class:`Engine` holds one model. It turns messages into token ids, opens a context of the size
that is needed, and generates: one request or many, through the same call. Everything above this
seam sees only the types in this module; llama.cpp stands behind it in ``engine.llama``, and
``engine.scripted`` is a deterministic double for edge cases that no model produces on demand.

The life of an engine::

    with open_engine(...) as engine:                    # weights are opened
        prompt = engine.encode(messages)                # text → token ids
        engine.prepare(requested, n_ctx=...)             # the context: KV cache, compute buffers
        for event in engine.generate([request]): ...    # Prefilled, Token…, Finished

Times in events are ``time.perf_counter()`` seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import msgspec

from localprompt.records.attention import AttentionTable, Heads, StepCost
from localprompt.records.prompt import Message, Span
from localprompt.records.received import PromptToken
from localprompt.records.run import RequestedSettings, RunWarning, Sampling, Settings

EndReason = Literal["stop", "length"]
StateConditions = dict[str, Any]
"""Plain data: two states whose conditions are equal are interchangeable."""


Tools = Sequence[Mapping[str, Any]]
"""As chat templates take them: ``{type: function, function: {name, description, parameters}}``."""


class EncodedPrompt(msgspec.Struct, frozen=True):
    """A prompt as the model receives it."""

    text: str
    """The chat template applied, before tokenization."""
    spans: tuple[Span, ...]
    """The same text in stretches of one origin."""
    token_ids: tuple[int, ...]
    tail: str
    """What stands behind the last control token; all of the text where there is none. Whatever
    follows the prompt is tokenized as one piece with it."""
    chat_template_sha256: str | None
    """None: the model has no chat template, the prompt is a plain completion."""
    rewritten: bool = False
    """The chat template changed the text of a message; origins are then approximate."""
    system_folded: bool = False
    """The chat template knows no system role; that text was put before the first user's."""


class ModelFacts(msgspec.Struct, frozen=True):
    """What the engine knows of the model that it has open."""

    architecture: str | None
    n_ctx_train: int
    chat_template: str | None
    """Jinja2 text; None for a base model."""


class BufferSizes(msgspec.Struct, frozen=True):
    """Memory as llama.cpp reports it, in bytes; None where it did not say."""

    weights_bytes: int | None
    kv_cache_bytes: int | None
    compute_bytes: int | None


class Constraint(msgspec.Struct, frozen=True):
    """What an answer is held to; made by :mod:`localprompt.engine.constraints`."""

    grammar: str
    """In llguidance's notation; equal texts let the same answers through."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.grammar.encode()).hexdigest()


class GenerationRequest(msgspec.Struct, frozen=True):
    token_ids: tuple[int, ...]
    sampling: Sampling
    constraint: Constraint | None = None
    """None: free text."""
    held_tokens: int = 0
    """So many tokens at the beginning are in the context already, put there by
    :meth:`Engine.evaluate_prefix` or :meth:`Engine.restore_prefix`, or left there by the request
    before; at least one is left."""
    keep: bool = False
    """Leave the prompt and its answer in the context; see :attr:`Engine.held`."""


class Prefilled(msgspec.Struct, frozen=True):
    """The prompt is evaluated and the logits of its last token are there."""

    request: int
    """Index into the requests of the call."""
    seconds: float
    reused_tokens: int = 0
    """Tokens of the prompt that were evaluated for several requests together, before this one."""
    started_seconds: float | None = None
    """When the request got its turn; what it waited for the requests before it is not its own."""


class Shortcuts(msgspec.Struct, frozen=True):
    """Tokens of an answer that did not take a step of their own, counted from its beginning."""

    forced: int = 0
    """Nothing else was allowed where they stand: put in without asking the model."""
    drafted: int = 0
    """Guessed from what was written before, and evaluated together with the token before them."""
    accepted: int = 0
    """Of those guesses, how many were what the model then chose."""


NO_SHORTCUTS = Shortcuts()


class Token(msgspec.Struct, frozen=True):
    """A token was generated."""

    request: int
    seconds: float
    token_id: int
    text: str
    """What may be shown now: empty while a character or a stop string is incomplete."""
    shortcuts: Shortcuts = NO_SHORTCUTS
    """Up to this token."""


class Finished(msgspec.Struct, frozen=True):
    """The request is answered; ``text`` is what was still held back."""

    request: int
    seconds: float
    reason: EndReason
    text: str = ""
    shortcuts: Shortcuts = NO_SHORTCUTS


Event = Prefilled | Token | Finished


class Choice(msgspec.Struct, frozen=True):
    """One answer of a closed set, as the model would write it after a certain prompt."""

    text: str
    token_ids: tuple[int, ...]


class ChoiceRequest(msgspec.Struct, frozen=True):
    """How probable is each choice after this prompt?"""

    token_ids: tuple[int, ...]
    choices: tuple[Choice, ...]


class ChoiceScore(msgspec.Struct, frozen=True):
    """What is needed to compare choices raw, by length, or against a content-free prompt."""

    text: str
    log_probability: float
    """Natural logarithm; the sum over the choice's tokens of their log-probability among all
    tokens of the vocabulary, each given the prompt and the tokens before it."""
    n_tokens: int
    n_bytes: int
    """Of the choice's text in UTF-8, as it was given."""
    greedy: bool = False
    """Each of its tokens was the most probable one where it stands."""


class Scored(msgspec.Struct, frozen=True):
    """The choices of one request, in its order."""

    request: int
    """Index into the requests of the call."""
    seconds: float
    scores: tuple[ChoiceScore, ...]
    reused_tokens: int = 0
    started_seconds: float | None = None
    """As in :class:`Prefilled`."""


class Engine(Protocol):
    """One open model. Not safe for use by two threads at once."""

    @property
    def facts(self) -> ModelFacts: ...

    @property
    def settings(self) -> Settings:
        """Effective settings; an EngineError before :meth:`prepare`."""
        ...

    @property
    def buffers(self) -> BufferSizes: ...

    @property
    def build(self) -> str:
        """The library and its version, as ``llama-cpp-python 0.3.36``."""
        ...

    @property
    def remarks(self) -> tuple[RunWarning, ...]:
        """What a reader of its records should know about how it was opened."""
        ...

    @property
    def cpu_features(self) -> tuple[str, ...]:
        """The instruction sets that this build uses on this CPU."""
        ...

    def encode(self, messages: Sequence[Message], tools: Tools = ()) -> EncodedPrompt:
        """Apply the chat template and tokenize; text from variables stays plain text.

        Args:
            tools: definitions of functions that the model may call.

        Raises:
            PromptFileError: the chat template refuses the conversation, or takes no tools.
        """
        ...

    def complete(self, text: str) -> EncodedPrompt:
        """The text as it stands, for a model that goes on from it: no chat template, no control
        tokens but the one that begins a text."""
        ...

    def explain(self, prompt: EncodedPrompt) -> tuple[PromptToken, ...]:
        """Its tokens, each with its text and where that came from; as many as ``token_ids``."""
        ...

    def prepare(
        self,
        requested: RequestedSettings,
        *,
        n_ctx: int,
        parallel: int = 1,
        kv_unified: bool = True,
    ) -> None:
        """Open a context for ``parallel`` sequences.

        Args:
            n_ctx: at least so many cells, which all sequences share.
            kv_unified: False gives so many to each, which is faster where many sequences decode,
                takes more memory, and cannot score choices.
        """
        ...

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Event]:
        """Answer the requests; events of different requests may interleave.

        In a context of several sequences requests are read ahead a bounded number, sorted, and
        what they begin with is evaluated once. Closing the iterator early abandons what is not
        finished.
        """
        ...

    def with_choices(self, prompt: EncodedPrompt, choices: Sequence[str]) -> ChoiceRequest:
        """The choices tokenized as the model would write them after this prompt.

        Raises:
            InputError: a choice is empty or there twice.
        """
        ...

    def with_continuations(self, text: str, continuations: Sequence[str]) -> ChoiceRequest:
        """What may follow a text, tokenized as lm-evaluation-harness does: white space at the
        text's end belongs to what follows it.

        Raises:
            InputError: there is nothing to measure in one of them.
        """
        ...

    def score_choices(self, requests: Iterable[ChoiceRequest]) -> Iterator[Scored]:
        """Score the requests, many in one batch, in the order that suits the engine."""
        ...

    def embed(self, text: str) -> tuple[tuple[float, ...], bool]:
        """The vector of a text, of length 1, and whether it is the average of states that answer,
        for want of a model that was trained for embeddings.

        Raises:
            ContextOverflowError: the text is too long.
            EngineError: llama.cpp fails.
        """

    @property
    def state_conditions(self) -> StateConditions | None:
        """What the state after a prompt's beginning depends on, beside the weights and the
        tokens; None where this model's states cannot be kept. After :meth:`prepare`."""
        ...

    def attention_table(
        self, heads: Heads, *, may_measure: bool, on_wait: Callable[[], None] = lambda: None
    ) -> AttentionTable | None:
        """What attention takes here either way; None: not known, or not this model's business.

        Args:
            may_measure: whether a second or two may be spent to find out.
            on_wait: called before they are.
        """
        ...

    def steps(self) -> tuple[StepCost, ...]:
        """What batches of this model take at the beginning of a context: measured once, in
        some seconds at most, and kept; empty where it cannot be. An open context is empty then."""
        ...

    def evaluate_prefix(self, token_ids: Sequence[int], *, with_flash: bool = False) -> None:
        """Evaluate the beginning of a prompt, in batches of its own.

        Args:
            with_flash: with flash attention, in a context that is open without.

        The next request goes on from it (``held_tokens``). Only in a context of one sequence,
        and as all methods on prefixes only where there are ``state_conditions``.
        """
        ...

    def save_prefix(self, token_ids: Sequence[int], path: Path) -> None:
        """Write the state of the prefix that was just evaluated; the file exists and is empty.

        Raises:
            EngineError: it could not be written, as on a full disk.
        """
        ...

    def restore_prefix(
        self, token_ids: Sequence[int], path: Path, *, from_flash: bool = False
    ) -> bool:
        """Bring back a state, with the same logits afterwards as if it had been evaluated.

        Args:
            from_flash: it was written by a context with flash attention, and this one is without.
            path: what :meth:`save_prefix` wrote under equal conditions, byte for byte; more may
                follow it.

        Returns:
            False: the file is gone or does not hold these tokens; nothing was brought back.
        """
        ...

    @property
    def can_cut(self) -> bool:
        """Whether every state of this model can go back to a shorter one."""
        ...

    def can_cut_held(self, count: int) -> bool:
        """Whether what the open context holds can go back to its first tokens."""
        ...

    @property
    def held(self) -> tuple[int, ...]:
        """The tokens whose state is in the open context and that a request can go on from."""
        ...

    def cut_held(self, count: int) -> bool:
        """Take all but the first tokens out of the context; 0 empties it, whatever is there.

        Returns:
            False: this state cannot go back so far; nothing is held any more.
        """
        ...

    def reopen(self, requested: RequestedSettings, *, n_ctx: int) -> None:
        """As :meth:`prepare`, for one sequence, and what the open context holds is carried over.
        From a context with flash attention it can go to one without, not the other way.

        Raises:
            EngineError: it cannot; a context is open, and holds nothing.
        """
        ...

    def turn_conditions(self, requested: RequestedSettings, n_ctx: int) -> StateConditions | None:
        """As :attr:`state_conditions`, for a context that is still to be opened, and whatever the
        batches in which a state came to be."""
        ...

    def saved_tokens(self, path: Path) -> tuple[int, ...]:
        """The tokens whose state is in a file of :meth:`save_prefix`; empty for any other file.

        Raises:
            OSError: it cannot be read.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
