"""``localprompt models`` and ``localprompt doctor`` on the real starter model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Localprompt
from tests.cli.program import SHORT
from tests.models.tiny_gguf import tiny_gguf

pytestmark = pytest.mark.model


def test_the_list_says_what_is_here_and_what_could_be(localprompt: Localprompt) -> None:
    ran = localprompt("models", "list")
    assert ran.code == 0
    states = {row.split()[0]: row.split()[1] for row in ran.out.splitlines() if row[0] != " "}
    assert states["smollm2-135m"] == "present"
    assert states["gemma3-270m"] == "missing"
    assert max(map(len, ran.out.splitlines())) <= 80


def test_a_model_is_shown_with_its_tensors_licence_template_and_predicted_memory(
    localprompt: Localprompt,
) -> None:
    ran = localprompt("models", "show", "smollm2", "--n-ctx", "1024", "--n-ctx", "4096")
    assert ran.code == 0
    shown = " ".join(ran.out.split())
    for part in (
        "smollm2-135m", "Apache-2.0", "llama", "135 M (134,515,008)", "Q4_1", "30 layers",
        "n_ctx_train 8192 tokens", "predicted memory (estimated, nothing was loaded)", "1024",
        "4096", "<|im_start|>", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ):  # fmt: skip
        assert part in shown, part


def test_showing_a_model_does_not_load_it(
    localprompt: Localprompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localprompt.engine.llama.library.library", None)
    assert localprompt("models", "show", "smollm2-135m").code == 0


def test_a_file_is_added_used_verified_and_forgotten(
    localprompt: Localprompt, work: Path, starter_model: Path
) -> None:
    link = work / "My Model.gguf"
    link.symlink_to(starter_model)
    added = localprompt("models", "add", str(link), "--name", "mine")
    assert added.code == 0
    assert added.out == ""
    assert "is called mine" in added.err
    assert localprompt("ask", "Hi", "-m", "mine", *SHORT, "-q").out.strip()
    assert "mine is intact: sha256 b179c95" in localprompt("models", "verify", "mine").err
    assert localprompt("models", "remove", "mine").code == 0
    assert starter_model.exists()
    assert localprompt("ask", "Hi", "-m", "mine").code == 2


def test_a_damaged_model_is_found_by_verifying_and_by_the_doctor(
    localprompt: Localprompt, work: Path
) -> None:
    path = work / "tiny.gguf"
    path.write_bytes(tiny_gguf())
    localprompt("models", "add", str(path), "--name", "tiny")
    path.write_bytes(tiny_gguf()[:-1] + b"!")
    verified = localprompt("models", "verify", "tiny")
    assert verified.code == 3
    assert verified.fields()["error"] == ("the weights of tiny do not match its card")
    path.write_bytes(tiny_gguf() + b"more")
    found = localprompt("doctor")
    assert found.code == 3
    assert "x model       tiny is damaged" in found.out
    assert "try: localprompt models verify tiny" in found.out


def test_the_doctor_finds_everything_in_order(localprompt: Localprompt, lab_home: Path) -> None:
    ran = localprompt("doctor")
    assert ran.code == 0
    names = [line[2:14].strip() for line in ran.out.splitlines()]
    for name in ("localprompt", "llama.cpp", "build uses", "cpu", "cores", "memory", "home"):
        assert name in names
    assert str(lab_home) in ran.out.replace("\n              ", "")
    assert "0 runs" in ran.out
    assert not (lab_home / "history.db").exists()


def test_the_doctor_says_how_to_get_a_first_model(localprompt: Localprompt, lab_home: Path) -> None:
    shutil.rmtree(lab_home / "models")
    ran = localprompt("doctor")
    assert ran.code == 0
    assert "! models      none here yet" in ran.out
    assert "try: localprompt models pull smollm2-135m" in ran.out


def test_a_model_without_a_chat_template_completes_and_warns(
    localprompt: Localprompt, base_model: Path
) -> None:
    ran = localprompt("ask", "The capital of France is", "-m", str(base_model), *SHORT)
    assert ran.code == 0
    assert ran.out.strip()
    assert "has no chat template: the prompt is a plain completion" in ran.err


def test_a_chat_template_can_be_given_to_a_model_that_has_none(
    localprompt: Localprompt, base_model: Path, work: Path
) -> None:
    (work / "q.jinja").write_text("Q: {{ messages[0]['content'] }}\nA:")
    ran = localprompt("ask", "Hi", "-m", str(base_model), "--chat-template", "q.jinja", *SHORT)
    assert ran.code == 0
    assert "plain completion" not in ran.err
