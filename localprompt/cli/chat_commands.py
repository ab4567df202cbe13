"""What begins with a slash in a conversation."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from localprompt.errors import InputError

if TYPE_CHECKING:
    from localprompt.cli.chat import Screen

_SHOWN = 60


def obey(line: str, screen: Screen) -> bool:
    """Do what a line says; False: it ends the conversation.

    Raises:
        InputError: there is no such command.
        LocalPromptError: it cannot be done.
    """
    if line.startswith("//"):
        screen.say(line[1:])
        return True
    word, _, rest = line[1:].partition(" ")
    if word in _ENDINGS:
        return False
    if word not in COMMANDS:
        raise InputError(
            f"no command is called /{word}",
            expected=" ".join(f"/{name}" for name in difflib.get_close_matches(word, COMMANDS))
            or "one of those that /help names",
            next_step=f"//{word} … says it to the model",
        )
    COMMANDS[word](screen, rest.strip())
    return True


def _help(screen: Screen, rest: str) -> None:
    width = max(map(len, _HELP))
    _say("\n".join(f"{name:<{width}}  {text}" for name, text in _HELP.items()))


def _model(screen: Screen, rest: str) -> None:
    if not rest:
        _say(screen.chat.open().model.name)
        return
    _say(f"{screen.chat.use_model(rest).model.name} goes on")


def _system(screen: Screen, rest: str) -> None:
    chat = screen.chat
    if rest:
        chat.use_system("" if rest in {'""', "''"} else rest)
    messages = chat.talk.messages
    said = [message.text for message in messages[:1] if message.role in {"system", "developer"}]
    _say("".join(said) or "no system text")


def _undo(screen: Screen, rest: str) -> None:
    turns = screen.chat.talk.turns
    if not screen.chat.undo():
        raise InputError("nothing was asked yet", expected="a turn to take back")
    _say(f"taken back: {_short(turns[-1].text)}")


def _retry(screen: Screen, rest: str) -> None:
    try:
        temperature = float(rest) if rest else None
    except ValueError:
        temperature = -1.0
    if temperature is not None and not 0 <= temperature < float("inf"):
        raise InputError("not a temperature", where="/retry", expected="as 0.8", found=rest)
    last = screen.chat.last
    if temperature is None and last is not None and last.sampling.temperature <= 0:
        _say("note: temperature 0 answers the same again; /retry 0.8 draws another")
    screen.turn(lambda on_text: screen.chat.retry(on_text, temperature=temperature))


def _save(screen: Screen, rest: str) -> None:
    from localprompt.sources.prompt.talk import save_conversation

    if not rest:
        raise InputError("the prompt needs a name", where="/save", expected="/save NAME.prompty")
    talk, last = screen.chat.talk, screen.chat.last
    if not talk.turns or last is None:
        raise InputError("nothing was asked yet", where="/save", expected="a conversation")
    path = save_conversation(Path(rest), talk.messages[:-1], last.model.name)
    _say(f"{path} asks the last question again; -p text=… asks another in its place")


def _tokens(screen: Screen, rest: str) -> None:
    used, most = screen.chat.filled()
    record = screen.chat.last
    if record is None:
        _say("nothing was asked yet")
        return
    tokens = record.tokens
    of = f" of the {most:,} that fit" if most else ""
    _say(
        f"{used:,} tokens{of}; open are {record.settings.n_ctx:,}\n"
        f"last turn: {tokens.prompt - tokens.reused:,} read, {tokens.reused:,} kept, "
        f"{tokens.completion:,} written"
    )


def _say(text: str) -> None:
    from localprompt.views.messages import print_note

    print_note(text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


COMMANDS: dict[str, Callable[[Screen, str], None]] = {
    "help": _help,
    "model": _model,
    "system": _system,
    "undo": _undo,
    "retry": _retry,
    "save": _save,
    "tokens": _tokens,
}
_ENDINGS = ("exit", "quit", "bye")
_HELP = {
    "/model [NAME]": "who answers; let another model go on",
    "/system [TEXT]": 'what the model is told first; "" tells it nothing',
    "/undo": "take the last turn back",
    "/retry [TEMPERATURE]": "ask the last question again",
    "/save NAME.prompty": "the conversation as a prompt file",
    "/tokens": "how much of the context is filled",
    "/exit": "end, as Ctrl-D does",
    "//…": "say something that begins with a slash",
    '"""': "a text of several lines, until the next",
}
