from dlc.runtime.show.columns import WIDEST, columns


def test_cells_stand_under_one_another() -> None:
    assert columns([("a", "b"), ("ccc", "d")]) == ["a    b", "ccc  d"]


def test_numbers_end_flush() -> None:
    assert columns([("a", "1", "x"), ("b", "100", "y")], right=[1]) == ["a    1  x", "b  100  y"]


def test_a_row_may_be_shorter() -> None:
    assert columns([("a",), ("bb", "c")]) == ["a", "bb  c"]


def test_a_very_wide_cell_moves_only_its_own_row() -> None:
    wide = "w" * (WIDEST + 1)
    assert columns([(wide, "x"), ("a", "y")]) == [f"{wide}  x", "a  y"]
