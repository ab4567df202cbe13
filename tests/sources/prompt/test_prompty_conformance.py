"""Prompty's own vectors: what loading, rendering and parsing have to give.

The vectors are data of the Prompty project and lie beside a checkout, not in it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from localprompt.errors import ParameterError, PromptFileError
from localprompt.records.prompt import InputSpec, PromptTemplate, Segment
from localprompt.rendering.prompt import fill_defaults, render_body
from localprompt.rendering.roles import parse_messages, read_thread
from localprompt.rendering.segments import render_segments
from localprompt.sources.prompt.document import load_document
from localprompt.sources.prompt.file import load_prompt
from localprompt.sources.prompt.properties import input_specs

_FOLDER = Path(__file__).resolve().parents[4] / "shared" / "conformance" / "prompty"
_FILE = _FOLDER / "vectors.json"
_VECTORS: list[dict[str, Any]] = (
    json.loads(_FILE.read_text(encoding="utf-8"))["vectors"] if _FILE.is_file() else []
)


def _vectors(operation: str) -> pytest.MarkDecorator:
    chosen = [vector["vector"] for vector in _VECTORS if vector["operation"] == operation]
    if not chosen:
        skip = pytest.mark.skip(reason="Prompty's vectors are not beside this checkout")
        return pytest.mark.parametrize("vector", [pytest.param({}, marks=skip)])
    return pytest.mark.parametrize("vector", chosen, ids=lambda vector: str(vector["name"]))


def _assert_contains(actual: Any, expected: Any, at: str = "$") -> None:
    """Every key that is expected is there with that value."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict), at
        for key, value in expected.items():
            assert key in actual, f"{at}.{key}"
            _assert_contains(actual[key], value, f"{at}.{key}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), at
        for index, value in enumerate(expected):
            _assert_contains(actual[index], value, f"{at}[{index}]")
    else:
        assert actual == expected, at


def _file_of(given: dict[str, Any], folder: Path) -> Path:
    if "fixture" in given:
        return _FOLDER / "fixtures" / str(given["fixture"])
    home = folder / str(given.get("agent_subdir", ""))
    home.mkdir(parents=True, exist_ok=True)
    for name, content in given.get("files", {}).items():
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    path = home / "vector.prompty"
    path.write_text(f"---\n{yaml.safe_dump(given['frontmatter'])}---\nHi\n", encoding="utf-8")
    return path


@_vectors("load")
def test_a_file_loads_as_the_vector_says(vector: dict[str, Any], tmp_path: Path) -> None:
    given, expected = vector["input"], vector["expected"]
    path = _file_of(given, tmp_path)
    if "error" in expected:
        with pytest.raises(PromptFileError) as error:
            load_document(path, env=given.get("env", {}))
        if expected["error"] == "FileNotFoundError":
            assert "no such prompt file" in error.value.message
        else:
            assert expected["error"] in error.value.message
        return
    document = load_document(path, env=given.get("env", {}))
    if "validated_inputs" in expected:
        inputs = input_specs(document["inputs"], strict=False)
        assert fill_defaults(inputs, given["inputs"]) == expected["validated_inputs"]
    else:
        _assert_contains(document, expected)
    assert load_prompt(path, env={}).name == document["name"]


@_vectors("render")
def test_a_template_renders_as_the_vector_says(vector: dict[str, Any]) -> None:
    given, expected = vector["input"], vector["expected"]
    threads = [
        name
        for name, value in given["inputs"].items()
        if isinstance(value, dict) and value.get("_kind") == "thread"
    ]
    template = PromptTemplate(
        name="vector",
        body=given["template"],
        inputs=tuple(InputSpec(name, "thread") for name in threads),
        unsupported=() if given["engine"] == "jinja2" else (f"templates in {given['engine']}",),
    )
    if template.unsupported:
        with pytest.raises(PromptFileError, match="mustache"):
            render_body(template, given["inputs"])
        return
    text = "".join(s.text for s in render_body(template, given["inputs"], lenient=True))
    if "nonce_pattern" in expected:
        assert re.search(expected["nonce_pattern"], text)
    else:
        assert text == expected["rendered"]


@_vectors("renderSegments")
def test_a_template_renders_into_the_vectors_segments(vector: dict[str, Any]) -> None:
    given, expected = vector["input"], vector["expected"]
    strict = given.get("strict_props", [])
    if "error" in expected:
        with pytest.raises(ParameterError, match="strict"):
            render_segments(given["template"], given["inputs"], strict=strict)
        return
    assert [
        {
            "kind": "literal" if segment.source is None else "interp",
            "text": segment.text,
            "source": segment.source,
            "strict": segment.source in strict,
        }
        for segment in render_segments(given["template"], given["inputs"], strict=strict)
    ] == expected["segments"]


@_vectors("parse")
def test_a_rendering_parses_as_the_vector_says(vector: dict[str, Any]) -> None:
    given = vector["input"]
    threads = {n: read_thread(n, value) for n, value in given.get("thread_inputs", {}).items()}
    messages = parse_messages([Segment(given["rendered"])], threads)
    assert [
        {
            "role": message.role,
            "content": [{"kind": "text", "value": message.text}],
            **({"metadata": message.attributes} if message.attributes else {}),
        }
        for message in messages
    ] == vector["expected"]["messages"]
