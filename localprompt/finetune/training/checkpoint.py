"""What a training that was cut off goes on from: weights and an account, always of one moment.

The folder of a training holds the untrained model as 32-bit floats, the weights of the last
checkpoint, and ``account.json``, which names them. New weights are complete before the account
that names them replaces the old one, in one step; only then the old weights go. So whenever the
power fails, account and weights agree.

AdamW's moments are not kept: llama.cpp does not hand them out. A resumed training starts them at
zero.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from localprompt.errors import InputError
from localprompt.files import replace_file
from localprompt.finetune.training.ledger import Account
from localprompt.records.json import decode_as

PARENT_FILE = "parent-f32.gguf"
_ACCOUNT_FILE = "account.json"

FLAGS = {
    "parent": "the model",
    "examples": "the examples, the prompt, --n-ctx, --loss or --seed",
}
"""What must not change between a training and its resumption → what a user may have changed."""


class Checkpoint(msgspec.Struct, frozen=True):
    """The content of ``account.json``."""

    fingerprint: dict[str, str]
    """sha256 of what must not change; keys as in :data:`FLAGS`."""
    account: Account


def read(folder: Path) -> Checkpoint | None:
    """The last checkpoint; None: there is none that could be gone on from."""
    try:
        found = decode_as((folder / _ACCOUNT_FILE).read_bytes(), Checkpoint)
    except (OSError, msgspec.DecodeError):
        return None
    weights = found.account.weights
    return found if weights is None or (folder / weights).is_file() else None


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Let the next resumption begin here, and remove what is not needed any more.

    Raises:
        OSError: the disk refuses; the old checkpoint stays.
    """
    replace_file(folder / _ACCOUNT_FILE, msgspec.json.encode(checkpoint))
    for file in [*folder.glob("epoch-*.gguf"), *folder.glob("epoch-*.part")]:
        if file.name != checkpoint.account.weights:
            file.unlink()


def clear(folder: Path) -> None:
    """Forget it."""
    for file in folder.iterdir():
        if file.is_file():
            file.unlink()


def check_same(before: dict[str, str], now: dict[str, str], name: str) -> None:
    """A resumption goes on with the same training.

    Raises:
        InputError: something is different.
    """
    changed = [FLAGS[key] for key in FLAGS if before.get(key) != now.get(key)]
    if changed:
        raise InputError(
            f"the training of {name} that was cut off had different inputs",
            where="--resume",
            expected="the same model, examples, prompt, --n-ctx, --loss and --seed",
            found=f"a difference in {' and in '.join(changed)}",
            next_step="the same command as before with --resume, or --again to start over",
        )
