"""Which states are interchangeable: those with the same key."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

FORMAT_VERSION = 1
"""Of our files. Another version has other keys, so neither looks at the other's files; those of
the older one are evicted in time."""


def key_of(model_sha256: str, token_ids: Sequence[int], conditions: Mapping[str, Any]) -> str:
    """A digest of everything that a state depends on, as 64 hexadecimal digits.

    Args:
        model_sha256: of the weights.
        token_ids: of the whole beginning, in order.
        conditions: what else has a say, see
            :attr:`localprompt.engine.base.Engine.state_conditions`.
    """
    facts = {"format": FORMAT_VERSION, "model": model_sha256, "conditions": dict(conditions)}
    digest = hashlib.sha256(msgspec.json.encode(facts, order="deterministic"))
    digest.update(b"\0")
    digest.update(struct.pack(f"<{len(token_ids)}i", *token_ids))
    return digest.hexdigest()
