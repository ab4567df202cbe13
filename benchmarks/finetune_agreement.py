"""Is localprompt's training llama.cpp's? The same text, trained by ``llama-finetune`` and by us.

``llama-finetune`` comes with llama.cpp's sources; build it from those that llama-cpp-python ships::

    cmake -B build -DLLAMA_BUILD_EXAMPLES=ON && cmake --build build --target llama-finetune
    python -m benchmarks.finetune_agreement build/bin/llama-finetune MODEL-F32.gguf

Both train one epoch of AdamW over the reviews of ``datasets/sentiment.csv`` as one text, windows of
256 tokens that overlap by half, all tokens counted, in processes of their own. Compared are the
mean loss of the epoch and the peak of the processes' memory. The model has to be one of 32-bit
floats: ``localprompt models quantize smollm2-135m --to f32``. The result goes to stdout as JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

N_CTX = 256
LEARNING_RATE = 1e-5
_LOSS = re.compile(r"train: \[[^\]]*\] data=(\d+)/(\d+) loss=([\d.]+)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", type=Path, help="llama-finetune, or 'ours' (used internally)")
    parser.add_argument("model", type=Path, help="a GGUF of 32-bit floats")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if str(arguments.tool) == "ours":
        print(json.dumps(train_here(arguments.model, arguments.threads)))
        return
    print(json.dumps(compare(arguments.tool, arguments.model, arguments.threads), indent=1))


def text() -> str:
    """What is trained on."""
    path = Path(__file__).parent / "datasets" / "sentiment.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return "\n".join(row["review"] for row in csv.DictReader(file))


def train_here(model: Path, threads: int) -> dict[str, Any]:
    """One epoch through localprompt's trainer."""
    from localprompt.engine.llama.engine import LlamaEngine
    from localprompt.engine.llama.training import Trainer
    from localprompt.engine.windows import Window
    from localprompt.measure import memory

    with LlamaEngine(model, vocab_only=True) as engine:
        vocabulary = engine.vocabulary
        tokens = [vocabulary.bos] if vocabulary.adds_bos else []
        tokens += vocabulary.tokenize(text())
    stride = N_CTX // 2
    windows = [
        Window(
            token_ids=tuple(tokens[at : at + N_CTX]),
            labels=tuple(tokens[at + 1 : at + 1 + N_CTX]),
            counted=(True,) * N_CTX,
            lengths=(N_CTX,),
        )
        for at in range(0, (len(tokens) - N_CTX - 1) // stride * stride, stride)
    ]
    with Trainer(model, n_ctx=N_CTX, n_threads=threads, masked=False) as trainer:
        losses = [trainer.train(window, LEARNING_RATE) for window in windows]
    return {
        "windows": len(windows),
        "loss": sum(loss.loss_sum for loss in losses) / (N_CTX * len(losses)),
        "peak_rss_bytes": memory.read().peak_rss_bytes,
    }


def train_with_tool(tool: Path, model: Path, threads: int) -> dict[str, Any]:
    """One epoch of llama-finetune."""
    with tempfile.TemporaryDirectory() as folder:
        source, log = Path(folder) / "text.txt", Path(folder) / "log.txt"
        source.write_text(text(), encoding="utf-8")
        sizes = {"-c": N_CTX, "-b": N_CTX, "-ub": N_CTX, "-t": threads, "-tb": threads}
        command = [str(tool), "-m", str(model), "-f", str(source)]
        command += [str(part) for pair in sizes.items() for part in pair]
        command += ["--epochs", "1", "-lr", str(LEARNING_RATE), "--val-split", "0"]
        command += ["-o", str(Path(folder) / "out.gguf")]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        words = log.read_text(encoding="utf-8", errors="replace")
    found = _LOSS.findall(words)
    if process.returncode or not found:
        raise SystemExit(f"llama-finetune ended with {process.returncode}:\n{words[-2000:]}")
    done, total, loss = found[-1]
    if done != total:
        raise SystemExit(f"llama-finetune ended after {done} of {total} windows")
    return {
        "windows": int(total),
        "loss": float(loss),
        "peak_rss_bytes": usage.ru_maxrss * 1024,
    }


def compare(tool: Path, model: Path, threads: int) -> dict[str, Any]:
    """Both, one after the other, and how far they are apart."""
    from localprompt.engine.llama.library import build
    from localprompt.measure import machine

    theirs = train_with_tool(tool, model, threads)
    ours = json.loads(
        subprocess.run(
            [sys.executable, "-m", __spec__.name, "ours", str(model), "--threads", str(threads)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    here = machine.describe(llama_cpp_build=build())
    return {
        "kind": "measured",
        "date": datetime.now(UTC).date().isoformat(),
        "model": model.name,
        "n_ctx": N_CTX,
        "learning_rate": LEARNING_RATE,
        "threads": threads,
        "machine": {"cpu": here.cpu, "os": here.os, "llama_cpp_build": here.llama_cpp_build},
        "llama_finetune": theirs,
        "localprompt": ours,
        "loss_difference": ours["loss"] / theirs["loss"] - 1,
        "peak_difference": ours["peak_rss_bytes"] / theirs["peak_rss_bytes"] - 1,
    }


if __name__ == "__main__":
    main()
