from __future__ import annotations

import pytest

from localprompt.errors import InputError
from localprompt.improve.rewriting import instruction_in
from tests.improve.test_search import Searched, likes_a_cue, searched

__all__ = ["searched"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('  "Say what it is."\n\nHere is why: …', "Say what it is."),
        ("", None),
        ("\n\n", None),
        ("x" * 601, None),
        ("Say {{ text }}", None),
        ("user:\nSay it", None),
        ("```\nSay it\n```", None),
    ],
)
def test_only_a_plain_instruction_is_taken_from_what_a_model_writes(
    text: str, found: str | None
) -> None:
    assert instruction_in(text) == found


def test_what_the_writer_says_races_in_the_place_of_the_instruction(searched: Searched) -> None:
    searched.lab.say = lambda prompt: "Name the tone."
    found = searched.run(likes_a_cue, rewrite_with="large", search=("wordings",))
    written = [trial for trial in found.trials if "by the writer" in trial.wording]
    assert len(written) == 1  # the same text six times is one wording
    assert "Name the tone." in written[0].body
    assert "{{ text }}" in written[0].body
    assert "Say good or bad." not in written[0].body
    assert written[0].search is not None


def test_a_prompt_without_an_instruction_is_not_rewritten(searched: Searched) -> None:
    searched.lab.write(
        "tone.prompty",
        "---\nname: tone\ninputs: [{name: text, kind: string}]\n"
        "metadata: {localprompt: {choices: [good, bad]}}\n---\nuser:\n{{ text }}\n",
    )
    with pytest.raises(InputError, match="no instruction for a model to rewrite"):
        searched.run(likes_a_cue, rewrite_with="large")
