"""What holds for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from localprompt import home

# How long an example takes depends on the machine and on what else it does; no test judges that.
settings.register_profile("localprompt", deadline=None)
settings.load_profile("localprompt")


def _pulled(file: str, name: str, more: str = "") -> Path:
    """Weights in the user's own store; tests never write there."""
    path = home.weights_folder() / file
    if not path.is_file():
        pytest.skip(f"{name} is not pulled: localprompt models pull {name}{more}")
    return path


@pytest.fixture(scope="session")
def starter_model() -> Path:
    """The weights of smollm2-135m."""
    return _pulled("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m")


@pytest.fixture(scope="session")
def base_model() -> Path:
    """The weights of gemma3-270m, a model without a chat template."""
    return _pulled("gemma-3-270m-q4_k_m.gguf", "gemma3-270m", " --accept-license")
