"""One self-contained HTML file, made of sections that are made of blocks.

*What* a page shows are the sections of :mod:`localprompt.views.sections`. How a block looks is its
template in ``page/``.

What makes the file safe and portable:

* Everything is text to Jinja2, which escapes it; no view builds HTML. Answers come from a model.
* A Content-Security-Policy allows this file's own style sheet and script, by their digests, and
  nothing else: should any escaping ever fail, the browser still neither runs nor loads a thing.
  (Hence no ``style`` attributes anywhere; positions are SVG attributes.)
* It has no links to fetch, and reads completely without its script, which adds sorting, filters
  and the switch between dark and light.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from localprompt import __version__
from localprompt.records.json import well_formed
from localprompt.views.language import Language
from localprompt.views.sections import Section
from localprompt.views.translation import speaking, spoken_code, translated

if TYPE_CHECKING:
    import jinja2


class PageWords(msgspec.Struct, frozen=True):
    """What the page itself says, around its sections."""

    language: str = "en"
    """As HTML has it: ``en``, ``pt-BR``."""
    skip: str = "Skip to the content"
    sections: str = "Sections"
    dark: str = "Dark colours"
    light: str = "Light colours"
    scrollable: str = "scrollable"
    details: str = "Details"
    details_of: str = "of"
    made_by: str = "Made by"
    footer: str = "This file is complete in itself: it loads nothing and sends nothing."


ENGLISH = PageWords()


def render_page(
    title: str, subtitle: str, sections: Sequence[Section], words: PageWords | None = None
) -> str:
    """The whole file. Sections without blocks are left out.

    Args:
        words: in the language of the sections; None: the sections are in English, and the page
            comes in the user's language.
    """
    from markupsafe import Markup

    if words is None:
        words = ENGLISH
        if speaking():
            from localprompt.views.spoken import spoken

            sections, words = spoken(sections), words_in(Language(spoken_code()))
            subtitle = translated(subtitle)
    assets = dict.fromkeys(name for s in sections for block in s.blocks for name in block.assets)
    files = ("style.css", "script.js", *assets)
    style = "".join(_our_file(name) for name in files if name.endswith(".css"))
    script = "".join(_our_file(name) for name in files if name.endswith(".js"))
    page = (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            subtitle=subtitle,
            sections=[section for section in sections if section.blocks],
            words=words,
            style=Markup(style),  # noqa: S704  (ours, the only text that is not escaped)
            script=Markup(script),  # noqa: S704
            style_hash=_csp_hash(style),
            script_hash=_csp_hash(script),
            version=__version__,
        )
    )
    return well_formed(page)


def words_in(say: Language) -> PageWords:
    """What stands around the sections, in a language."""
    names = [name for name in PageWords.__struct_fields__ if name != "language"]
    return PageWords(language=say.code, **{name: say(f"document.{name}") for name in names})


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("localprompt.views", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["spoken"] = translated
    return environment


def _our_file(name: str) -> str:
    return resources.files("localprompt.views").joinpath("page", name).read_text("utf-8")


def _csp_hash(text: str) -> str:
    """As Content Security Policy Level 3 (section 2.3.1) wants an inline element's digest."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
