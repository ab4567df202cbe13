"""The child of a worker with a scripted engine: what stands in a prompt decides what it does.

``die`` kills the process, as llama.cpp's assertions do; ``once FILE`` kills it unless the file is
there, and makes it; ``refuse`` is an error of the engine; ``slow N`` takes N
hundredths of a second. ``SCRIPTED_CPU`` is what the machine takes its CPU for.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import msgspec

from localprompt.engine.base import Engine
from localprompt.errors import EngineError, NotEnoughMemoryError
from localprompt.evaluate.worker import main
from localprompt.measure import machine
from localprompt.measure.kernel import HOST, KernelFiles
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.run import Machine
from tests.cluster.characters import CharacterEngine, tone

MODULE = "tests.cluster.scripted_worker"


def say(prompt: str) -> str:
    if "die" in prompt or os.environ.get("SCRIPTED_WORKER") == "dying":
        os.kill(os.getpid(), signal.SIGKILL)
    if found := re.search(r"once (\S+)", prompt):
        mark = Path(found[1])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if "refuse" in prompt:
        raise EngineError("llama_decode failed")
    if found := re.search(r"slow (\d+)", prompt):
        time.sleep(int(found[1]) / 100)
    return tone(prompt)


def open_scripted(model: ModelRecord, request: EvalRequest) -> Engine:
    if os.environ.get("SCRIPTED_WORKER") == "small":
        raise NotEnoughMemoryError(f"{model.name} would not fit into free memory")
    if os.environ.get("SCRIPTED_WORKER") == "wrong":
        raise EngineError("this build of llama.cpp does not compute right on this CPU")
    return CharacterEngine(say)


def describe_another(
    *,
    llama_cpp_build: str | None = None,
    cpu_features: tuple[str, ...] = (),
    kernel: KernelFiles = HOST,
) -> Machine:
    found = describe(llama_cpp_build=llama_cpp_build, cpu_features=cpu_features, kernel=kernel)
    return msgspec.structs.replace(found, cpu=os.environ.get("SCRIPTED_CPU", found.cpu))


if __name__ == "__main__":
    describe, machine.describe = machine.describe, describe_another
    sys.exit(main(open_scripted))
