"""What an evaluation suite is once it has been read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from localprompt.records.prompt import PromptTemplate
from localprompt.records.score import AnyExpectation, Script


class SuitePrompt(msgspec.Struct, frozen=True):
    """One of a suite's prompts."""

    label: str
    """Unique in its suite."""
    template: PromptTemplate
    where: str
    as_json: bool = False
    """Its own ``response_format`` is a ``json_schema``: code sees answers as values."""

    def matches(self, names: tuple[str, ...] | None) -> bool:
        """Whether a list of prompt names selects it: its label, a group, or ``group:*``."""
        return names is None or any(
            self.label == name or self.label.startswith(f"{name.removesuffix('*').rstrip(':')}:")
            for name in names
        )


class SuiteProvider(msgspec.Struct, frozen=True):
    """What a suite wants to be answered by."""

    id: str
    """A model of ours, by name or path, or the id of a service, as ``openai:gpt-5``."""
    label: str
    foreign: bool
    """True: no model of ours; the user says with ``-m`` what answers instead."""
    options: dict[str, Any] = {}
    """``model.options`` with v2 names: temperature, maxOutputTokens, …"""
    output_schema: dict[str, Any] | None = None
    """The JSON Schema that its ``response_format`` holds answers to, or that of a call of one of
    its tools, where ``tool_choice`` asks for one."""
    as_json: bool = False
    """That schema came as ``json_schema``: code sees answers as values, not as text."""
    tools: tuple[dict[str, Any], ...] = ()
    """The functions that it may call: ``tools`` or ``functions`` of its config."""
    transform: Script | None = None
    """What becomes of its answers before anything else does."""
    prompts: tuple[str, ...] | None = None
    """The prompts that it is given, by label or group; None: all."""
    where: str = ""


class EvalCase(msgspec.Struct, frozen=True):
    """One case, ready to run: variables in, expectations out."""

    id: str
    """The suite's own id where there is one; otherwise a digest of the variables, so that a case
    keeps its id when others come and go."""
    index: int
    """Its position in the suite, from 0."""
    vars: dict[str, Any]
    expectations: tuple[AnyExpectation, ...] = ()
    late: tuple[AnyExpectation, ...] = ()
    """Those whose values name answers of earlier cases: rendered when these are there."""
    threshold: float | None = None
    description: str | None = None
    metadata: dict[str, Any] = {}
    prefix: str = ""
    """Template text to put before the prompt."""
    suffix: str = ""
    """Template text to put behind the prompt."""
    transforms: tuple[Script, ...] = ()
    """What becomes of an answer before it is scored, in order."""
    talks: bool = True
    """Whether it sees the turns before it, where its prompt asks for ``_conversation``."""
    store_as: str | None = None
    """The variable under which later cases see the answer."""
    options: dict[str, Any] = {}
    """``model.options`` for this case alone, over those of provider and prompt."""
    output_schema: dict[str, Any] | None = None
    """The JSON Schema that this case's answer is held to."""
    as_json: bool = False
    """As in :class:`SuiteProvider`."""
    choices: tuple[str, ...] = ()
    """Its own closed set of answers, where the prompt says that each case has one."""
    lead: str = ""
    """What stands between the prompt and each of those."""
    prompts: tuple[str, ...] | None = None
    """The prompts that it is for, by label or group; None: all."""
    providers: tuple[str, ...] | None = None
    """The providers that it is for, by label or id; None: all."""
    where: str = ""
    """File and line."""


class CaseCounts(msgspec.Struct, frozen=True):
    """What a pass over all cases found."""

    cases: int
    skipped_rows: int = 0
    """Malformed rows that were left out, as the user allowed."""
    first_skipped: tuple[str, ...] = ()
    """What was wrong with the first of them."""


class EvalSuite(msgspec.Struct, frozen=True):
    """A suite, read and checked. Cases are streamed, not kept."""

    name: str
    path: str
    description: str | None
    prompts: tuple[SuitePrompt, ...]
    providers: tuple[SuiteProvider, ...]
    open_cases: Callable[[], Iterator[EvalCase]]
    """A new pass over the cases; bad rows are passed over if the suite was read so."""
    counts: CaseCounts
    repeat: int = 1
    """How often each case is run."""
    outputs: tuple[str, ...] = ()
    """Files to write results to, absolute."""
    reads: tuple[str, ...] = ()
    """Files that the suite names and that were read."""
    in_turn: bool = False
    """Its cases see answers of earlier ones, so they are asked one after the other."""
    needs: frozenset[str] = frozenset()
    """Of judge and code, what its assertions need."""
    judges: tuple[str, ...] = ()
    """The models that its assertions name as judges."""
    notes: tuple[str, ...] = ()
    """What was ignored, for the user to know."""

    def cases(self) -> Iterator[EvalCase]:
        """All cases in order, each pass reads the files again.

        Raises:
            DatasetError: a file changed since the suite was read and is no longer well-formed.
        """
        return self.open_cases()
