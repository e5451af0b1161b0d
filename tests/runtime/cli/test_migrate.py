import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from .conftest import TRAINED as BEFORE

DEEPER = BEFORE.replace("-> Half(4) -> Half(2)", "-> Half(4) -> Half(2) -> linear(2)")
RENAMED = BEFORE.replace("h = x -> linear(width)", "first = linear(width)\n    h = first(x)")


@pytest.fixture
def trained(dlc, tmp_path: Path) -> dict[str, np.ndarray]:
    (tmp_path / "a.dl").write_text(BEFORE)
    assert dlc("train", "a.dl", "-o", "a", "-q").exit_code == 0
    return load_file(tmp_path / "a/model.safetensors")


def test_each_tensor_is_kept_or_named(dlc, tmp_path: Path, trained: dict[str, np.ndarray]) -> None:
    (tmp_path / "b.dl").write_text(DEEPER)
    result = dlc("migrate", "a", "b.dl", "-o", "b")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (
        "b: 6 tensors kept as they are\n"
        "2 new, as the spec starts them:\n"
        "  linear_2.weight\n"
        "  linear_2.bias\n"
        "the optimiser starts anew: dlc train b.dl -o b --resume\n"
    )
    carried = load_file(tmp_path / "b/model.safetensors")
    assert all(np.array_equal(carried[name], values) for name, values in trained.items())
    assert carried.keys() - trained.keys() == {"linear_2.weight", "linear_2.bias"}
    assert json.loads((tmp_path / "b/migration.json").read_text())["from"] == "a"


def test_the_new_run_is_measured_exported_and_trained(dlc, tmp_path: Path, trained: object) -> None:
    (tmp_path / "b.dl").write_text(DEEPER)
    assert dlc("migrate", "a", "b.dl", "-o", "b").exit_code == 0
    assert dlc("eval", "b").exit_code == 0
    assert dlc("export", "b", "-o", "b.onnx").exit_code == 0
    assert dlc("train", "b.dl", "-o", "b", "--resume", "-q").exit_code == 0
    assert json.loads(dlc("train", "b.dl", "-o", "b", "--resume", "--epochs", "2", "--json").stdout)["epochs"] == 2


def test_the_same_spec_measures_the_same(dlc, tmp_path: Path, trained: object) -> None:
    assert dlc("migrate", "a", "a.dl", "-o", "b").exit_code == 0
    assert dlc("eval", "a", "--json").stdout == dlc("eval", "b", "--json").stdout


def test_a_map_renames(dlc, tmp_path: Path, trained: dict[str, np.ndarray]) -> None:
    (tmp_path / "b.dl").write_text(RENAMED)
    (tmp_path / "b.map").write_text("linear.{kind} -> first.{kind}\n")
    document = json.loads(dlc("migrate", "a", "b.dl", "-o", "b", "--map", "b.map", "--json").stdout)
    assert document["renamed"] == [
        {"from": "linear.bias", "to": "first.bias"},
        {"from": "linear.weight", "to": "first.weight"},
    ]
    assert (document["new"], document["dropped"], len(document["kept"])) == ([], [], 4)
    carried = load_file(tmp_path / "b/model.safetensors")
    np.testing.assert_array_equal(carried["first.weight"], trained["linear.weight"])


def test_without_a_map_the_renamed_is_new_and_dropped(dlc, tmp_path: Path, trained: object) -> None:
    (tmp_path / "b.dl").write_text(RENAMED)
    document = json.loads(dlc("migrate", "a", "b.dl", "-o", "b", "--json").stdout)
    assert document["new"] == ["first.weight", "first.bias"]
    assert sorted(document["dropped"]) == ["linear.bias", "linear.weight"]


def test_a_changed_shape_is_an_error_unless_it_is_told(dlc, tmp_path: Path, trained: object) -> None:
    (tmp_path / "b.dl").write_text(BEFORE.replace("width = 16", "width = 32"))
    result = dlc("migrate", "a", "b.dl", "-o", "b")
    assert result.exit_code == 1
    assert "error[DL8022]: the shape has changed of `" in result.stderr
    assert "`linear.weight` was [16, 8], and is [32, 8]" in result.stderr
    assert not (tmp_path / "b").exists()
    (tmp_path / "b.map").write_text("initial linear.{kind}\ninitial Half.linear.weight\n")
    document = json.loads(dlc("migrate", "a", "b.dl", "-o", "b", "--map", "b.map", "--json").stdout)
    assert sorted(document["new"]) == ["Half.linear.weight", "linear.bias", "linear.weight"]
    assert sorted(document["kept"]) == ["Half.linear.bias", "Half_2.linear.bias", "Half_2.linear.weight"]


def test_nothing_in_common(dlc, tmp_path: Path, trained: object) -> None:
    (tmp_path / "b.dl").write_text(
        BEFORE.replace("    return h -> Half(4) -> Half(2)", "    return last(h)").replace(
            "h = x -> linear(width)", "first = linear(width)\n    last = linear(2)\n    h = first(x)"
        )
    )
    result = dlc("migrate", "a", "b.dl", "-o", "b")
    assert result.exit_code == 1
    assert "error[DL8022]: nothing of a/model.safetensors is called as it is in Fit" in result.stderr


def test_a_run_is_not_written_over(dlc, tmp_path: Path, trained: object) -> None:
    assert "error[DL8005]" in dlc("migrate", "a", "a.dl", "-o", "a").stderr
