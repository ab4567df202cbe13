"""Inputs that hurt once, each with what is right for it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localprompt.engine.llama.library import LogTail
from localprompt.errors import TemplateLimitError
from localprompt.records.prompt import Message, Segment
from localprompt.rendering.chat import apply_chat_template
from tests.adversarial.files import RESULTS
from tests.adversarial.harness import Ran, Zygote
from tests.adversarial.inputs import FAST, prepare
from tests.adversarial.models import working_gguf


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with Zygote(tmp_path_factory.mktemp("cases")) as made:
        prepare(made)
        yield made


def _refused(ran: Ran, *words: str, code: int = 2) -> None:
    assert ran.fault() is None, ran.err
    assert ran.code == code, ran.err
    for word in words:
        assert word in ran.err


def test_the_second_name_of_weights_takes_nothing_away(zygote: Zygote) -> None:
    weights = zygote.home / "models" / "tiny.gguf"
    zygote.run("models", "add", str(weights), "--name", "two")
    ran = zygote.run("models", "remove", "two")
    assert ran.code == 0
    assert "its file stays" in ran.err
    assert "freed" not in ran.err
    assert weights.exists()


@pytest.mark.parametrize("threads", ["513", "5000", "2147483648", "-1"])
def test_threads_are_as_many_as_llama_cpp_takes(zygote: Zygote, threads: str) -> None:
    _refused(zygote.run("ask", "hi", "-m", "tiny", "--threads", threads), "--threads")


def test_a_sentence_where_a_prompts_name_is_expected_is_a_prompt_for_ask(zygote: Zygote) -> None:
    sentence = "Tell me why people ask the same questions again and again. " * 8
    _refused(zygote.run("run", sentence, "-m", "tiny"), "there is no prompt", "localprompt ask")


def test_a_judge_who_does_not_exist_is_said_where_nothing_is_judged(zygote: Zygote) -> None:
    ran = zygote.run("eval", "suite.yaml", "--judge", "nosuchmodel", *FAST)
    _refused(ran, "no model is called 'nosuchmodel'")


def test_a_signature_is_insisted_on_with_a_key_only(zygote: Zygote) -> None:
    zygote.run("models", "bundle", "tiny", "-o", "kit.tar")
    _refused(zygote.run("bundle", "verify", "kit.tar", "--require-signature"), "--key FILE")
    (zygote.work / "key.pub").write_text("no key")
    ran = zygote.run("bundle", "verify", "kit.tar", "--require-signature", "--key", "key.pub")
    _refused(ran, "not signed", code=3)
    assert zygote.run("bundle", "verify", "kit.tar").code == 0


def test_what_a_suite_would_do_is_listed_without_doing_it(zygote: Zygote) -> None:
    ran = zygote.run("eval", "suite.yaml", "--plan", *FAST)
    assert ran.code == 0, ran.err
    assert "cases" in ran.out
    assert str(zygote.work / "rows.csv") in ran.out
    assert "writes: no files" in ran.out
    before = zygote.run("runs", "stats").out
    assert zygote.run("eval", "suite.yaml", "--plan", *FAST).code == 0
    assert zygote.run("runs", "stats").out == before


@pytest.mark.parametrize("option", ["--chat-template", "-p"])
@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full", "pipe"])
def test_pipes_and_devices_are_no_files(zygote: Zygote, option: str, path: str) -> None:
    if path == "pipe":
        path = str(zygote.folder / "places" / "pipe")
    given = f"text=@{path}" if option == "-p" else path
    more = () if option == "-p" else ("-p", "text=x")
    ran = zygote.run("run", "say", "-m", "tiny", option, given, *more, *FAST)
    _refused(ran, "only files are read", "not a file")


def test_the_log_of_llama_cpp_is_read_in_linear_time() -> None:
    class _Library:
        def llama_log_callback(self, receive: object) -> object:
            self.receive = receive
            return receive

        def llama_log_set(self, callback: object, data: object) -> None:
            pass

    library, log = _Library(), LogTail()
    log.connect(library)
    receive = library.receive
    assert callable(receive)
    began = time.process_time()
    for text in (b"k" * 10_000_000, b"key " * 1_000_000, b" \t" * 1_000_000):
        receive(2, text + b"\n", None)
        receive(5, text, None)
    receive(2, b"load: CPU_Mapped model buffer size =    93.81 MiB\n", None)
    assert log.buffers() == {"CPU_Mapped model": round(93.81 * 1024**2)}
    assert time.process_time() - began < 5


def test_a_chat_template_cannot_make_the_time_without_end() -> None:
    with pytest.raises(TemplateLimitError):
        apply_chat_template(
            "{{ strftime_now('%Y' * 1000000) }}",
            [Message("user", (Segment("hi"),))],
            bos_token="",
            eos_token="",
        )


def test_a_header_with_a_key_and_a_name_of_megabytes_is_answered(
    zygote: Zygote, tmp_path: Path
) -> None:
    from tests.adversarial.models import METADATA, TENSORS
    from tests.models.tiny_gguf import tiny_gguf

    file = tmp_path / "long.gguf"
    long = {"k" * 60_000: 1, "general.name": "n" * 10_000_000}
    file.write_bytes(tiny_gguf({**METADATA, **long}, TENSORS))
    for command in (["models", "show", str(file)], ["ask", "a", "-m", str(file), *FAST]):
        ran = zygote.run(*command)
        assert ran.fault() is None, ran.err
        assert ran.code == 0, ran.err


@pytest.mark.parametrize("command", ["evidence", "contrast"])
@pytest.mark.parametrize("data", [b'{"title": "\xff"}', b'{"title": ' + b"[" * 100_000, b"null"])
def test_findings_that_are_no_records_are_refused(
    zygote: Zygote, command: str, data: bytes
) -> None:
    (zygote.work / "found.json").write_bytes(data)
    _refused(zygote.run(command, "--from", "found.json", "-o", "page.html"), "found.json")


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        ("evidence", '"notes": [', '"notes": [{"name": "unheard_of", "values": {}}, '),
        ("contrast", '"quantity": "', '"quantity": "un'),
    ],
)
def test_findings_that_this_version_has_no_words_for_are_refused(
    zygote: Zygote, command: str, old: str, new: str
) -> None:
    data = json.loads((RESULTS / f"2026-11-26-{command}.json").read_bytes())
    text = json.dumps(data)
    assert old in text
    (zygote.work / "found.json").write_text(text.replace(old, new, 1))
    ran = zygote.run(command, "--from", "found.json", "-o", "page.html")
    _refused(ran, "has no words for", "found.json", "un")
    assert not (zygote.work / "page.html").exists()


def test_a_table_goes_on_where_a_cell_of_several_lines_was_cut(zygote: Zygote) -> None:
    (zygote.work / "lines.csv").write_text('text\n"one\ntwo"\nthree\n')
    command = ["run", "say", "--each", "lines.csv", "--to", "said.csv", "-m", "tiny", *FAST]
    assert zygote.run(*command).code in {0, 1}
    whole = (zygote.work / "said.csv").read_bytes()
    (zygote.work / "said.csv").write_bytes(whole[: whole.index(b"two")])
    assert zygote.run(*command).code in {0, 1}
    assert (zygote.work / "said.csv").read_bytes() == whole
    _refused(zygote.run(*command[:-4], "--to", "/dev/zero", *FAST), "not a file", code=3)


def test_a_chat_template_with_a_byte_that_is_no_text_is_said_to_be_wrong(
    zygote: Zygote, tmp_path: Path
) -> None:
    file = tmp_path / "byte.gguf"
    file.write_bytes(working_gguf().replace(b"{% endfor %}", b"{% endfo\xef %}"))
    ran = zygote.run("ask", "a", "-m", str(file), *FAST)
    assert ran.fault() is None, ran.err
    assert ran.code in {2, 3}
    assert "template" in ran.err
