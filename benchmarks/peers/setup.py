"""What all sections share: the model, the peers, how often."""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.peers.builds import Tools


class Setup(msgspec.Struct, frozen=True):
    tools: Tools
    model: str
    """As localprompt's commands take it."""
    weights: Path
    """The same as a file, for the peers."""
    threads: int
    pairs: int
    """Turns of each side."""
    repetitions: int
    """Inside each turn of a program that repeats by itself."""
    prefill_tokens: int
    decode_tokens: int
    llm: Path | None
    """The llm program; None leaves llm out."""
    promptfoo: Path | None = None
    """The promptfoo program; None leaves it out."""
    cases: int | None = None
    """Of each evaluation; None: as many as its targets are made for."""

    @property
    def model_and_threads(self) -> list[str]:
        """Options of localprompt's benches."""
        return ["-m", self.model, "--threads", str(self.threads)]
