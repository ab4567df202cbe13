"""``localprompt serve``: a page on this machine, to try, look and compare."""

from __future__ import annotations

import threading
import webbrowser
from typing import Annotated

import typer

from localprompt.errors import MachineError

DETAILS = (
    "The printed address has a key that works for one browser; after each use, a new one is "
    "printed. Only this machine can reach the page. --host opens it to others: anyone with the key "
    "can then run prompts here and read the history, and plain HTTP can be read on the way."
)
EXAMPLES = (
    "localprompt serve",
    "localprompt serve --port 0 --no-open",
    "localprompt serve --read-only",
)
LOCAL = ("127.0.0.1", "::1")


def command(
    *,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="0: any that is free.")
    ] = 8765,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on: see above.")
    ] = "127.0.0.1",
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the browser, where there is one.")
    ] = True,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Look only: no runs, nothing saved.")
    ] = False,
) -> None:
    """Serve a page here: try prompts, chat, look at runs."""
    from localprompt.views.messages import print_note

    try:
        from localprompt.web.server import serve
    except ImportError as error:
        raise MachineError(
            f"serve needs {error.name}, which is not installed",
            next_step="python -m pip install 'localprompt[web]'",
        ) from error
    if host not in LOCAL:
        print_note(
            f"warning: {host} can be reached by others; what is sent can be read on the way, and "
            "the key is all that keeps them out"
        )
    wants_browser = open_ and host in LOCAL

    said = False

    def announce(address: str) -> None:
        nonlocal wants_browser, said
        if not said:  # not before the port is known to be free
            said = True
            print_note("Ctrl-C ends it. Open this in a browser on this machine:")
        print_note(address)
        if wants_browser:
            wants_browser = False
            threading.Thread(target=_open, args=(address,), daemon=True).start()

    serve(host, port, read_only=read_only, announce=announce)


def _open(address: str) -> None:
    """A browser that shows windows; a text browser would take this terminal."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if not isinstance(browser, webbrowser.GenericBrowser) or isinstance(
        browser, webbrowser.BackgroundBrowser
    ):
        browser.open(address)
