"""The engine that runs GGUF models on the CPU, inside this process, through llama.cpp."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from localprompt.engine import batching, crashes
from localprompt.engine.base import (
    BufferSizes,
    Choice,
    ChoiceRequest,
    EncodedPrompt,
    Event,
    GenerationRequest,
    ModelFacts,
    Scored,
    StateConditions,
    Tools,
)
from localprompt.engine.choices import choice_tokens, continuation_tokens, deciding_end
from localprompt.engine.device import HELD_SEQUENCE
from localprompt.engine.llama import state
from localprompt.engine.llama.adapters import Adapters
from localprompt.engine.llama.buffers import WeightBuffers
from localprompt.engine.llama.constraining import Constraining
from localprompt.engine.llama.context import Context, buffer_sizes, can_cut
from localprompt.engine.llama.embedding import Embedder
from localprompt.engine.llama.library import build, cpu_features, library, load_model, log
from localprompt.engine.llama.proof import gate
from localprompt.engine.llama.steps import STEP_CONTEXT, measured_steps
from localprompt.engine.llama.vocab import Vocabulary
from localprompt.errors import EngineError, InputError, ModelFileError, PromptFileError
from localprompt.gguf.adapter import check_each
from localprompt.measure import machine
from localprompt.records.attention import AttentionTable, Heads, StepCost
from localprompt.records.prompt import Message, Span
from localprompt.records.received import PromptToken
from localprompt.records.run import RequestedSettings, Settings, whole_context
from localprompt.rendering.chat import ChatPrompt, apply_chat_template, plain_completion

if TYPE_CHECKING:
    from localprompt.engine.llama.proof.attention import OfModel

_DEFAULTS = RequestedSettings()


class LlamaEngine:
    """Opens a GGUF file; implements :class:`localprompt.engine.base.Engine`.

    Args:
        path: the GGUF file.
        requested: ``use_mmap`` and ``repack`` say how the weights are opened.
        chat_template: Jinja2 text to use instead of the model's own; "" for plain completion.
        vocab_only: open only the vocabulary, enough to encode, not to generate.
        prove: False opens it even where llama.cpp is known not to work on this CPU.
        model_sha256: of the file, where it is known; by it the vocabulary's tokens are kept for
            constraints of later runs.
        constrained: answers will be held to something; that is made ready beside the loading.

    Raises:
        ModelFileError: llama.cpp cannot read the file; carries the reason from its log.
        EngineError: this build of llama.cpp does not work on this CPU.
    """

    def __init__(
        self,
        path: Path,
        requested: RequestedSettings = _DEFAULTS,
        *,
        chat_template: str | None = None,
        vocab_only: bool = False,
        prove: bool = True,
        model_sha256: str | None = None,
        constrained: bool = False,
    ) -> None:
        check_each((Path(use.path) for use in requested.adapters), path)
        # Before the library is opened: one that was built for another CPU may die of that alone.
        proof = gate.passed() if prove else None
        extra = requested.repack and (proof is None or proof.extra.wrong is None)
        self.remarks = gate.remarks() if requested.repack and not extra else ()
        lib = library()
        log.clear()
        params = lib.llama_model_default_params()
        params.load_mode = (
            lib.LLAMA_LOAD_MODE_NONE if requested.use_mmap is False else lib.LLAMA_LOAD_MODE_MMAP
        )
        params.use_extra_bufts = extra
        params.vocab_only = vocab_only
        self._path = path
        self._requested = requested
        self._model_sha256 = model_sha256
        self._context: Context | None = None
        self._embedder: Embedder | None = None
        self._threads = requested.n_threads_batch or requested.n_threads
        self._constraining = Constraining(model_sha256, lambda: self.vocabulary)
        if constrained:
            self._constraining.begin()
        self._prepared: dict[str, Any] = {}
        crashes.doing("load", model=str(path))
        try:
            self._model = load_model(path, params)
        except BaseException:
            self._constraining.close()
            raise
        self._lib = lib
        self.vocabulary = Vocabulary(lib.llama_model_get_vocab(self._model))
        self._constraining.opened()
        self._weights = WeightBuffers(log.buffers(), int(lib.llama_model_size(self._model)))
        try:
            self._adapters = Adapters(self._model, requested.adapters)
        except ModelFileError:
            self.close()
            raise
        own = (lib.llama_model_chat_template(self._model, None) or b"").decode(errors="replace")
        template = own if chat_template is None else chat_template
        self.facts = ModelFacts(
            architecture=self._metadata("general.architecture"),
            n_ctx_train=int(lib.llama_model_n_ctx_train(self._model)),
            chat_template=template or None,
        )
        # The cases of an evaluation end alike: the chat template's words, the same choices.
        self._choice_tokens = lru_cache(maxsize=16)(self._tokenize_choices)

    @property
    def build(self) -> str:
        return build()

    @property
    def cpu_features(self) -> tuple[str, ...]:
        return cpu_features()

    @property
    def settings(self) -> Settings:
        return self.context.settings(self._weights)

    @property
    def buffers(self) -> BufferSizes:
        return buffer_sizes(self._weights, self._context)

    @property
    def context(self) -> Context:
        """The open context.

        Raises:
            EngineError: :meth:`prepare` was not called.
        """
        if self._context is None:
            raise EngineError("no context is open", expected="prepare() before this call")
        return self._context

    def encode(self, messages: Sequence[Message], tools: Tools = ()) -> EncodedPrompt:
        template = self.facts.chat_template
        if tools and "tools" not in (template or ""):
            raise PromptFileError(
                "the chat template of this model takes no tools",
                where=self._path.name,
                expected="a model that was trained to call tools, such as Qwen2.5",
            )
        if template is None:
            prompt = ChatPrompt(plain_completion(messages))
        else:
            prompt = apply_chat_template(
                template,
                messages,
                bos_token=self.vocabulary.text_of(self.vocabulary.bos),
                eos_token=self.vocabulary.text_of(self.vocabulary.eos),
                tools=tools,
            )
        ids, tail = self.vocabulary.encode(prompt.spans)
        if not ids:
            raise InputError("the prompt is empty", expected="at least one token")
        return EncodedPrompt(
            text=prompt.text,
            spans=prompt.spans,
            token_ids=tuple(ids),
            tail=tail,
            chat_template_sha256=(
                None if template is None else hashlib.sha256(template.encode()).hexdigest()
            ),
            rewritten=prompt.rewritten,
            system_folded=prompt.system_folded,
        )

    def complete(self, text: str) -> EncodedPrompt:
        spans = (Span(text, "template"),)
        ids, tail = self.vocabulary.encode(spans if text else ())
        ids = ids or [self._before_a_text]
        return EncodedPrompt(text, spans, tuple(ids), tail, chat_template_sha256=None)

    def explain(self, prompt: EncodedPrompt) -> tuple[PromptToken, ...]:
        return tuple(self.vocabulary.explain(prompt.spans))

    def prepare(
        self,
        requested: RequestedSettings,
        *,
        n_ctx: int,
        parallel: int = 1,
        kv_unified: bool = True,
        outputs: int | None = None,
    ) -> None:
        self._prepared = {
            "requested": requested,
            "n_ctx": n_ctx,
            "parallel": parallel,
            "kv_unified": kv_unified,
            "outputs": outputs,
        }
        if self._context is not None:
            self._context.close()
            self._context = None
        self._context = Context(
            self._model,
            self.vocabulary,
            self._constraining,
            requested,
            n_ctx=whole_context(n_ctx),
            parallel=parallel,
            kv_unified=kv_unified,
            outputs=outputs,
        )
        self._adapters.put_on(self._context.pointer, requested.adapters)

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Event]:
        return batching.generate(self.context, requests)

    def with_choices(self, prompt: EncodedPrompt, choices: Sequence[str]) -> ChoiceRequest:
        tail = deciding_end(prompt.tail, prompt.token_ids, self.vocabulary.tokenize)
        # After a chat template's last words choices follow directly; plain text goes on with a
        # space, unless it ends with one already.
        lead = "" if self.facts.chat_template or tail[-1:].isspace() else " "
        given_up, encoded = self._choice_tokens(tail, tuple(choices), lead)
        return ChoiceRequest(prompt.token_ids[: len(prompt.token_ids) - given_up], encoded)

    def with_continuations(self, text: str, continuations: Sequence[str]) -> ChoiceRequest:
        vocabulary = self.vocabulary
        ids, encoded = continuation_tokens(
            text,
            continuations,
            tokenize=vocabulary.tokenize,
            begin=(vocabulary.bos,) if vocabulary.adds_bos else (),
            instead=self._before_a_text,
        )
        return ChoiceRequest(ids, encoded)

    @property
    def _before_a_text(self) -> int:
        """A token that says that a text begins, where there is nothing else to begin with."""
        return self.vocabulary.bos if self.vocabulary.bos >= 0 else self.vocabulary.eos

    @property
    def end_id(self) -> int:
        """The token with which the model ends its turn."""
        # llama.cpp guesses the end of a turn from the names of tokens; the template decides.
        vocabulary = self.vocabulary
        turn = vocabulary.text_of(vocabulary.eot)
        ends_turns = bool(turn) and turn in (self.facts.chat_template or "")
        return vocabulary.eot if ends_turns else vocabulary.eos

    def score_choices(self, requests: Iterable[ChoiceRequest]) -> Iterator[Scored]:
        return batching.score_choices(self.context, requests)

    def embed(self, text: str) -> tuple[tuple[float, ...], bool]:
        if self._embedder is None:
            own = self._metadata(f"{self.facts.architecture}.pooling_type")
            self._embedder = Embedder(
                self._model,
                self.vocabulary,
                own_pooling=own not in (None, "0"),
                n_ctx_train=self.facts.n_ctx_train,
                n_threads=self._threads,
            )
        return self._embedder.vector(text), self._embedder.pooled

    @property
    def state_conditions(self) -> StateConditions | None:
        if not state.can_keep(self._model):
            return None
        return state.state_conditions(self.settings, self._original_n_ctx)

    def turn_conditions(self, requested: RequestedSettings, n_ctx: int) -> StateConditions | None:
        if not state.can_keep(self._model):
            return None
        return state.turn_conditions(
            requested,
            self._weights.by_type or {},
            stretched=whole_context(n_ctx) > self._original_n_ctx,
        )

    @property
    def _original_n_ctx(self) -> int:
        """The context that the model had before its positions were stretched."""
        key = f"{self.facts.architecture}.rope.scaling.original_context_length"
        original = self._metadata(key)
        return int(original) if original else self.facts.n_ctx_train

    def attention_table(
        self, heads: Heads, *, may_measure: bool, on_wait: Callable[[], None] = lambda: None
    ) -> AttentionTable | None:
        if self._lib.llama_model_n_swa(self._model) > 0 or not state.can_keep(self._model):
            return None
        from localprompt.engine.llama.proof import attention

        model = self._measured_as(heads.type_k, heads.type_v)
        return attention.table(heads, model=model, may_measure=may_measure, on_wait=on_wait)

    def steps(self) -> tuple[StepCost, ...]:
        from localprompt.engine.llama.proof import attention

        model = self._measured_as(_DEFAULTS.type_k, _DEFAULTS.type_v)
        if model is None:
            return ()
        found = attention.kept_steps(model)
        if found is None:
            before = self._prepared
            alone = msgspec.structs.replace(self._requested, n_threads=1, n_threads_batch=1)
            self.prepare(alone, n_ctx=STEP_CONTEXT)
            found = measured_steps(self.context)
            attention.keep_steps(model, found)
            if before:
                self.prepare(**before)
        return found

    def _measured_as(self, type_k: str, type_v: str) -> OfModel | None:
        """What tables of this model are kept by; None: its weights have no name."""
        if self._model_sha256 is None:
            return None
        from localprompt.engine.llama.proof.attention import OfModel

        threads = self._threads or machine.default_threads()
        repack = self._requested.repack
        return OfModel(self._model_sha256, type_k, type_v, threads, repack)

    def evaluate_prefix(self, token_ids: Sequence[int], *, with_flash: bool = False) -> None:
        if not with_flash:
            state.evaluate(self._model, self.context, token_ids)
            return
        again = self._prepare_with_flash(len(token_ids))
        state.evaluate(self._model, self.context, token_ids)
        self._carry(again)

    def save_prefix(self, token_ids: Sequence[int], path: Path) -> None:
        state.save(self.context, token_ids, path)

    def restore_prefix(
        self, token_ids: Sequence[int], path: Path, *, from_flash: bool = False
    ) -> bool:
        if not from_flash:
            return state.restore(self.context, token_ids, path)
        again = self._prepare_with_flash(len(token_ids))
        restored = state.restore(self.context, token_ids, path)
        if restored:
            self._carry(again)
        else:
            self.prepare(**again)
        return restored

    def saved_tokens(self, path: Path) -> tuple[int, ...]:
        return state.saved_tokens(path)

    @property
    def can_cut(self) -> bool:
        return can_cut(self._model)

    def can_cut_held(self, count: int) -> bool:
        return self._context is not None and self._context.can_cut_to(HELD_SEQUENCE, count)

    @property
    def held(self) -> tuple[int, ...]:
        return self._context.held if self._context is not None else ()

    def cut_held(self, count: int) -> bool:
        held = self.held
        if count < len(held) or not count:
            self.context.settle(HELD_SEQUENCE, held[:count])
        return len(self.held) == count

    def reopen(self, requested: RequestedSettings, *, n_ctx: int) -> None:
        self._carry({"requested": requested, "n_ctx": n_ctx})

    def _prepare_with_flash(self, n_ctx: int) -> dict[str, Any]:
        """Open a context with flash attention in the place of the open one, and say how to open
        that again: one at a time, because each has a KV cache for the whole, all of it resident."""
        again = self._prepared
        flash = msgspec.structs.replace(again["requested"], flash_attn=True)
        self.prepare(flash, n_ctx=n_ctx)
        return again

    def _carry(self, to: dict[str, Any]) -> None:
        """Open another context, and fill it with what the open one holds."""
        ids, with_flash = self.held, self.settings.flash_attn
        held = state.take_out(self.context)
        self.prepare(**to)
        if with_flash and self.settings.flash_attn is False:
            # numpy, which an answer that is not re-laid does without.
            from localprompt.engine.llama.relay import transpose_values

            transpose_values(held)
        state.put_back(self.context, held)
        self.context.held = ids

    def close(self) -> None:
        self._constraining.close()
        if self._embedder is not None:
            self._embedder.close()
            self._embedder = None
        if self._context is not None:
            self._context.close()
            self._context = None
        if self._model:
            self._lib.llama_model_free(self._model)
            self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _tokenize_choices(
        self, tail: str, choices: tuple[str, ...], lead: str
    ) -> tuple[int, tuple[Choice, ...]]:
        return choice_tokens(
            tail, choices, lead=lead, tokenize=self.vocabulary.tokenize, end_id=self.end_id
        )

    def _metadata(self, key: str) -> str | None:
        import ctypes

        buffer = ctypes.create_string_buffer(256)
        size = self._lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if size >= 0 else None
