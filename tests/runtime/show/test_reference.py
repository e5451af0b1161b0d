"""The reference of the operations is that of their classes, and every link in it leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dlc.compiler.op import operations
from dlc.runtime.show import operation
from dlc.runtime.show.reference import CHAPTERS, reference

FILE = Path(__file__).parents[3] / "docs" / "operations.md"


@pytest.fixture(scope="module")
def page() -> str:
    return reference()


def test_the_file_is_made_from_the_classes(page: str) -> None:
    message = "write it again: python -m dlc.runtime.show.reference docs/operations.md"
    assert FILE.read_text() == page, message


def test_every_operation_has_its_entry(page: str) -> None:
    headings = re.findall(r"^#### `(.*)`$", page, re.MULTILINE)
    for op in operations().values():
        assert operation.signature(op) in headings
        first, *_ = operation.text(op).splitlines()
        assert first in page
        assert next(operation.examples_of(op)) in page


def test_links_lead_to_entries(page: str) -> None:
    links = set(re.findall(r"\]\(#([\w-]+)\)", page))
    anchors = set(re.findall(r'<a id="([\w-]+)"></a>', page))
    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", page, re.MULTILINE)}
    assert links == (anchors | titles) - {"contents"}


def test_chapters_name_families_that_there_are() -> None:
    families = {op.__module__.rpartition(".")[2] for op in operations().values()}
    assert families == {family for chapter in CHAPTERS.values() for family in chapter}
