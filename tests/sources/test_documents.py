"""References in files of data lead somewhere, or are refused with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.errors import DatasetError
from localprompt.sources.documents import read_document


def test_an_item_of_a_list_is_pointed_to_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text("a: [one, two]\nb: {$ref: '#/a/1'}\n")
    assert read_document(path).data["b"] == "two"


@pytest.mark.parametrize("item", ["²", "①", "2", "-1"])
def test_what_is_not_the_number_of_an_item_leads_nowhere(item: str, tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(f"a: [one, two]\nb: {{$ref: '#/a/{item}'}}\n", "utf-8")
    with pytest.raises(DatasetError, match="leads nowhere"):
        read_document(path)
