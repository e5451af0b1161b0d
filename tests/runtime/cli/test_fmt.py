import os
from pathlib import Path

import pytest

from dlc.runtime.cli import fmt

CROOKED = "let  width=16\nmodel M(x:float[N,8])->(y:float[N,2]):\n  return x->linear(2)  # why\n"
STRAIGHT = "let width = 16\n\nmodel M(x: float[N, 8]) -> (y: float[N, 2]):\n    return x -> linear(2)  # why\n"


def test_a_file_is_laid_out_and_its_link_kept(dlc, tmp_path: Path) -> None:
    (tmp_path / "there.dl").write_text(CROOKED)
    (tmp_path / "m.dl").symlink_to("there.dl")
    result = dlc("fmt", "m.dl")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "m.dl: laid out\n", "")
    assert (tmp_path / "there.dl").read_text() == STRAIGHT
    assert (tmp_path / "m.dl").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["m.dl", "there.dl"]


def test_a_file_that_is_laid_out_is_not_written(dlc, tmp_path: Path) -> None:
    file = tmp_path / "m.dl"
    file.write_text(STRAIGHT)
    before = file.stat()
    result = dlc("fmt", "m.dl")
    assert (result.exit_code, result.output) == (0, "")
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_check_only_asks(dlc, tmp_path: Path) -> None:
    (tmp_path / "m.dl").write_text(CROOKED)
    (tmp_path / "n.dl").write_text(STRAIGHT)
    result = dlc("fmt", "--check", "m.dl", "n.dl")
    assert (result.exit_code, result.stdout) == (1, "m.dl: would change\n")
    assert (tmp_path / "m.dl").read_text() == CROOKED
    assert dlc("fmt", "--check", "n.dl").exit_code == 0


def test_line_ends_of_windows_go(dlc, tmp_path: Path) -> None:
    (tmp_path / "m.dl").write_bytes(STRAIGHT.replace("\n", "\r\n").encode())
    assert dlc("fmt", "m.dl").exit_code == 0
    assert (tmp_path / "m.dl").read_bytes() == STRAIGHT.encode()


def test_a_file_with_syntax_errors_is_reported_and_left_alone(dlc, tmp_path: Path) -> None:
    wrong = "let  width=\n"
    (tmp_path / "wrong.dl").write_text(wrong)
    (tmp_path / "m.dl").write_text(CROOKED)
    result = dlc("fmt", "wrong.dl", "missing.dl", "m.dl")
    assert result.exit_code == 1
    assert "error[DL1" in result.stderr
    assert "error[DL8001]" in result.stderr
    assert (tmp_path / "wrong.dl").read_text() == wrong
    assert (tmp_path / "m.dl").read_text() == STRAIGHT


def test_a_file_is_kept_if_its_layout_would_say_something_else(
    dlc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fmt, "format_file", lambda tree: "let width = 17\n")
    (tmp_path / "m.dl").write_text(CROOKED)
    with pytest.raises(AssertionError, match="does not say the same"):
        dlc("fmt", "m.dl")
    assert (tmp_path / "m.dl").read_text() == CROOKED
