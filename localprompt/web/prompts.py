"""Prompt files, read and changed in the page; written into ./prompts and nowhere else.

A file that has changed since the page was loaded is not overwritten, and a text that is not a
prompt file is not saved.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from localprompt import doors
from localprompt.errors import InputError, LocalPromptError, UnknownNameError
from localprompt.files import replace_file
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.search import FOLDER, SUFFIX, find_prompt
from localprompt.views.language import Language
from localprompt.web.site import form_of, language_of, page

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_BEGIN = """---
name: {name}
inputs:
  - name: text
    kind: string
    required: true
---
user:
{{{{ text }}}}
"""


def prompt_page(request: Request) -> Response:
    """``/prompts/{name}``: its text, to be read and changed."""
    name = request.path_params["name"]
    try:
        path = find_prompt(checked_name(name))
        source = doors.read_text(path, most_bytes=doors.MOST_SMALL_BYTES)
        place = str(path)
    except UnknownNameError:
        source, place = _BEGIN.format(name=name), None
    return page(
        request, _title(request, name), "prompt.page.html",
        name=name, source=source, place=place, digest=_digest(_target(name)), problem=None,
    )  # fmt: skip


async def save(request: Request) -> Response:
    """``POST /prompts/{name}``: into ./prompts, but never over a file that has changed."""
    name = checked_name(request.path_params["name"])
    form = await form_of(request)
    source, digest = form.get("source", [""])[0], form.get("digest", [""])[0]
    problem = _saved(name, source, digest, language_of(request))
    if problem is None:
        return RedirectResponse(f"/?prompt={name}", 303)
    return page(
        request, _title(request, name), "prompt.page.html", status=409,
        name=name, source=source, place=None, digest=digest, problem=problem,
    )  # fmt: skip


def _title(request: Request, name: str) -> str:
    return language_of(request)("site.prompt.title", name=name)


def _saved(name: str, source: str, digest: str, say: Language) -> str | None:
    """Why it was not saved; None: it was."""
    path = _target(name)
    if _digest(path) != digest:
        return say("site.prompt.changed", path=str(path))
    path.parent.mkdir(exist_ok=True)
    # Read it as the command line would before it takes the place of one that works.
    trial = path.with_name(f".{name}.{os.getpid()}.prompty")
    try:
        trial.write_text(source, "utf-8")
        load_prompt(trial)
    except LocalPromptError as error:
        said = ". ".join(filter(None, (error.message, error.where, error.expected)))
        return said.replace(str(trial), path.name)
    finally:
        trial.unlink(missing_ok=True)
    replace_file(path, source.encode())
    return None


def _target(name: str) -> Path:
    return FOLDER / f"{name}{SUFFIX}"


def _digest(path: Path) -> str:
    """Of the file as it is now; "" where there is none."""
    return hashlib.sha256(doors.read_bytes(path)).hexdigest() if doors.is_file(path) else ""


def checked_name(name: str) -> str:
    """
    Raises:
        InputError: it is not the name of a file in a folder of prompts.
    """
    if not _NAME.fullmatch(name) or name.endswith(SUFFIX):
        raise InputError(
            "not a name for a prompt", expected="letters, digits, dots and hyphens", found=name
        )
    return name
