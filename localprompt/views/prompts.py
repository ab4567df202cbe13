"""Prompt files in the terminal: a list, a declaration, and what a model receives of one.

What came from which variable is shown by colour; without colours, values stand between « and »
after the variable's name. Everything fits 80 columns, also where a value is as long as a book:
the middle of it is left out and counted. ``--json`` leaves nothing out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from localprompt.records.prompt import InputSpec, Message, Origin, PromptTemplate, Span
from localprompt.records.received import (
    LEAST_KEPT_TOKENS,
    PromptToken,
    ReceivedPrompt,
    Stretch,
    stretches,
)
from localprompt.records.run import Sampling
from localprompt.sources.prompt.check import CheckedFile
from localprompt.sources.prompt.search import ListedPrompt
from localprompt.views.grid import Line, flowed, middle_cut
from localprompt.views.harmless import harmless
from localprompt.views.sections import Column, Section, text_table
from localprompt.views.terminal import (
    facts_lines,
    print_blocks,
    print_lines,
    print_sections,
    print_text,
)

_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
_LONGEST_SPAN = 900
"""Characters of one stretch of text that are shown whole; about eleven lines."""
_SHOWN_START, _SHOWN_END = 500, 200
_SHOWN_TOKENS = 3
"""Tokens at each end of a stretch; those between are counted."""
_TOKENS_AT = 30
"""The column in which tokens begin in the table of stretches, and the width of one token."""
_NAMES: dict[Origin, str] = {"chat_template": "chat template", "template": "prompt file"}


def print_prompt_list(prompts: Iterable[ListedPrompt], console: Console) -> int:
    """One row per prompt; returns how many there were."""
    rows = [
        (
            prompt.name,
            ", ".join(map(_short, prompt.template.inputs)),
            prompt.place,
            prompt.template.description or "",
        )
        for prompt in prompts
    ]
    columns = (
        Column("name", whole=True),
        Column("inputs", prose=True),
        Column("from"),
        Column("description", prose=True),
    )
    print_blocks([text_table("", columns, rows)] if rows else [], console)
    return len(rows)


def print_template(template: PromptTemplate, console: Console) -> None:
    """What a prompt file declares, and its template."""
    print_lines(_known(_declared(template), console), console)
    if template.inputs:
        rows = ((spec.name, spec.kind, "; ".join(_remarks(spec))) for spec in template.inputs)
        columns = (Column("name"), Column("kind"), Column("", prose=True))
        print_sections([Section("inputs", "inputs", (text_table("", columns, rows),))], console)
    print_lines([Line(""), Line("template", "bold")], console)
    print_lines(map(Line, template.body.strip("\n").split("\n")), console)


def print_received(prompt: ReceivedPrompt, console: Console, *, every_token: bool = False) -> None:
    """Exactly what the model receives: messages, text, tokens, and who wrote which of them."""
    colours = _colours(prompt)
    marked = bool(console.no_color) or console.color_system is None
    print_lines(_known(_received(prompt), console), console)
    print_lines([Line(""), Line(f"messages ({len(prompt.messages)})", "bold")], console)
    for message in prompt.messages:
        _print(_one_line(message, colours, marked, console.width), console)
    legend = "; «name: …» is a variable's" if marked else ""
    print_lines([Line("")], console)
    print_text(f"text ({len(prompt.text):,} characters{legend})", console, "bold")
    text = Text()
    for span in prompt.spans:
        text.append_text(_shown(span, colours, marked))
    if prompt.text.endswith("\n"):
        text.right_crop(1)
    _print_wrapped(text, console)
    print_lines([Line("")], console)
    print_text(_token_heading(prompt), console, "bold")
    _print_wrapped(_token_legend(prompt.tokens, colours), console)
    rows = _token_rows(prompt.tokens) if every_token else _stretch_rows(prompt.tokens, console)
    for row in rows:
        _print(Text(row.text, style=_style(row.origin, row.source, colours)), console)
    print_lines([Line("")], console)
    print_text(_reuse(prompt), console)


def print_findings(files: Sequence[CheckedFile], console: Console, notes: Console) -> None:
    """One line per finding, as ``file:line: code: message``; on ``notes`` how many there were."""
    for file in files:
        path = _nearby(str(file.path))
        if file.fixed:
            notes.print(Text(f"{path}: rewritten"), soft_wrap=True)
        for finding in file.findings:
            mark = " (--fix)" if finding.fixable else ""
            line = f"{path}:{finding.line}: {finding.code}: {finding.message}{mark}"
            console.print(Text(line), soft_wrap=True)
    found = sum(len(file.findings) for file in files)
    fixable = sum(finding.fixable for file in files for finding in file.findings)
    more = f"; --fix corrects {fixable}" if fixable else ""
    notes.print(f"{_count(len(files), 'file')}, {_count(found, 'finding')}{more}")


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _short(spec: InputSpec) -> str:
    return spec.name if spec.required else f"[{spec.name}]"


def _declared(template: PromptTemplate) -> Iterator[tuple[str, str]]:
    yield "prompt", template.name
    yield "", template.description or ""
    yield "file", _nearby(template.path)
    yield "model", template.model_id or ""
    yield "answer", _held_to(template)
    yield "options", ", ".join(f"{name} {value!r}" for name, value in template.options.items())
    yield "cases", _nearby(template.cases)
    yield "not done", ", ".join(template.unsupported)


def _received(prompt: ReceivedPrompt) -> Iterator[tuple[str, str]]:
    yield "prompt", prompt.name
    yield "file", _nearby(prompt.path)
    folded = ", the system's text before the first user's" if prompt.system_folded else ""
    template = "plain completion" if prompt.chat_template_sha256 is None else "chat template"
    yield "model", f"{prompt.model}, {template}{folded}"
    limits = _limits(prompt.sampling)
    yield "answer", f"{_held_to(prompt) or 'free text'}; {limits}"
    for part in prompt.checked_late:
        yield "checked late", part


def _nearby(path: str | None) -> str:
    """A path, relative to the current folder where it lies in it."""
    if path is None:
        return ""
    full = Path(path).absolute()
    return str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)


def _held_to(prompt: PromptTemplate | ReceivedPrompt) -> str:
    schema, choices = prompt.output_schema, prompt.choices
    if schema is not None:
        return f"JSON with {', '.join(schema.get('properties', {})) or 'any content'}"
    if prompt.grammar is not None:
        return "text that follows a grammar"
    return f"one of: {', '.join(choices)}" if choices else ""


def _limits(sampling: Sampling) -> str:
    drawn = f"temperature {sampling.temperature:g}" if sampling.temperature else "greedy"
    stop = f", ends before {' or '.join(map(repr, sampling.stop))}" if sampling.stop else ""
    return f"{drawn}, at most {sampling.max_tokens} tokens{stop}"


def _remarks(spec: InputSpec) -> Iterator[str]:
    if spec.description:
        yield spec.description
    if spec.enum_values:
        yield f"one of: {', '.join(map(str, spec.enum_values))}"
    if spec.default is not None:
        yield f"default {spec.default!r}"
    elif not spec.required:
        yield "optional"
    if spec.strict:
        yield "strict"


def _known(facts: Iterable[tuple[str, str]], console: Console) -> Iterator[Line]:
    return facts_lines([(name, value) for name, value in facts if value], console.width)


def _colours(prompt: ReceivedPrompt) -> dict[str | None, str]:
    """A colour for each variable, in the order in which they appear."""
    names = dict.fromkeys(span.source for span in prompt.spans if span.origin == "variable")
    return {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(names)}


def _style(origin: Origin, source: str | None, colours: dict[str | None, str]) -> str:
    if origin == "variable":
        return colours.get(source, "")
    return "dim" if origin == "chat_template" else ""


def _print_wrapped(text: Text, console: Console) -> None:
    for line in text.wrap(console, console.width):
        _print(line, console)


def _print(text: Text, console: Console) -> None:
    text.rstrip()
    console.print(text, soft_wrap=True)


def _one_line(message: Message, colours: dict[str | None, str], marked: bool, width: int) -> Text:
    line = Text(f"  {message.role:<11}")
    for segment in message.segments:
        origin: Origin = "template" if segment.source is None else "variable"
        words = " ".join(segment.text[:width].split())
        edges = (segment.text[:1].isspace(), segment.text[-1:].isspace())
        words = f"{' ' * edges[0]}{words}{' ' * edges[1]}"
        line.append_text(_shown(Span(words, origin, segment.source), colours, marked))
        if len(line) > width:
            break
    line.truncate(width - 2, overflow="ellipsis")
    return line


def _shown(span: Span, colours: dict[str | None, str], marked: bool) -> Text:
    text = harmless(_middle_left_out(span.text))
    if marked and span.origin == "variable":
        text = f"«{span.source or 'value'}: {text}»"
    return Text(text, style=_style(span.origin, span.source, colours))


def _middle_left_out(text: str) -> str:
    if len(text) <= _LONGEST_SPAN:
        return text
    left_out = len(text) - _SHOWN_START - _SHOWN_END
    return f"{text[:_SHOWN_START]} … {left_out:,} characters … {text[-_SHOWN_END:]}"


def _token_heading(prompt: ReceivedPrompt) -> str:
    share = 100 * prompt.attributed_tokens / len(prompt.tokens)
    careful = ", approximately: the chat template changes texts" if prompt.rewritten else ""
    return f"tokens ({len(prompt.tokens):,}; {share:.3g} % attributed{careful})"


def _token_legend(tokens: Sequence[PromptToken], colours: dict[str | None, str]) -> Text:
    counts = Counter((token.origin, token.source) for token in tokens)
    parts = [
        Text(f"{count:,} {_writer(origin, source)}", style=_style(origin, source, colours))
        for (origin, source), count in counts.items()
    ]
    return Text("  ").append_text(Text(" + ").join(parts))


def _writer(origin: Origin, source: str | None) -> str:
    return harmless(_NAMES.get(origin) or source or "a variable")


class _TokenRow(NamedTuple):
    text: str
    origin: Origin = "template"
    source: str | None = None


def _stretch_rows(tokens: Sequence[PromptToken], console: Console) -> Iterator[_TokenRow]:
    """A row for each run of tokens that one writer wrote; none of them is broken."""
    yield _TokenRow(f"{'at':>5}  {'count':>5}  {'from':<13}  id and text")
    for stretch in stretches(tokens):
        writer = middle_cut(_writer(stretch.origin, stretch.source), 13)
        head = f"{stretch.start:>5}  {len(stretch.tokens):>5}  {writer:<13}  "
        for line in flowed(_ends(stretch), console.width - _TOKENS_AT, "  "):
            yield _TokenRow(f"{head}{line}", stretch.origin, stretch.source)
            head = " " * len(head)


def _token_rows(tokens: Sequence[PromptToken]) -> Iterator[_TokenRow]:
    texts = [_token_text(token) for token in tokens]
    width = min(max(map(len, texts), default=0), _TOKENS_AT)
    yield _TokenRow(f"{'at':>5}  {'id':>7}  {'text':<{width}}  from")
    for at, (token, text) in enumerate(zip(tokens, texts, strict=True)):
        writer = _writer(token.origin, token.source)
        row = f"{at:>5}  {token.id:>7}  {text:<{width}}  {writer}"
        yield _TokenRow(row, token.origin, token.source)


def _ends(stretch: Stretch) -> list[str]:
    named = [f"{token.id} {_token_text(token)}" for token in stretch.tokens]
    left_out = len(named) - 2 * _SHOWN_TOKENS
    if left_out <= 1:
        return named
    return [*named[:_SHOWN_TOKENS], f"… {left_out:,} more …", *named[-_SHOWN_TOKENS:]]


def _token_text(token: PromptToken) -> str:
    """Control tokens as they are; of others, spaces and line ends are visible."""
    return harmless(token.text if token.control else repr(token.text))


def _reuse(prompt: ReceivedPrompt) -> str:
    total, constant = len(prompt.tokens), prompt.constant_tokens
    if min(constant, total - 1) < LEAST_KEPT_TOKENS:
        return (
            f"The first {constant:,} of {total:,} tokens ({100 * constant / total:.0f} %) stay the "
            f"same with other values; fewer than {LEAST_KEPT_TOKENS} are not kept for a second run."
        )
    if constant == total:
        return (
            f"No token depends on a variable: a second run can reuse {total - 1:,} of {total:,}, "
            "all but the last."
        )
    return (
        f"The first {constant:,} of {total:,} tokens ({100 * constant / total:.0f} %) stay the "
        "same with other values: a second run can reuse them."
    )
