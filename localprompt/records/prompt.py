"""What a prompt file declares, and what its text becomes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["system", "user", "assistant", "developer"]


AttributeValue = str | int | float | bool


class Segment(msgspec.Struct, frozen=True):
    """A stretch of rendered text with its origin."""

    text: str
    """The characters, as the model will receive them."""
    source: str | None = None
    """The variable it came from (``text``, or the expression when there are several);
    None for the template's own words."""


class Message(msgspec.Struct, frozen=True):
    """One turn of a conversation."""

    role: Role
    segments: tuple[Segment, ...]
    attributes: dict[str, AttributeValue] = {}
    """What stood in brackets on the role line: ``user[name="Ada", id=7]``."""

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)


class InputSpec(msgspec.Struct, frozen=True):
    """A parameter that a prompt declares."""

    name: str
    kind: str = "string"
    """string, integer, float, number, boolean, array, object, thread, …"""
    description: str | None = None
    default: Any = None
    required: bool = False
    """True: there is neither a default nor permission to leave it out."""
    insisted: bool = False
    """The file itself says ``required: true``; then ``--lenient`` does not help either."""
    enum_values: tuple[Any, ...] = ()
    strict: bool = False
    """Reject values that look like a role line instead of quoting them."""


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """A solved case that a prompt shows."""

    vars: dict[str, Any]
    """Values of the prompt's inputs."""
    answer: str
    vector: str | None = None
    """Where a model says what is near: its embedding of the values' texts, as 16-bit numbers in
    base64."""


class EmbeddedBy(msgspec.Struct, frozen=True):
    """The model whose embeddings say what is near."""

    model: str
    """Its name."""
    sha256: str | None = None
    """Of its file: vectors of another one mean nothing beside these."""


class NearestExamples(msgspec.Struct, frozen=True):
    """Solved cases that are chosen anew for each run: ``metadata.localprompt.examples``."""

    pool: tuple[Example, ...]
    count: int
    """So many are shown, as turns before the last one of the user."""
    order: Literal["nearest-last", "nearest-first"] = "nearest-last"
    fallback: int = 0
    """Examples that stand in the body for runtimes that do not choose; they give way."""
    by: EmbeddedBy | None = None
    """None: words say what is near (BM25)."""
    near: dict[str, tuple[int, ...]] = {}
    """With ``by``: positions in the pool for the texts that are going to be asked, nearest first;
    filled in by whoever opened the model, just before rendering."""


class PromptTemplate(msgspec.Struct, frozen=True):
    """A prompt file, read and validated but not yet rendered."""

    name: str
    body: str
    """The Jinja2 text after the front matter; for a suite's prompt the text as it stands there."""
    path: str | None = None
    sha256: str = ""
    """Of the file's bytes."""
    description: str | None = None
    model_id: str | None = None
    options: dict[str, Any] = {}
    """``model.options`` with v2 names: temperature, maxOutputTokens, topP, topK, seed,
    stopSequences."""
    inputs: tuple[InputSpec, ...] = ()
    output_schema: dict[str, Any] | None = None
    """JSON Schema of the answer, from ``outputs``; None for free text."""
    output_lines: bool = False
    """The answer is one or more documents of ``output_schema``, each on a line (JSON Lines)."""
    choices: tuple[str, ...] = ()
    """The closed set of answers, from ``metadata.localprompt.choices``."""
    per_byte: bool = False
    """Choices are weighed by their log-probability per byte: ``metadata.localprompt.scoring`` is
    ``normalized``."""
    bias: dict[str, float] = {}
    """What is added to each choice's log-probability, from ``metadata.localprompt.bias``."""
    label_words: dict[str, str] = {}
    """What the model is offered to say for a choice, where that is another word, from
    ``metadata.localprompt.label_words``; the answer is recorded as the choice."""
    examples: NearestExamples | None = None
    grammar: str | None = None
    """A grammar that the answer follows, Lark or GBNF, from ``metadata.localprompt.grammar``."""
    grammar_path: str | None = None
    """The file that the grammar stands in."""
    cases: str | None = None
    """The dataset beside the file, from ``metadata.localprompt.cases``; absolute."""
    metadata: dict[str, Any] = {}
    body_line: int = 1
    """Line of the file where ``body`` begins, so that errors can point into the file."""
    tools: tuple[dict[str, Any], ...] = ()
    """Definitions of functions that the model may call, as its chat template takes them."""
    closed: bool = False
    """Each case brings its own closed set of answers, and they are weighed, not generated."""
    language: Literal["jinja2", "nunjucks", "javascript", "python", "text"] = "jinja2"
    """Of ``body``: a suite's own prompts are Nunjucks, or JavaScript or Python that makes them.
    ``text`` is no template: the model goes on from it as it stands, without a chat template."""
    env: dict[str, str] = {}
    """``env.NAME`` of a Nunjucks template: the variables of the environment that it uses."""
    filters: dict[str, str] = {}
    """A suite's own filters: name → JavaScript that returns a function."""
    unsupported: tuple[str, ...] = ()
    """What the file asks for and localprompt does not do (tools, images, another template
    language); it can be read and shown, not rendered."""

    @property
    def said(self) -> tuple[str, ...]:
        """The choices as the model says them, in their order."""
        return tuple(self.label_words.get(choice, choice) for choice in self.choices)


Origin = Literal["chat_template", "template", "variable"]


class Span(msgspec.Struct, frozen=True):
    """A stretch of text with one origin."""

    text: str
    origin: Origin
    source: str | None = None
    """The variable's name where ``origin`` is ``variable``; None where it is not known which."""


UNNAMED = "(expression)"
"""The source of text that came out of variables, where it is not known which."""
