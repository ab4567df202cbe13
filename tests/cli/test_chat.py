"""``localprompt chat`` and ``ask --continue`` on the real starter model."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localprompt.store.history import History
from localprompt.store.pruning import prune
from tests.cli.conftest import Localprompt
from tests.cli.program import SHORT, command_line, started, write_prompt
from tests.cli.test_crashes import at_batch

pytestmark = pytest.mark.model

NUMBERS = ", ".join(str(number) for number in range(60))


def _turns(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _states(lab_home: Path) -> list[Path]:
    return sorted((lab_home / "cache" / "prefixes").glob("*.turn"))


def test_lines_from_a_pipe_are_turns_and_answers_are_all_of_stdout(
    localprompt: Localprompt,
) -> None:
    ran = localprompt("chat", *SHORT, stdin=_turns("Name a colour.", "", "Another one?"))
    assert ran.code == 0, ran.err
    with History(read_only=True) as history:
        last, first = (history.run(history.find(name).id) for name in ("last", "last~1"))
    assert ran.out == f"{first.output.text}\n{last.output.text}\n"
    assert last.kind == first.kind == "chat"
    assert last.tokens.reused >= first.tokens.prompt
    assert last.conversation is not None
    assert last.conversation.parent == first.id
    assert [m.text for m in last.prompt.messages if m.role == "user"] == [
        "Name a colour.",
        "Another one?",
    ]
    assert "turn 2" in ran.err
    assert f"(+{last.tokens.reused} kept)" in ran.err
    assert max(map(len, ran.err.splitlines())) <= 80


def test_a_model_with_a_sliding_window_reads_only_what_is_new_too(
    localprompt: Localprompt, base_model: Path
) -> None:
    model = ("-m", str(base_model))
    ran = localprompt("chat", *SHORT, *model, stdin=_turns(f"Numbers: {NUMBERS}", "And then?"))
    assert ran.code == 0, ran.err
    ran = localprompt("ask", "And backwards?", "--continue", *model, *SHORT)
    assert ran.code == 0, ran.err
    with History(read_only=True) as history:
        names = ("last~2", "last~1", "last")
        first, second, third = (history.run(history.find(name).id) for name in names)
    # A model without a chat template: the end of one turn's text may be another token in the next.
    assert second.tokens.reused >= first.tokens.prompt - 1
    assert third.tokens.reused >= second.tokens.prompt - 1
    assert third.timing.prefix_store_seconds is not None


def test_continuing_in_a_new_process_reads_only_what_is_new(
    localprompt: Localprompt, lab_home: Path
) -> None:
    localprompt("ask", f"Say these again: {NUMBERS}", *SHORT)
    assert _states(lab_home)
    ran = localprompt("ask", "And backwards?", "--continue", "--json")
    assert ran.code == 0, ran.err
    with History(read_only=True) as history:
        last, first = (history.run(history.find(name).id) for name in ("last", "last~1"))
    assert last.tokens.reused >= first.tokens.prompt
    assert last.tokens.prompt - last.tokens.reused < 40
    assert last.conversation is not None
    assert last.conversation.turns == (first.id,)
    assert last.sampling.max_tokens == first.sampling.max_tokens == 8
    assert json.loads(ran.out)["conversation"] == {"turns": [first.id]}

    shown = localprompt("runs", "show", "last")
    assert first.id in shown.out
    branched = localprompt("ask", "Why?", "--continue", first.id, *SHORT)
    assert branched.code == 0
    chatted = localprompt("chat", "--continue", first.id[:20], *SHORT, stdin=_turns("How?"))
    assert chatted.code == 0


def test_forgetting_runs_forgets_their_states(localprompt: Localprompt, lab_home: Path) -> None:
    localprompt("ask", f"Say these again: {NUMBERS}", *SHORT)
    assert _states(lab_home)
    assert localprompt("runs", "prune", "--grep", "nothing like it").code == 0
    assert _states(lab_home)
    assert localprompt("runs", "prune", "--keep-last", "0").code == 0
    assert not _states(lab_home)


@pytest.mark.parametrize("off", ["--no-log", "--no-prefix-store"])
def test_nothing_is_kept_of_what_is_not_to_be(
    localprompt: Localprompt, lab_home: Path, off: str
) -> None:
    for command in ("ask", "chat"):
        given = [f"Say these again: {NUMBERS}"] if command == "ask" else []
        stdin = b"" if given else _turns(f"Say these again: {NUMBERS}")
        assert localprompt(command, *given, *SHORT, off, stdin=stdin).code == 0
    assert not _states(lab_home)
    assert not (lab_home / "chat_history").exists()


def test_a_prompt_file_begins_and_its_parameters_are_its_own(
    localprompt: Localprompt, work: Path
) -> None:
    write_prompt(
        work, "greet", "---\nname: greet\n---\nsystem:\nBe kind.\nuser:\nGreet {{ who }}.\n"
    )
    ran = localprompt("chat", "greet", "-p", "who=Ada", *SHORT, stdin=_turns("Again."))
    assert ran.code == 0, ran.err
    with History(read_only=True) as history:
        last = history.run(history.find("last").id)
    assert [m.text for m in last.prompt.messages][:2] == ["Be kind.", "Greet Ada."]
    assert last.conversation is not None
    assert len(last.conversation.turns) == 1


def test_the_commands_of_a_conversation(localprompt: Localprompt, work: Path) -> None:
    lines = (
        "/system Be brief.",
        "Name a colour.",
        "/tokens",
        "/undo",
        "Name a fruit.",
        "/retry 0.9",
        "/save talk.prompty",
        "/model",
        "/help",
        "//slash is said",
        "/exit",
        "never reached",
    )
    ran = localprompt("chat", *SHORT, stdin=_turns(*lines))
    assert ran.code == 0, ran.err
    for said in (
        "Be brief.",
        "that fit",
        "taken back: Name a colour.",
        "smollm2-135m",
    ):
        assert said in ran.err
    assert "/retry [TEMPERATURE]" in ran.err
    with History(read_only=True) as history:
        runs = [history.run(history.find(f"last~{n}").id) for n in range(4)]
    assert runs[0].prompt.messages[-1].text == "/slash is said"
    assert next(m.text for m in runs[0].prompt.messages if m.role == "user") == "Name a fruit."
    assert runs[1].sampling.temperature == 0.9
    assert localprompt("run", "./talk.prompty", *SHORT).code == 0
    assert localprompt("run", "./talk.prompty", "-p", "text=Name a tree.", *SHORT).code == 0


def test_several_lines_are_one_text(localprompt: Localprompt) -> None:
    lines = ("one \\", "two", '"""', "three", "", "four", '"""')
    assert localprompt("chat", *SHORT, stdin=_turns(*lines)).code == 0
    with History(read_only=True) as history:
        last = history.run(history.find("last").id)
    said = [m.text for m in last.prompt.messages if m.role == "user"]
    assert said == ["one \ntwo", "three\n\nfour"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("chat",), b"/undo\n", "nothing was asked yet"),
        (("chat",), b"/sytem be brief\n", "no command is called /sytem"),
        (("chat",), b"/retry hot\n", "not a temperature"),
        (("chat",), b"/save x\n", "nothing was asked yet"),
        (("chat",), b"\xff\xfe\n", "stdin is not text"),
        (("chat", "-p", "a=b"), b"", "nothing has parameters here"),
        (("chat", "summarize", "--system", "x"), b"", "brings its own system text"),
        (("ask", "And?", "--continue"), b"", "there is no 'last'"),
        (("ask", "And?", "--continue", "0123"), b"", "is called '0123'"),
        (("chat", "--schema", "nowhere.json"), b"", "nowhere.json"),
    ],
)
def test_what_is_wrong_is_said_before_or_instead_of_an_answer(
    localprompt: Localprompt, arguments: tuple[str, ...], stdin: bytes, message: str
) -> None:
    ran = localprompt(*arguments, stdin=stdin)
    assert ran.code == 2
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_a_conversation_whose_model_is_gone_names_it(
    localprompt: Localprompt, lab_home: Path, tmp_path: Path, starter_model: Path
) -> None:
    other = tmp_path / "other.gguf"
    other.symlink_to(starter_model)
    assert localprompt("ask", "Hi.", "-m", str(other), *SHORT).code == 0
    other.unlink()
    ran = localprompt("ask", "And?", "--continue")
    assert ran.code == 3
    assert "gone" in ran.err
    assert "-m" in ran.err
    assert localprompt("ask", "And?", "--continue", "-m", "smollm2-135m", *SHORT).code == 0


def test_a_conversation_longer_than_the_context_says_so(localprompt: Localprompt) -> None:
    ran = localprompt(
        "chat",
        *SHORT,
        "--n-ctx",
        "512",
        stdin=_turns(f"Read: {NUMBERS}", f"Again: {NUMBERS} {NUMBERS}"),
    )
    assert ran.code == 2
    assert "the conversation does not fit into the context" in ran.err
    assert "/undo" in ran.err


def test_a_schema_holds_each_turn(localprompt: Localprompt) -> None:
    ran = localprompt(
        "chat",
        "--schema",
        "colour str",
        "--max-tokens",
        "24",
        "--threads",
        "1",
        stdin=_turns("A colour.", "Another."),
    )
    assert ran.code == 0, ran.err
    assert all("colour" in json.loads(line) for line in ran.out.splitlines())


class Terminal:
    """The program in a terminal of its own."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self.seen = ""

    def press(self, key: str, answer: str) -> None:
        """A key, again while nothing comes of it: a line that is just drawn may not read yet."""
        for _ in range(12):
            self.type(key)
            try:
                self.wait_for(answer, seconds=5)
                return
            except AssertionError:
                continue
        self.wait_for(answer, seconds=0)

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """What came since the last wait, up to that text."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._descriptor], [], [], left)[0]:
                raise AssertionError(f"{text!r} did not come: {self.seen!r}")
            self.seen += os.read(self._descriptor, 4096).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def ended(self) -> int:
        while True:
            try:
                if not os.read(self._descriptor, 4096):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def _terminal(*arguments: str) -> Iterator[Terminal]:
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execvp(sys.executable, command_line(*arguments))
    try:
        yield Terminal(pid, descriptor)
    finally:
        os.close(descriptor)
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="terminals differ")
def test_ctrl_c_stops_an_answer_and_ctrl_d_ends(lab_home: Path) -> None:
    with _terminal("chat", "--threads", "1", "--max-tokens", "2000") as terminal:
        terminal.wait_for("Ctrl-D ends.")
        terminal.wait_for("> ")
        terminal.press("\x03", "Ctrl-D ends the conversation")
        terminal.wait_for("> ")
        terminal.type("Count to a thousand, number by number.\r")
        terminal.wait_for("\n")
        terminal.wait_for(" ")  # a word of the answer
        terminal.type("\x03")
        terminal.wait_for("stopped")
        terminal.wait_for("> ")
        terminal.type("/tokens\r")
        terminal.wait_for("last turn:")
        terminal.wait_for("> ")
        terminal.type("\x04")
        assert terminal.ended() == 0
    with History(read_only=True) as history:
        last = history.run(history.find("last").id)
    assert last.output.finish_reason == "interrupted"
    lines = (lab_home / "chat_history").read_text()
    assert "Count to a thousand" in lines
    assert (lab_home / "chat_history").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is watched elsewhere")
def test_a_crash_in_a_conversation_is_told_and_the_turn_is_kept(lab_home: Path) -> None:
    program = at_batch(4, "os.kill(os.getpid(), signal.SIGSEGV)")
    arguments = (*program, "chat", "--threads", "1", "--max-tokens", "40")
    with started(arguments, stdin=subprocess.PIPE) as process:
        out, err = process.communicate("Tell a story.\n", timeout=120)
    assert process.returncode == 3
    assert "llama.cpp died of SIGSEGV" in err
    with History(read_only=True) as history:
        last = history.run(history.find("last").id)
    assert (last.kind, last.output.finish_reason) == ("chat", "error")
    assert last.output.text
    assert out.strip()
    assert prune(keep_last=0).runs == 1
