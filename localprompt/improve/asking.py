"""Candidates → answers, through the machinery of ``eval`` and its cache.

Every call is a small evaluation in a history of the search's own. An answer that was made once is
taken over whenever the same model gets the same tokens again: by a search that goes on where it
was cut off, and by one on more cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from localprompt.errors import ContextOverflowError
from localprompt.evaluate.models import Models
from localprompt.evaluate.planning import plan_evaluation
from localprompt.evaluate.runner import run_evaluation
from localprompt.records.evaluation import CaseResult, EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import EmbeddedBy, Example, Message, PromptTemplate
from localprompt.records.run import Machine
from localprompt.rendering.prompt import render_messages
from localprompt.running.nearness import chosen_by, embedded, embedder, with_near
from localprompt.sources.suite.records import CaseCounts, EvalCase, EvalSuite, SuitePrompt
from localprompt.store.history import History


class Asker:
    """One model that answers cases with any template.

    Args:
        store: where answers are kept.
        request: settings, judge and the rest of how ``eval`` would ask.
        needs: what the cases' assertions need, as :class:`EvalSuite` has it.
    """

    def __init__(
        self,
        model: ModelRecord,
        store: History,
        models: Models,
        *,
        request: EvalRequest,
        needs: frozenset[str],
        machine: Machine,
        find_model: Callable[[str], ModelRecord],
    ) -> None:
        self.model = model
        self._store = store
        self._models = models
        self._request = request
        self._needs = needs
        self._machine = machine
        self._find_model = find_model
        self.evaluations = self.cached = self.tokens = 0
        """Cases asked, those of them taken over, and the tokens of the others."""
        self.asked_ids: set[str] = set()

    def ask(self, template: PromptTemplate, cases: Sequence[EvalCase]) -> dict[str, CaseResult]:
        """The results by case id.

        Raises:
            LocalPromptError: the model cannot be opened, or llama.cpp fails.
        """
        if not cases:
            return {}
        planned = plan_evaluation(
            self._suite(template, cases),
            self._request,
            find_model=self._find_model,
            describe=lambda: self._machine,
        )
        self._store.begin(planned.evaluation)
        run_evaluation(
            planned, self._store, self._models, find_model=self._find_model, with_floor=False
        )
        found = {one.case_id: one for one in self._store.results(planned.evaluation.id)}
        self.evaluations += len(found)
        self.asked_ids |= found.keys()
        for one in found.values():
            self.cached += one.cached
            if not one.cached:
                self.tokens += (one.prompt_tokens or 0) + (one.completion_tokens or 0)
        return found

    def tokens_of(self, template: PromptTemplate, case: EvalCase) -> tuple[int, int]:
        """How long the prompt of a case is, and how much of it is the case's own.

        Raises:
            LocalPromptError: it does not render.
            ContextOverflowError: it does not fit into the model's context.
        """
        opened = self._models.get(self.model, self._request)
        messages = self._rendered(template, case)
        ids = opened.engine.encode(messages).token_ids
        if len(ids) >= opened.most_tokens:
            raise ContextOverflowError(
                "the prompt does not fit into the context",
                expected=f"fewer than {opened.most_tokens} tokens",
                found=f"{len(ids)} tokens",
            )
        return len(ids), len(ids) - self._constant(messages, ids)

    def embedded(
        self, pool: Sequence[Example], name: str
    ) -> tuple[tuple[Example, ...], EmbeddedBy]:
        """The pool with vectors by a model, and which model that is.

        Raises:
            UnknownNameError, ModelMissingError, ModelFileError: the model is not to be had.
            ContextOverflowError: a row is too long for it.
        """
        record = self._find_model(name)
        by = EmbeddedBy(record.name, record.sha256)
        own = self._models.get(self.model, self._request)
        with embedder(by, {own.model.sha256: own.engine}, self._find_model) as embed:
            return embedded(pool, embed), by

    def _rendered(self, template: PromptTemplate, case: EvalCase) -> tuple[Message, ...]:
        by = chosen_by(template)
        if by is not None:
            own = self._models.get(self.model, self._request)
            with embedder(by, {own.model.sha256: own.engine}, self._find_model) as embed:
                template = with_near(template, [case.vars], embed)
        return render_messages(template, case.vars)

    def _constant(self, messages: Sequence[Message], ids: tuple[int, ...]) -> int:
        """Tokens at the beginning that do not depend on the case."""
        from localprompt.engine.prefixes import common_tokens
        from localprompt.records.received import with_other_values

        opened = self._models.get(self.model, self._request)
        other = opened.engine.encode(with_other_values(messages)).token_ids
        return common_tokens(ids, other, left=0)

    def _suite(self, template: PromptTemplate, cases: Sequence[EvalCase]) -> EvalSuite:
        # Positions within this evaluation: those of the file may come twice with a final file.
        numbered = [msgspec.structs.replace(case, index=at) for at, case in enumerate(cases)]
        return EvalSuite(
            name=template.name,
            path=template.path or template.name,
            description=None,
            prompts=(SuitePrompt(template.name, template, template.path or template.name),),
            providers=(),
            open_cases=lambda: iter(numbered),
            counts=CaseCounts(len(numbered)),
            needs=self._needs,
        )
