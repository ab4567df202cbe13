"""What the peers say, read; nothing here builds or runs one."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from benchmarks.peers import __main__ as harness
from benchmarks.peers import cold, overhead, peak
from benchmarks.peers.builds import Tools, configure_command, library_origin
from benchmarks.peers.llama_tools import bench_arguments, parse_batched, parse_bench
from benchmarks.peers.results import Section, read_json
from benchmarks.peers.setup import Setup
from localprompt.errors import EXIT_MACHINE, MachineError, WorkerError
from localprompt.records.run import Settings
from tests.benchmarks.test_results import result_with

LLAMA_BENCH = json.dumps(
    [
        {"build_commit": "0c1e570", "n_prompt": 512, "n_gen": 0, "samples_ts": [35.5, 36.5]},
        {"build_commit": "0c1e570", "n_prompt": 0, "n_gen": 64, "samples_ts": [0.7, 2.9]},
    ]
)
BATCHED = """
main: n_kv_max = 2048
{"pp": 128, "tg": 32, "pl": 1, "t_pp": 0.3, "speed_pp": 426.6, "t_tg": 0.2, "speed_tg": 140.1}
{"pp": 128, "tg": 32, "pl": 4, "t_pp": 1.2, "speed_pp": 425.0, "t_tg": 0.6, "speed_tg": 220.5}
"""
LDD = """
	libllama-common.so.0 => /tools/bin/libllama-common.so.0 (0x00007fd761e00000)
	libllama.so.0 => /installed/lib/libllama.so.0 (0x00007fd761a00000)
	libggml-base.so.0 => /installed/lib/libggml-base.so.0 (0x00007fd762351000)
	libggml-cpu.so.0 => /installed/lib/libggml-cpu.so.0 (0x00007fd760e00000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fd76241e000)
"""
SETTINGS = Settings(
    n_ctx=512,
    n_batch=512,
    n_ubatch=256,
    n_threads=3,
    n_threads_batch=3,
    type_k="f16",
    type_v="q8_0",
    flash_attn=True,
    use_mmap=False,
    repack=False,
)


def options_of(arguments: list[str]) -> dict[str, str]:
    return dict(zip(arguments[::2], arguments[1::2], strict=True))


def test_llama_bench_is_read_test_by_test() -> None:
    found = parse_bench(LLAMA_BENCH)
    assert found.prefill_tokens_per_second == (35.5, 36.5)
    assert found.decode_tokens_per_second == (0.7, 2.9)
    assert found.commit == "0c1e570"


@pytest.mark.parametrize("text", ["", "error: no such model", "[]", '[{"n_prompt": 512}]', "{}"])
def test_what_is_not_llama_benchs_answer_is_an_error(text: str) -> None:
    with pytest.raises(WorkerError):
        parse_bench(text)


def test_llama_bench_is_given_the_settings_that_were_in_effect() -> None:
    arguments = bench_arguments(Path("m.gguf"), SETTINGS, prefill=512, decode=64, repetitions=5)
    assert options_of(arguments) == {
        "-m": "m.gguf", "-p": "512", "-n": "64", "-r": "5", "-t": "3", "-b": "512", "-ub": "256",
        "-ctk": "f16", "-ctv": "q8_0", "-fa": "on", "-lm": "none", "-o": "json",
    }  # fmt: skip


def test_unknown_flash_attention_is_left_to_llama_bench() -> None:
    unknown = msgspec.structs.replace(SETTINGS, flash_attn=None)
    arguments = bench_arguments(Path("m"), unknown, prefill=1, decode=1, repetitions=1)
    assert options_of(arguments)["-fa"] == "auto"


def test_batched_figures_are_found_among_other_lines() -> None:
    found = parse_batched(BATCHED)
    assert [rate.sequences for rate in found] == [1, 4]
    assert found[1].decode_tokens_per_second == 220.5


def test_a_batched_bench_without_figures_is_an_error() -> None:
    with pytest.raises(WorkerError):
        parse_batched("main: failed to decode")


def test_tools_count_as_the_same_build_when_the_loader_takes_the_installed_libraries() -> None:
    assert library_origin(LDD, Path("/installed/lib"))


@pytest.mark.parametrize("library", ["libllama.so.0", "libggml-cpu.so.0"])
def test_one_library_from_elsewhere_is_another_build(library: str) -> None:
    mixed = LDD.replace(f"/installed/lib/{library}", f"/tools/bin/{library}")
    assert not library_origin(mixed, Path("/installed/lib"))


def test_a_statically_linked_tool_is_another_build() -> None:
    assert not library_origin("	not a dynamic executable\n", Path("/installed/lib"))


def test_the_users_own_cmake_arguments_are_honoured_as_pip_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_LTO=ON '-DX=a b'")
    command = configure_command(Path("source"), Path("build"))
    assert "-DGGML_LTO=ON" in command
    assert "-DX=a b" in command
    assert "-DCMAKE_BUILD_TYPE=Release" in command


def test_a_missing_program_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        Tools(tmp_path, "given", "their own", {}).program("llama-server")
    assert "--tools" in (caught.value.next_step or "")


def test_gnu_times_report_is_read_in_bytes() -> None:
    report = "\tElapsed: 0:01\n\tMaximum resident set size (kbytes): 151552\n\tSwaps: 0\n"
    assert peak.maximum_resident_bytes(report) == 151552 * 1024


def test_another_time_program_is_an_error() -> None:
    with pytest.raises(WorkerError):
        peak.maximum_resident_bytes("real 0.01\n")


def test_a_worker_that_repeats_has_loaded_once() -> None:
    records: list[dict[str, dict[str, float | None]]] = [
        {"timing": {"total_seconds": 2.0, "load_seconds": 0.5}},
        {"timing": {"total_seconds": 2.5, "load_seconds": None}},
    ]
    assert overhead.measured_seconds(records) == 5.0


def test_what_ask_cold_wrote_becomes_figures_with_their_targets() -> None:
    amounts = {"wall_seconds": 0.5, "peak_rss_bytes": 2e8}
    ratio = {"median": 1.1, "lowest": 1.0, "highest": 1.2}
    found = {
        "rounds": 3,
        "medians": {"ask": amounts, "bare": amounts},
        "ratios": {"ask / bare": {"wall_seconds": ratio, "peak_rss_bytes": ratio}},
    }
    wall, memory = cold.figures(found)
    assert (wall.a, wall.b, wall.unit, wall.ratio.n, wall.met) == ("ask", "bare", "s", 3, True)
    assert memory.unit == "B"
    assert memory.target == cold.TARGETS["ask / bare", "peak_rss_bytes"]


def test_every_target_names_a_pair_that_ask_cold_makes() -> None:
    source = (Path(cold.__file__).parents[1] / "ask_cold.py").read_text(encoding="utf-8")
    for pair, metric in cold.TARGETS:
        a, b = pair.split(" / ")
        assert f'("{a}", "{b}")' in source
        assert metric in source


def test_a_section_that_fails_leaves_the_others_their_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Setup) -> Section:
        raise WorkerError("the program died")

    monkeypatch.setattr(
        harness,
        "SECTIONS",
        {"broken": fails, "fine": lambda _: Section("fine", "Fine", "It ran.")},
    )
    tools = Tools(tmp_path, "given", "their own", {})
    monkeypatch.setattr(harness, "_setup", lambda *_, **__: setup_with(tools))
    monkeypatch.setattr(harness, "environment", lambda *_: result_with().environment)
    code = harness.main(["-o", str(tmp_path)])
    (written,) = tmp_path.glob("*-peers.json")
    broken, fine = read_json(written).sections
    assert code == EXIT_MACHINE
    assert (broken.failed, broken.skipped) == (True, "the program died")
    assert (fine.failed, fine.how) == (False, "It ran.")
    assert "It ran." in written.with_suffix(".md").read_text(encoding="utf-8")
    assert "It ran." in capsys.readouterr().out


def test_a_part_of_the_sections_does_not_replace_the_days_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(harness.SECTIONS, "peak", lambda _: Section("peak", "Peak", "It ran."))
    tools = Tools(tmp_path, "given", "their own", {})
    monkeypatch.setattr(harness, "_setup", lambda *_, **__: setup_with(tools))
    monkeypatch.setattr(harness, "environment", lambda *_: result_with().environment)
    assert harness.main(["--only", "peak", "-o", str(tmp_path)]) == 0
    assert [path.suffix for path in sorted(tmp_path.glob("*-peers-peak.*"))] == [".json", ".md"]
    assert not list(tmp_path.glob("*-peers.json"))


def setup_with(tools: Tools) -> Setup:
    return Setup(
        tools=tools,
        model="starter",
        weights=Path("starter.gguf"),
        threads=2,
        pairs=1,
        repetitions=1,
        prefill_tokens=1,
        decode_tokens=1,
        llm=None,
    )
