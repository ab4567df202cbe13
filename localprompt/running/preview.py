"""A cell → what its model receives, without running it.

Only the model's vocabulary is opened, which takes a fraction of the time and memory of its
weights. Rendering and encoding are the same calls that a run makes.
"""

from __future__ import annotations

from pathlib import Path

from localprompt.engine.constraints.prompts import unheld_of
from localprompt.records.cell import Cell
from localprompt.records.received import (
    ReceivedPrompt,
    attributed,
    constant_prefix,
    with_other_values,
)
from localprompt.running.execute import render


def receive(cell: Cell) -> ReceivedPrompt:
    """Render a cell's prompt and encode it with the vocabulary of its model.

    Raises:
        PromptFileError, ParameterError: the template does not render.
        InputError: nothing is left of it to encode.
        ModelFileError: the model cannot be opened.
    """
    from localprompt.engine.llama.engine import LlamaEngine

    messages = render(cell).messages
    path = Path(cell.model.path)
    with LlamaEngine(path, chat_template=cell.chat_template, vocab_only=True) as engine:
        prompt = engine.encode(messages)
        tokens = engine.explain(prompt)
        others = engine.encode(with_other_values(messages)).token_ids
    return ReceivedPrompt(
        name=cell.template.name,
        path=cell.template.path,
        model=cell.model.name,
        chat_template_sha256=prompt.chat_template_sha256,
        params=cell.params,
        messages=messages,
        text=prompt.text,
        spans=prompt.spans,
        tokens=tokens,
        constant_tokens=constant_prefix(tokens, others),
        attributed_tokens=attributed(tokens),
        sampling=cell.sampling,
        choices=cell.template.said,
        output_schema=cell.template.output_schema,
        grammar=cell.template.grammar,
        checked_late=tuple(map(str, unheld_of(cell.template))),
        rewritten=prompt.rewritten,
        system_folded=prompt.system_folded,
    )
