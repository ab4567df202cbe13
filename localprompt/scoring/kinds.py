"""Which assertion types there are, what each needs, and why others are refused.

A suite is checked against these tables before anything runs, so that an evaluation never stops
half-way at an assertion that could not have worked.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ValueShape = Literal["text", "texts", "any", "schema", "count", "code", "criterion", "none"]
Need = Literal["judge", "code"]


class Kind(msgspec.Struct, frozen=True):
    """What an assertion type takes."""

    value: ValueShape
    value_required: bool = True
    threshold: Literal["no", "optional", "required"] = "no"
    needs: Need | None = None


KINDS: dict[str, Kind] = {
    "equals": Kind("any"),
    "contains": Kind("text"),
    "icontains": Kind("text"),
    "contains-all": Kind("texts"),
    "contains-any": Kind("texts"),
    "icontains-all": Kind("texts"),
    "icontains-any": Kind("texts"),
    "starts-with": Kind("text"),
    "regex": Kind("text"),
    "is-json": Kind("schema", value_required=False),
    "contains-json": Kind("schema", value_required=False),
    "is-xml": Kind("any", value_required=False),
    "contains-xml": Kind("any", value_required=False),
    "levenshtein": Kind("text", threshold="optional"),
    "rouge-n": Kind("text", threshold="optional"),
    "bleu": Kind("any", threshold="optional"),
    "gleu": Kind("any", threshold="optional"),
    "word-count": Kind("count"),
    "finish-reason": Kind("text"),
    "latency": Kind("none", False, threshold="required"),
    "javascript": Kind("code", threshold="optional"),
    "python": Kind("code", threshold="optional", needs="code"),
    "llm-rubric": Kind("criterion", False, threshold="optional", needs="judge"),
    "select-best": Kind("criterion", needs="judge"),
    "factuality": Kind("criterion", needs="judge"),
    "model-graded-factuality": Kind("criterion", needs="judge"),
    "model-graded-closedqa": Kind("criterion", needs="judge"),
    "g-eval": Kind("criterion", threshold="optional", needs="judge"),
    "answer-relevance": Kind("none", False, threshold="optional", needs="judge"),
    "context-faithfulness": Kind("none", False, threshold="optional", needs="judge"),
    "context-recall": Kind("criterion", threshold="optional", needs="judge"),
    "context-relevance": Kind("none", False, threshold="optional", needs="judge"),
    "similar": Kind("any", threshold="optional", needs="judge"),
    "similar:cosine": Kind("any", threshold="optional", needs="judge"),
    "is-valid-function-call": Kind("none", False),
    "is-valid-openai-function-call": Kind("none", False),
    "is-valid-openai-tools-call": Kind("none", False),
    "tool-call-f1": Kind("texts", threshold="optional"),
    "cost": Kind("none", False, threshold="optional"),
}

GRADED = frozenset(
    {"factuality", "model-graded-factuality", "model-graded-closedqa", "g-eval"}
    | {"answer-relevance", "context-faithfulness", "context-recall", "context-relevance"}
)
"""What promptfoo leaves to a hosted model, and a local judge does here."""

SIMILAR = frozenset({"similar", "similar:cosine"})
"""How close an answer lies to a text, by the judge's vectors."""

ASSERT_SET = "assert-set"

_EMBEDDING = "compares vectors whose length means something; similar compares directions"
_GRADED = "is graded by a prompt made for large hosted models; llm-rubric takes a local judge"
_SERVICE = "asks a service over the network"
_FOREIGN = "runs code in a language other than JavaScript and Python"
_CALLS = "checks calls of a hosted model's tools"
_TRACE = "reads traces of an agent, which a prompt does not leave"
_PROBABILITIES = "needs the probability of every token of an answer, which is not recorded"
_SQL = "needs the grammar of a database, which is not here; javascript or python can look at SQL"
_HTML = "goes by promptfoo's own list of tags; contains-xml, regex or javascript can look at tags"
_OTHER = "is not one of the types that localprompt computes"

REFUSED: dict[str, str] = {
    "ruby": _FOREIGN,
    "webhook": _SERVICE,
    "moderation": _SERVICE,
    "classifier": _SERVICE,
    "pi": _SERVICE,
    "guardrails": _SERVICE,
    "search-rubric": _SERVICE,
    "human": "waits for a person",
    "similar:dot": _EMBEDDING,
    "similar:euclidean": _EMBEDDING,
    "conversation-relevance": _GRADED,
    "agent-rubric": _GRADED,
    "skill-used": _CALLS,
    "trace-span-count": _TRACE,
    "trace-span-duration": _TRACE,
    "trace-error-spans": _TRACE,
    "perplexity": _PROBABILITIES,
    "perplexity-score": _PROBABILITIES,
    "max-score": _OTHER,
    "meteor": "looks up synonyms in a dictionary that is not here; gleu and rouge-n compare words",
    "is-refusal": "compares with promptfoo's own list of phrases; icontains-any takes yours",
    "is-html": _HTML,
    "contains-html": _HTML,
    "is-sql": _SQL,
    "contains-sql": _SQL,
}

_REFUSED_FAMILIES = (("promptfoo:", _SERVICE), ("trajectory:", _TRACE))


def split_negation(name: str) -> tuple[str, bool]:
    """``not-contains`` → (``contains``, True)."""
    return (name[4:], True) if name.startswith("not-") else (name, False)


def refusal(name: str) -> str | None:
    """Why the type ``name`` (with or without ``not-``) is not supported; None for others."""
    base, _ = split_negation(name)
    for prefix, reason in _REFUSED_FAMILIES:
        if base.startswith(prefix):
            return reason
    return REFUSED.get(base)
