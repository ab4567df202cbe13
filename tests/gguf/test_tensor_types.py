from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

from localprompt.gguf.tensor_types import BY_NAME, TENSOR_TYPES


def _ggml() -> ctypes.CDLL:
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "lib"
    library = next(path for path in sorted(folder.iterdir()) if "ggml-base" in path.name)
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_type_name.restype = ctypes.c_char_p
    ggml.ggml_type_size.restype = ctypes.c_size_t
    ggml.ggml_blck_size.restype = ctypes.c_int64
    return ggml


def test_the_table_says_what_the_installed_library_says() -> None:
    ggml = _ggml()
    for number, tensor_type in TENSOR_TYPES.items():
        assert ggml.ggml_type_name(number).decode().upper() == tensor_type.name
        assert ggml.ggml_blck_size(number) == tensor_type.block_elements
        assert ggml.ggml_type_size(number) == tensor_type.block_bytes


def test_a_row_takes_whole_blocks() -> None:
    assert BY_NAME["Q4_0"].bytes_for(576) == 18 * 18
    assert BY_NAME["F16"].bytes_for(3) == 6
