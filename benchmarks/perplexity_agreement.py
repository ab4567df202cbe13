"""Our perplexity beside that of llama-perplexity, over the same text and the same weights.

    python benchmarks/perplexity_agreement.py --tools FOLDER [-m MODEL]... [-o RESULT.json]

``--tools`` has llama-perplexity of the same sources as the installed llama-cpp-python, as
benchmarks/peers builds them. Both read the text that ships with the project in chunks of 512
tokens. The figures do not depend on how busy the machine is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localprompt import paths
from localprompt.measure import machine
from localprompt.models.quality.measure import load_text, measure_quality
from localprompt.running.assemble import model_record

_FINAL = re.compile(r"PPL = ([\d.]+) \+/- ([\d.]+)")


def main() -> None:
    options = _options()
    rows: list[dict[str, Any]] = [
        _compared(model, options.tools) for model in options.model or ["smollm2-135m"]
    ]
    result = {
        "what": "perplexity of the shipped text, ours and llama-perplexity's, n_ctx 512",
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": machine.describe().cpu, "os": machine.describe().os},
        "target": "within 0.5 %",
        "largest_difference": max(abs(row["ours"] / row["theirs"] - 1) for row in rows),
        "models": rows,
    }
    text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    print(text)


def _compared(name: str, tools: Path) -> dict[str, Any]:
    model = model_record(name)
    ours = measure_quality(model, None, load_text(None))
    path = paths.shipped("benchmarks") / "texts" / "english.txt"
    done = subprocess.run(
        [tools / "llama-perplexity", "-m", model.path, "-f", path, "-t", "2"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LD_LIBRARY_PATH": str(tools)},
    )
    found = _FINAL.search(done.stdout + done.stderr)
    if found is None:
        raise SystemExit(f"llama-perplexity gave no figure for {name}")
    return {
        "model": model.name,
        "type": model.quantization,
        "chunks": ours.text.chunks,
        "ours": round(ours.perplexity.value, 4),
        "our_standard_error": round(ours.perplexity.standard_error or 0.0, 4),
        "theirs": float(found[1]),
        "their_standard_error": float(found[2]),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tools", type=Path, required=True)
    parser.add_argument("-m", "--model", action="append")
    parser.add_argument("-o", "--output", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
