"""`csv(...)`: what it reads, and what it says of a file that does not fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.compiler.program import SourceCall
from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.grammar.source import Source, Span
from dlc.runtime.data.open import open_source
from dlc.runtime.data.source import DataSource, identifier

CALL = Span(Source("spec.dl", 'csv("t.csv")'), 0, 12)


def source(folder: Path, text: str | bytes, **named: Any) -> DataSource:
    data = text.encode() if isinstance(text, str) else text
    (folder / "t.csv").write_bytes(data)
    return open_source(SourceCall("csv", ("t.csv",), named, CALL), folder)


def refused(source: DataSource, *columns: str) -> Diagnostic:
    with pytest.raises(Refusal) as caught:
        source.load(columns or tuple(source.schema().columns))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span is CALL
    return diagnostic


def test_columns_are_int_where_all_cells_are_whole(tmp_path: Path) -> None:
    table = source(tmp_path, 'size,price (EUR)\n1,2.5\n\n -3 ,4\n"5",1e3\n')
    assert {name: str(type) for name, type in table.schema().columns.items()} == {
        "size": "int[]",
        "price_EUR": "float[]",
    }
    loaded = table.load(["size", "price_EUR"])
    assert loaded.count == 3
    np.testing.assert_array_equal(loaded.columns["size"], [1, -3, 5])
    np.testing.assert_array_equal(loaded.columns["price_EUR"], [2.5, 4.0, 1000.0])
    assert loaded.columns["size"].dtype == np.int64
    assert loaded.row(1) == "row 2 (line 4)"


def test_another_delimiter_and_a_byte_order_mark(tmp_path: Path) -> None:
    table = source(tmp_path, b"\xef\xbb\xbfa;b\r\n1;2\r\n", delimiter=";").load(["a", "b"])
    assert table.columns["a"].tolist() == [1]
    assert table.columns["b"].tolist() == [2]


def test_a_column_of_words_is_none_without_categories(tmp_path: Path) -> None:
    table = source(tmp_path, "width,species\n1.5,virginica\n2,setosa\n")
    assert table.load(["width"]).columns["width"].tolist() == [1.5, 2]
    assert list(table.schema().columns) == ["width"]
    assert table.schema().texts == {"species": 'categories=(species=["setosa", "virginica"])'}


def test_categories_number_words_as_they_are_listed(tmp_path: Path) -> None:
    species = {"species": ["virginica", "setosa", "versicolor"]}
    table = source(tmp_path, "width,species\n1.5, setosa\n2,virginica\n3,setosa\n", categories=species)
    assert str(table.schema().columns["species"]) == "int[] < 3"
    assert table.load(["species"]).columns["species"].tolist() == [1, 0, 1]


def test_a_word_that_is_no_category(tmp_path: Path) -> None:
    given = {"species": ["setosa", "virginica"]}
    diagnostic = refused(source(tmp_path, "species\nsetosa\nvirginca\n", categories=given))
    assert diagnostic.code == "DL6007"
    assert diagnostic.message == (
        'row 2 (line 3), column `species` of t.csv holds `virginca`, and one of "setosa", "virginica" is due'
    )
    assert diagnostic.help == "did you mean `virginica`?"
    assert "is empty" in refused(source(tmp_path, "a,species\n1,\n", categories=given), "species").message


def test_a_word_among_numbers_is_told_where_it_stands(tmp_path: Path) -> None:
    diagnostic = refused(source(tmp_path, "width\nn/a\n1\n"))
    assert diagnostic.message == "row 1 (line 2), column `width` of t.csv holds `n/a`, and a number is due"


@pytest.mark.parametrize("cell", ["nan", "inf", "-Infinity", "1_000", "0x10", "1,5"])
def test_what_is_no_finite_number(tmp_path: Path, cell: str) -> None:
    diagnostic = refused(source(tmp_path, f'a,b\n1,2.5\n3,"{cell}"\n'), "b")
    assert diagnostic.message == f"row 2 (line 3), column `b` of t.csv holds `{cell}`, and a number is due"


def test_an_empty_cell(tmp_path: Path) -> None:
    diagnostic = refused(source(tmp_path, "a,b\n1,2\n3,\n"))
    assert diagnostic.message == "row 2 (line 3), column `b` of t.csv is empty, and a number is due"


def test_a_fraction_after_the_surveyed_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlc.runtime.data.csv._SURVEYED", 2)
    diagnostic = refused(source(tmp_path, "a\n1\n2\n2.5\n"))
    assert diagnostic.message == "row 3 (line 4), column `a` of t.csv holds `2.5`, and a whole number is due"


def test_numbers_beyond_64_bits_are_floats(tmp_path: Path) -> None:
    table = source(tmp_path, f"a\n{2**63}\n").load(["a"])
    assert table.columns["a"].tolist() == [2.0**63]


@pytest.mark.parametrize(("row", "cells"), [("1", "1 cell"), ("1,2,3", "3 cells")])
def test_a_ragged_row(tmp_path: Path, row: str, cells: str) -> None:
    diagnostic = refused(source(tmp_path, f"a,b\n1,2\n\n{row}\n"))
    assert diagnostic.code == "DL6006"
    assert diagnostic.message == f"row 2 (line 4) of t.csv has {cells}, and its header names 2"
    assert diagnostic.notes == (f"the row is {row}",)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "DL6004", "t.csv is empty"),
        ("\n\n", "DL6004", "t.csv is empty"),
        ("a,b\n", "DL6004", "t.csv has a header and no rows"),
        ("1.5,2\n3,4\n", "DL6005", "the first line of t.csv holds numbers, and the names of the columns are due"),
        ("a,a\n1,2\n", "DL6005", "t.csv has two columns `a`"),
        ("a b,a-b\n1,2\n", "DL6005", "t.csv has `a b` and `a-b`, both read as `a_b`"),
        ("a,\n1,2\n", "DL6005", "column 2 of t.csv has no name"),
        (b"a\n\xff\n", "DL6004", "t.csv is not text in UTF-8"),
        ('a\n"1\n', "DL6004", "t.csv is no table: unexpected end of data"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, text: str | bytes, code: str, message: str) -> None:
    diagnostic = refused(source(tmp_path, text))
    assert (diagnostic.code, diagnostic.message) == (code, message)


def test_a_missing_file_gets_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("a\n1\n")
    diagnostic = refused(open_source(SourceCall("csv", ("price.csv",), {}, CALL), tmp_path))
    assert (diagnostic.code, diagnostic.message) == ("DL6003", "there is no file price.csv")
    assert diagnostic.help == 'did you mean "prices.csv"?'
    assert diagnostic.notes == (f"looked for {tmp_path / 'price.csv'}",)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    assert refused(open_source(SourceCall("csv", ("t",), {}, CALL), tmp_path)).code == "DL6003"


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ((), {}, "`csv` needs `path`, a string"),
        ((3,), {}, "`csv` takes a string as `path`, and this is the number 3"),
        (("a", "b", {}, "d"), {}, "`csv` takes 3 arguments, and 4 are given"),
        (("a", ",", []), {}, "`csv` takes a record of lists as `categories`, and this is a list"),
        (("t.csv",), {"categories": {"b": ["x"]}}, "there is no column `b` that could have categories"),
        (("t.csv",), {"categories": {"a": []}}, "the categories of `a` are a list of strings"),
        (("t.csv",), {"categories": {"a": "x"}}, "the categories of `a` are a list of strings"),
        (("t.csv",), {"categories": {"a": ["x", 1]}}, "the categories of `a` are a list of strings"),
        (("t.csv",), {"categories": {"a": ["x", "y", "x"]}}, 'the categories of `a` name "x" twice'),
        (("a",), {"path": "b"}, "`csv` is given `path` twice"),
        (("a",), {"delimeter": ";"}, "`csv` has no parameter `delimeter`"),
        (("t.csv",), {"delimiter": ";;"}, "`csv` takes a single character as `delimiter`"),
    ],
)
def test_arguments(tmp_path: Path, arguments: tuple[object, ...], named: dict[str, object], message: str) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(Refusal) as caught:
        open_source(SourceCall("csv", arguments, named, CALL), tmp_path).schema()
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("DL6002", message)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sepal length (cm)", "sepal_length_cm"),
        ("2nd", "_2nd"),
        ("in", "in_"),
        ("lambda", "lambda_"),
        (" a ", "a"),
        ("_", ""),
        ("Größe", "Gr_e"),
    ],
)
def test_names_of_columns(text: str, name: str) -> None:
    assert identifier(text) == name
