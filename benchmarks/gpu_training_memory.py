"""The memory that training takes on a GPU, measured: the evidence beside `finetune estimate`.

    python -P benchmarks/gpu_training_memory.py measure -o FILE.json  # where there is a GPU
    python -m benchmarks.gpu_training_memory compare FILE.json        # anywhere

`measure` trains models of known shapes with random weights (memory does not depend on their
values) on random tokens through Hugging Face's Trainer with PEFT, bitsandbytes and, where asked,
Liger's fused kernels: two optimizer steps each, every measurement in a process of its own. It
needs torch, transformers, peft, accelerate; bitsandbytes for qlora and liger-kernel for liger.
Three figures are kept: allocated (tensors), reserved (what the caching allocator holds) and
process (the CUDA context included, as nvidia-smi shows it). `compare` puts the project's
estimates beside them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SHAPES = Path(__file__).with_name("finetune") / "model_shapes.csv"
RANK = 16
STEPS = 2
ACCUMULATION = 2

Plan = tuple[tuple[str, str, int, bool, int], ...]
# (shape, method, sequence tokens, liger's fused kernels, gigabytes that it surely stays below)
PLAN: Plan = (
    ("llama-3.2-1b", "lora", 512, False, 12),
    ("llama-3.2-1b", "lora", 2048, False, 20),
    ("llama-3.2-1b", "qlora", 512, False, 12),
    ("llama-3.2-1b", "qlora", 2048, False, 20),
    ("llama-3.2-1b", "full-mixed", 512, False, 32),
    ("llama-3.2-1b", "full-16bit", 512, False, 20),
    ("qwen2.5-1.5b", "lora", 512, False, 14),
    ("qwen2.5-1.5b", "lora", 2048, False, 22),
    ("qwen2.5-1.5b", "qlora", 512, False, 12),
    ("qwen2.5-1.5b", "qlora", 2048, False, 22),
    ("qwen2.5-1.5b", "full-mixed", 512, False, 38),
    ("llama-3-8b", "lora", 512, False, 28),
    ("llama-3-8b", "qlora", 512, False, 26),
    ("llama-3-8b", "lora", 2048, False, 34),
    ("llama-3-8b", "qlora", 2048, False, 30),
    ("mistral-7b", "lora", 512, False, 24),
    ("mistral-7b", "qlora", 512, False, 22),
    ("llama-3.2-3b", "lora", 512, False, 18),
    ("llama-3.2-3b", "qlora", 512, False, 16),
    ("llama-3.2-1b", "lora", 2048, True, 12),
    ("llama-3.2-1b", "full-mixed", 512, True, 32),
    ("qwen2.5-1.5b", "lora", 2048, True, 14),
    ("qwen2.5-1.5b", "qlora", 2048, True, 14),
    ("llama-3-8b", "lora", 2048, True, 28),
    ("llama-3-8b", "qlora", 2048, True, 24),
    ("mistral-7b", "lora", 2048, False, 28),
    ("mistral-7b", "qlora", 2048, False, 24),
    ("llama-3.2-1b", "full-mixed", 2048, False, 42),
    ("llama-3.2-3b", "full-16bit", 512, False, 38),
    ("llama-3.2-3b", "full-mixed", 512, False, 66),
)


def shape_of(name: str) -> dict[str, str]:
    """A row of model_shapes.csv."""
    with SHAPES.open(encoding="utf-8") as file:
        return next(row for row in csv.DictReader(file) if row["name"] == name)


def _random_model(shape: dict[str, str], dtype: Any, device: str) -> Any:
    """A transformers model of this shape with random weights."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

    kinds = {"qwen": Qwen2Config, "mist": MistralConfig}
    kind = kinds.get(shape["name"][:4], LlamaConfig)
    config = kind(
        vocab_size=int(shape["vocab"]),
        hidden_size=int(shape["hidden"]),
        intermediate_size=int(shape["ffn"]),
        num_hidden_layers=int(shape["layers"]),
        num_attention_heads=int(shape["heads"]),
        num_key_value_heads=int(shape["kv_heads"]),
        head_dim=int(shape["head_dim"]),
        tie_word_embeddings=shape["tied_embeddings"] == "1",
        max_position_embeddings=8192,
        use_cache=False,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    finally:
        torch.set_default_dtype(before)
    return model


def _quantize(model: Any, device: str) -> None:
    """Every linear layer but the head in 4 bits (nf4, scales quantized, too), as QLoRA has them."""
    import bitsandbytes
    import torch

    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear) or name.endswith("lm_head"):
            continue
        small = bitsandbytes.nn.Linear4bit(
            module.in_features,
            module.out_features,
            bias=module.bias is not None,
            compute_dtype=torch.bfloat16,
            compress_statistics=True,
            quant_type="nf4",
            device="meta",
        )
        small.weight = bitsandbytes.nn.Params4bit(
            module.weight.data.cpu(),
            requires_grad=False,
            compress_statistics=True,
            quant_type="nf4",
            module=small,
        ).to(device)
        if module.bias is not None:
            small.bias = module.bias
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, small)
    model.is_loaded_in_4bit = True  # how PEFT knows


def _trainer(method: str, model: Any, tokens: int, *, liger: bool, folder: str) -> Any:
    import torch
    from transformers import Trainer, TrainingArguments

    if method in ("lora", "qlora"):
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

        if method == "qlora":
            model = prepare_model_for_kbit_training(model)
        else:
            model.enable_input_require_grads()
        linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        model = get_peft_model(
            model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=linear, lora_dropout=0.0)
        )
    vocabulary = model.config.vocab_size
    rows = [torch.randint(0, vocabulary, (tokens,)) for _ in range(STEPS * ACCUMULATION)]
    data = [
        {"input_ids": row, "labels": row, "attention_mask": row.new_ones(tokens)} for row in rows
    ]
    on_gpu = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=ACCUMULATION,
        max_steps=STEPS,
        bf16=method != "full-16bit" and on_gpu,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        optim="adamw_torch",
        learning_rate=1e-5,
        report_to=[],
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
        use_liger_kernel=liger,
        use_cpu=not on_gpu,
    )
    return Trainer(model=model, args=arguments, train_dataset=data)


def measure_one(name: str, method: str, tokens: int, *, liger: bool) -> dict[str, Any]:
    """Train two steps and read the peaks."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.float32 if method == "full-mixed" else torch.bfloat16
    shape = shape_of(name)
    model = _random_model(shape, dtype, device)
    # Quantized on its way: what loading took is not training's peak.
    if method == "qlora":
        _quantize(model, device)
    parameters = sum(weight.numel() for weight in model.parameters())
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(method, model, tokens, liger=liger, folder=folder)
        began = time.perf_counter()
        trainer.train()
        seconds = (time.perf_counter() - began) / STEPS
    row: dict[str, Any] = {
        "model": name,
        "method": method,
        "liger": liger,
        "sequence_tokens": tokens,
        "micro_batch": 1,
        "rank": RANK if "lora" in method else None,
        "recompute": True,
        "parameters": parameters if method != "qlora" else int(shape["parameters"]),
        "seconds_per_step": seconds,
    }
    if device == "cuda":
        row["allocated_bytes"] = torch.cuda.max_memory_allocated()
        row["reserved_bytes"] = torch.cuda.max_memory_reserved()
        row["process_bytes"] = _process_bytes()
    return row


def _process_bytes() -> int | None:
    """What the driver accounts to this process at the end; None where it does not say."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if process.pid == os.getpid():
                return int(process.usedGpuMemory)
    except Exception:  # noqa: BLE001 - a missing figure is a missing figure
        return None
    return None


def measure(
    output: Path, seconds: float, plan: tuple[tuple[str, str, int, bool, int], ...]
) -> None:
    """All measurements, several side by side where they fit; each in its own process."""
    import torch

    began = time.monotonic()
    room = torch.cuda.mem_get_info()[1] / 1e9 - 6 if torch.cuda.is_available() else 1e9
    properties = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    waiting = list(plan)
    running: dict[subprocess.Popen[str], tuple[tuple[str, str, int, bool, int], int, float]] = {}
    rows: list[dict[str, Any]] = []
    while waiting or running:
        used = sum(size for _, size, _ in running.values())
        for item in list(waiting):
            late = time.monotonic() - began > seconds
            if late:
                waiting.remove(item)
                rows.append({"model": item[0], "method": item[1], "skipped": "out of time"})
            elif item[4] + used <= room and len(running) < 4:
                waiting.remove(item)
                command = [
                    sys.executable,
                    "-P",
                    __file__,
                    "one",
                    *map(str, item[:3]),
                    str(int(item[3])),
                ]
                process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
                running[process] = (item, item[4], time.monotonic())
                used += item[4]
        for process in list(running):
            item, _, _ = running[process]
            if process.poll() is None:
                continue
            out, err = process.communicate()
            del running[process]
            lines = [line for line in out.splitlines() if line.startswith('{"model"')]
            if process.returncode == 0 and lines:
                rows.append(json.loads(lines[-1]))
            else:
                cause = (err.strip().splitlines() or ["?"])[-1][:200]
                names = ("model", "method", "sequence_tokens", "liger")
                rows.append({**dict(zip(names, map(str, item), strict=False)), "failed": cause})
            print(json.dumps(rows[-1]), flush=True)
            output.write_text(json.dumps(_report(rows, properties), indent=1) + "\n")
        time.sleep(0.2)
    output.write_text(json.dumps(_report(rows, properties), indent=1) + "\n")


def _report(rows: list[dict[str, Any]], properties: Any) -> dict[str, Any]:
    from importlib import metadata

    names = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "liger-kernel")
    versions: dict[str, str | None] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "kind": "measured",
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "gpu": getattr(properties, "name", None),
        "gpu_bytes": getattr(properties, "total_memory", None),
        "versions": versions,
        "rows": rows,
    }


def compare(path: Path) -> None:
    """The project's estimate beside each measurement, as a Markdown table."""
    from localprompt.finetune.estimate.estimate import estimate
    from localprompt.finetune.estimate.recipe import make_recipe
    from localprompt.finetune.estimate.shapes import find_shape

    found = json.loads(path.read_text(encoding="utf-8"))
    print(f"{found['gpu']}, {found['created_at'][:10]}; GB of 10^9 bytes\n")
    print("| model | method | tokens | measured | estimated | inside |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in found["rows"]:
        if "reserved_bytes" not in row:
            continue
        stack = "liger" if row["liger"] else "trainer"
        recipe = make_recipe(
            row["method"], stack=stack, sequence_tokens=row["sequence_tokens"], rank=row["rank"]
        )
        memory = estimate(find_shape(row["model"]), recipe).memory.total_bytes
        measured = row["process_bytes"] or row["reserved_bytes"]
        inside = "yes" if memory.low <= measured <= memory.high else "no"
        print(
            f"| {row['model']} | {row['method']}{' + liger' if row['liger'] else ''} | "
            f"{row['sequence_tokens']} | {measured / 1e9:.1f} | {memory.typical / 1e9:.1f} "
            f"({memory.low / 1e9:.1f} to {memory.high / 1e9:.1f}) | {inside} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    whole = commands.add_parser("measure")
    whole.add_argument("-o", "--output", type=Path, required=True)
    whole.add_argument("--seconds", type=float, default=1500.0, help="start none after this time")
    one = commands.add_parser("one")
    for name in ("model", "method", "tokens", "liger"):
        one.add_argument(name)
    beside = commands.add_parser("compare")
    beside.add_argument("file", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "measure":
        measure(arguments.output, arguments.seconds, PLAN)
    elif arguments.command == "one":
        row = measure_one(
            arguments.model,
            arguments.method,
            int(arguments.tokens),
            liger=arguments.liger == "1",
        )
        print(json.dumps(row), flush=True)
    else:
        compare(arguments.file)


if __name__ == "__main__":
    main()
