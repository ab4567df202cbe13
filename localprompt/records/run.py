"""The run record: one JSON object per execution.

``--json``, the store, exports, benches and evaluations all share it. Field names carry their unit
(``_seconds``, ``_bytes``, ``_tokens``, ``_per_second``) and ``None`` means unknown, never zero.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from localprompt.records.model import AdapterUse, ModelRecord
from localprompt.records.prompt import Message


class PromptRecord(msgspec.Struct, frozen=True):
    """The prompt that was asked."""

    name: str | None
    """None for a prompt typed in place."""
    path: str | None
    sha256: str | None
    """Of the template file."""
    params: dict[str, Any]
    messages: tuple[Message, ...]
    rendered_sha256: str
    """Of the UTF-8 text that the model received."""
    token_ids_sha256: str
    """Of the token ids as little-endian int32."""
    chat_template_sha256: str | None
    """None for a base model: plain completion."""


CONTEXT_STEP = 256
"""llama.cpp rounds a context, and each part of its KV cache, up to a multiple of this."""


def whole_context(tokens: int) -> int:
    """The smallest context that llama.cpp makes to hold so many tokens."""
    return -(-tokens // CONTEXT_STEP) * CONTEXT_STEP


class Settings(msgspec.Struct, frozen=True):
    """How llama.cpp was set up; the effective values, not the requested ones."""

    n_ctx: int
    """KV cache cells, in tokens."""
    n_batch: int
    """Logical batch: tokens handed over in one call."""
    n_ubatch: int
    """Physical batch: tokens computed in one graph."""
    n_threads: int
    """Threads for decoding."""
    n_threads_batch: int
    """Threads for prefill."""
    type_k: str
    """Type of the keys in the KV cache: f32, f16, bf16, q8_0, q4_0, …"""
    type_v: str
    """Type of the values in the KV cache."""
    flash_attn: bool | None
    use_mmap: bool
    """Whether weights lie in a mapping of their file; else they were read."""
    repack: bool
    """Whether weights were copied into a layout made for this CPU (AMX is one)."""
    buffers: dict[str, int] | None = None
    """Bytes of weights by llama.cpp's name of the buffer type: ``AMX``, ``CPU_REPACK``,
    ``CPU_Mapped``, …; of a mapping, the stretch that is used. None in records of before."""
    adapters: tuple[AdapterUse, ...] = ()
    """LoRA adapters on top of the weights."""
    attention: str | None = None
    """Why flash_attn is what it is, where the program chose; None: nobody asked it to."""


class RequestedSettings(msgspec.Struct, frozen=True):
    """What is asked of llama.cpp; None leaves the choice to the program.

    What became of it comes back as :class:`Settings`.
    """

    n_ctx: int | None = None
    """None: as much as the prompt and its answer need."""
    n_batch: int | None = None
    n_ubatch: int | None = None
    n_threads: int | None = None
    """None: one per physical core that may be used."""
    n_threads_batch: int | None = None
    """None: as many as ``n_threads``."""
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attn: bool | None = None
    """None: where it is supported."""
    use_mmap: bool | None = None
    """None: mapped, except where much of it would be copied for this CPU."""
    repack: bool = True
    adapters: tuple[AdapterUse, ...] = ()
    """LoRA adapters to put on top of the weights."""


class Sampling(msgspec.Struct, frozen=True):
    """How the next token was chosen."""

    temperature: float = 0.0
    """0 is greedy."""
    top_k: int = 40
    """0 or below: off."""
    top_p: float = 0.95
    """1: off."""
    min_p: float = 0.05
    """0: off."""
    seed: int = 0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    grammar_sha256: str | None = None
    """Of what the answer was held to: a schema, choices or a grammar; None: free text."""


class TokenCounts(msgspec.Struct, frozen=True):
    prompt: int
    """Tokens that the model received, reused ones included."""
    reused: int
    """Of those, how many came out of a kept state instead of prefill."""
    completion: int
    """Tokens generated, the end-of-generation token not counted."""
    forced: int | None = None
    """Of those, how many a schema or grammar left no choice about: written without asking the
    model."""
    drafted: int | None = None
    """Tokens guessed from what was written before, and evaluated beside the answer's own."""
    accepted: int | None = None
    """Of those guesses, how many were what the model chose."""


class Timing(msgspec.Struct, frozen=True):
    """Where the time went. Every figure is measured, none derived from a rate."""

    load_seconds: float | None
    """Opening the weights and making the context."""
    render_seconds: float | None
    """Template and parameters → messages."""
    tokenize_seconds: float | None
    """Messages → chat template → token ids."""
    prefill_seconds: float | None
    """Evaluating the prompt's tokens, up to the logits of the last."""
    ttft_seconds: float | None
    """Request submitted → first non-empty text; tokenization included, load excluded."""
    decode_seconds: float | None
    """First token → last token."""
    total_seconds: float | None
    """Render, tokenize, prefill and decode; load excluded."""
    prefill_tokens_per_second: float | None
    """(prompt − reused) / prefill_seconds."""
    decode_tokens_per_second: float | None
    """(completion − 1) / decode_seconds."""
    itl_p50_seconds: float | None
    """Median gap between two tokens."""
    itl_p95_seconds: float | None
    prefix_store_seconds: float | None = None
    """Finding, checking and reading the kept state of the prompt's beginning, or writing that of
    its constant one; part of TTFT and not of prefill. None where no store was asked."""


class Memory(msgspec.Struct, frozen=True):
    """What the process took. Mapped weights are file-backed and count once."""

    baseline_rss_bytes: int | None
    """Resident before the model was opened."""
    peak_rss_bytes: int | None
    """The most that was ever resident (VmHWM on Linux, ru_maxrss elsewhere)."""
    anonymous_bytes: int | None
    """Resident and private to the process, when the run ended (RssAnon)."""
    file_backed_bytes: int | None
    """Resident and backed by files, when the run ended (RssFile)."""
    weights_bytes: int | None
    """The mapped file's tensors and all copies: what was resident together at the peak."""
    kv_cache_bytes: int | None
    compute_bytes: int | None
    predicted_peak_bytes: int | None = None
    """What was predicted before loading: an estimate, beside what was measured."""
    max_memory_bytes: int | None = None
    """The peak that the user allowed (``--max-memory``); n_ctx, the KV cache's types and n_ubatch
    were chosen for it. None: no limit was asked for."""


FinishReason = Literal["stop", "length", "interrupted", "error"]


class Output(msgspec.Struct, frozen=True):
    text: str
    parsed: Any
    """The answer as JSON where a schema was asked for and met; otherwise None. Of JSON Lines the
    list of the lines that are whole."""
    finish_reason: FinishReason
    """stop: end of generation, a stop string, or nothing more that a schema allows; length: cut at
    max_tokens or n_ctx; interrupted: by the user; error: the engine failed half-way."""
    completed: str | None = None
    """The end of the text, where the model was cut off and ``--complete-json`` had the shortest
    valid ending added; None: all of the text is the model's."""


class Machine(msgspec.Struct, frozen=True):
    id: str
    """A digest of what makes machines comparable: CPU, cores, memory, OS. No serial numbers."""
    cpu: str | None
    physical_cores: int | None
    logical_cores: int | None
    memory_bytes: int | None
    os: str
    kernel: str
    python: str
    llama_cpp_build: str | None
    """Version of llama-cpp-python and how it was built."""
    cpu_features: tuple[str, ...]
    """As llama.cpp's build sees them: AVX2, AVX512, …"""
    governor: str | None
    on_battery: bool | None
    throttled: bool | None
    """Whether the kernel counted thermal throttling during the run."""
    usable_cores: float | None = None
    """Cores that affinity or a container's CPU quota leave; None where nothing restricts."""
    memory_limit_bytes: int | None = None
    """What a container may use at most, where that is less than the machine has."""


class RunWarning(msgspec.Struct, frozen=True):
    """Something that a reader of the figures should know, and what to do about it."""

    code: str
    message: str
    advice: str


class ProfileUse(msgspec.Struct, frozen=True):
    """Which profile chose model and settings."""

    name: str
    model: str
    """The model that was asked for; the record's own is the one that ran."""
    settings: tuple[str, ...] = ()
    """Fields of the settings that the profile set."""
    tuning: str | None = None
    """The id of the tuning that found it."""


class BenchPlace(msgspec.Struct, frozen=True):
    """Where a run belongs in a bench."""

    experiment_id: str
    cell: str
    """The planned cell's key."""
    repetition: int
    """From 0, in the order of execution."""
    phase: Literal["memory", "timing"]
    """Which pass: the memory pass's times and the timing pass's memory are not for comparison."""
    cold_load: bool | None = None
    """Memory pass: whether the weights were out of the page cache when they were opened; None
    where that could not be told."""


class ConversationPlace(msgspec.Struct, frozen=True):
    """Where a run belongs in a conversation."""

    turns: tuple[str, ...] = ()
    """Ids of the runs that made the turns before this one, the oldest first; its messages hold
    their text."""

    @property
    def parent(self) -> str | None:
        """The run whose answer this one goes on from; None: it is the first turn."""
        return self.turns[-1] if self.turns else None


Kind = Literal["ask", "run", "chat", "bench", "eval", "tune", "finetune"]


class RunRecord(msgspec.Struct, frozen=True):
    """One execution of one prompt on one model: what ``--json`` prints and the store keeps."""

    id: str
    """Sorts by time: 26 characters, ULID layout."""
    kind: Kind
    created_at: str
    """UTC, ISO 8601."""
    localprompt_version: str
    model: ModelRecord
    prompt: PromptRecord
    settings: Settings
    sampling: Sampling
    tokens: TokenCounts
    timing: Timing
    memory: Memory
    output: Output
    machine: Machine
    warnings: tuple[RunWarning, ...] = ()
    bench: BenchPlace | None = None
    """Set for runs of kind ``bench`` and ``tune``."""
    profile: ProfileUse | None = None
    """None: no profile was followed."""
    conversation: ConversationPlace | None = None
    """None: a prompt by itself, from which a conversation may begin."""


class Samples(msgspec.Struct, frozen=True):
    """The raw times of one run, kept so that statistics can be derived again when read."""

    token_seconds: tuple[float, ...]
    """When each token was there, in seconds since the request was submitted."""
