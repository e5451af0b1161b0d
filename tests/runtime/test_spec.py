"""Reading specs: files that cannot be read, and imports."""

from pathlib import Path

import pytest

from dlc.grammar.diagnostics import Diagnostic, Refusal
from dlc.runtime.spec import MAX_BYTES, SpecFile, read_checked, read_spec, read_tree

BLOCK = "block Double(x: float[N, d]) -> float[N, d]:\n    return 2 * x\n"
MODEL = "model M(x: float[N, 4]) -> float[N, 4]:\n    return x -> Double\n"


def write(folder: Path, **files: str) -> Path:
    """Files by their names, where `__` stands for a slash; gives the path of `main`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.dl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "main.dl"


def only(path: Path) -> Diagnostic:
    program, sink = read_spec(path)
    assert program is None
    (diagnostic,) = sink
    return diagnostic


def test_a_missing_file_gets_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "digits.dl").write_text("let width = 3\n")
    diagnostic = only(tmp_path / "digts.dl")
    assert diagnostic.code == "DL8001"
    assert diagnostic.message == f"there is no file {tmp_path / 'digts.dl'}"
    assert diagnostic.help == f"did you mean {tmp_path / 'digits.dl'}?"


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    (tmp_path / "digits.dl").write_text("let width = 3\n")
    diagnostic = only(tmp_path)
    assert diagnostic.code == "DL8001"
    assert diagnostic.help == f"name a file in it, as in {tmp_path / 'digits.dl'}"


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "main.dl"
    path.write_bytes(b"# one\n# caf\xe9\n")
    diagnostic = only(path)
    assert diagnostic.code == "DL8002"
    assert "line 2 holds the byte 0xe9" in diagnostic.message


def test_a_file_has_at_most_a_million_bytes(tmp_path: Path) -> None:
    path = tmp_path / "main.dl"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert only(path).code == "DL8003"


def test_a_device_is_no_file() -> None:
    assert only(Path("/dev/zero")).code == "DL8001"


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "main.dl"
    path.write_bytes(b"\xef\xbb\xbf" + BLOCK.encode())
    assert len(read_tree(path).items) == 1


def test_syntax_errors_leave_no_program(tmp_path: Path) -> None:
    diagnostic = only(write(tmp_path, main="let width = 32 64\n"))
    assert diagnostic.code == "DL1001"
    with pytest.raises(Refusal):
        read_tree(tmp_path / "main.dl")
    with pytest.raises(Refusal):
        read_checked(tmp_path / "main.dl")


def test_a_file_beside_is_imported(tmp_path: Path) -> None:
    program = read_checked(write(tmp_path, main=f"from .parts import Double\n{MODEL}", parts=BLOCK))
    main, parts = program.sources
    assert isinstance(main, SpecFile)
    assert isinstance(parts, SpecFile)
    assert (main.place, parts.place) == ("spec.dl", "parts.dl")
    assert parts.name == str(tmp_path / "parts.dl")


def test_a_file_below_may_import_from_above_within_the_tree(tmp_path: Path) -> None:
    main = write(
        tmp_path,
        main=f"from .parts.layers import Double\n{MODEL}",
        parts__layers="from ..blocks import Double\n",
        blocks=BLOCK,
    )
    program = read_checked(main)
    assert [source.name for source in program.sources][1:] == [
        str(tmp_path / "parts/layers.dl"),
        str(tmp_path / "blocks.dl"),
    ]


def test_a_misspelt_file_gets_the_nearest(tmp_path: Path) -> None:
    diagnostic = only(write(tmp_path, main="from .bloks import Double\n", blocks=BLOCK))
    assert (diagnostic.code, diagnostic.message) == ("DL2009", "there is no file bloks.dl")
    assert diagnostic.help == "did you mean `blocks`?"
    assert diagnostic.span is not None
    assert diagnostic.span.text == "bloks"


@pytest.mark.parametrize("dots", ["..", "..."])
def test_nothing_above_the_folder_is_read(tmp_path: Path, dots: str) -> None:
    write(tmp_path, secret=BLOCK)
    diagnostic = only(write(tmp_path / "specs", main=f"from {dots}secret import Double\n"))
    assert diagnostic.code == "DL2009"
    assert "outside" in diagnostic.message


def test_a_link_that_leaves_the_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, secret=BLOCK)
    main = write(tmp_path / "specs", main="from .blocks import Double\n")
    (tmp_path / "specs/blocks.dl").symlink_to(tmp_path / "secret.dl")
    assert "outside" in only(main).message


def test_a_circle_is_told(tmp_path: Path) -> None:
    main = write(tmp_path, main="from .other import Double\n", other="from .main import Double\n")
    program, sink = read_spec(main)
    assert program is None
    assert "DL2010" in [diagnostic.code for diagnostic in sink]


def test_mistakes_of_an_imported_file_are_told_where_they_are(tmp_path: Path) -> None:
    program, sink = read_spec(write(tmp_path, main="from .other import Double\n", other="let = 3\n"))
    assert program is None
    first = next(iter(sink))
    assert first.span is not None
    assert first.span.source.name == str(tmp_path / "other.dl")


def test_only_the_standard_library_is_imported_without_a_dot(tmp_path: Path) -> None:
    diagnostic = only(write(tmp_path, main="from blocks import Double\n", blocks=BLOCK))
    assert diagnostic.code == "DL2009"
    assert diagnostic.help == "a file beside this one is imported with a dot: from .blocks import …"


def test_a_misspelt_part_of_the_standard_library_gets_the_nearest(tmp_path: Path) -> None:
    diagnostic = only(write(tmp_path, main="from std.transfomer import FeedForward\n"))
    assert diagnostic.message == "the standard library has no `std.transfomer`"
    assert diagnostic.help == "did you mean `std.transformer`?"


def test_a_run_reads_its_own_copy_of_the_standard_library(tmp_path: Path) -> None:
    write(tmp_path, main=f"from std.own import Double\n{MODEL}")
    (tmp_path / "std.own.dl").write_text(BLOCK)
    program, sink = read_spec(tmp_path / "main.dl", library=tmp_path)
    assert not len(sink)
    assert program is not None
    assert [source.name for source in program.sources] == [str(tmp_path / "main.dl"), "std/own.dl"]


def test_an_unknown_source_of_data_gets_the_nearest(tmp_path: Path) -> None:
    diagnostic = only(write(tmp_path, main='data D:\n    source = skleran("iris")\n    x: float[4] = data\n'))
    assert (diagnostic.code, diagnostic.help) == ("DL6001", "did you mean `sklearn`?")
