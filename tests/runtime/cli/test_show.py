import json
from pathlib import Path

TWO = """\
model A(x: float[N, 4]) -> float[N, 4]:
    return relu(x)

model B(x: float[N, 4]) -> float[N, 2]:
    return x -> linear(2)
"""


def test_the_table(dlc, narrow) -> None:
    result = dlc("show", narrow)
    assert result.exit_code == 0
    assert result.stdout == (
        "Narrow(x: float[N, 8]) -> y: float[N, 2]\n"
        "\n"
        "layer   operation  output        weights  biases  multiply-adds  activations\n"
        "----------------------------------------------------------------------------\n"
        "linear  linear     float[N, 16]      128      16          128*N         64*N\n"
        "Half    Half       float[N, 4]        64       4           64*N         16*N\n"
        "Half_2  Half       float[N, 2]         8       2            8*N          8*N\n"
        "----------------------------------------------------------------------------\n"
        "total                                200      22          200*N         88*N\n"
        "222 learned numbers\n"
        "bytes of activations: 88*N kept in training, at most 80*N at once in inference\n"
        "3 operations with multiply-adds one after another\n"
    )


def test_a_number_for_a_dimension(dlc, narrow) -> None:
    lines = dlc("show", narrow, "--set", "N=100").stdout.splitlines()
    assert lines[4].split() == ["linear", "linear", "float[100,", "16]", "128", "16", "12,800", "6,400"]


def test_depth_opens_blocks(dlc, narrow) -> None:
    paths = [line.split()[0] for line in dlc("show", narrow, "--depth", "2").stdout.splitlines()[4:9]]
    assert paths == ["linear", "Half.linear", "Half.relu", "Half_2.linear", "Half_2.relu"]


def test_json(dlc, narrow) -> None:
    document = json.loads(dlc("show", narrow, "--json").stdout)
    (model,) = document["models"]
    assert model["name"] == "Narrow"
    assert model["inputs"] == [{"name": "x", "dtype": "float", "shape": ["N", 8]}]
    assert model["outputs"] == [{"name": "y", "dtype": "float", "shape": ["N", 2]}]
    assert model["weights"][0] == {"path": "linear.weight", "shape": [16, 8], "trainable": True}
    assert [weight["path"] for weight in model["weights"]] == [
        "linear.weight", "linear.bias",
        "Half.linear.weight", "Half.linear.bias",
        "Half_2.linear.weight", "Half_2.linear.bias",
    ]  # fmt: skip
    assert model["parameters"] == 222
    assert (model["macs"], model["sequential_depth"]) == ("200*N", 3)
    assert model["activations"] == {"training": "88*N", "inference": ["80*N"]}
    assert model["layers"][1] == {
        "path": "Half", "op": "Half", "output": ["N", 4], "weights": 64, "biases": 4, "macs": "64*N",
        "activations": "16*N", "receptive_field": None,
    }  # fmt: skip


def test_one_of_several_models(dlc, tmp_path: Path) -> None:
    (tmp_path / "two.dl").write_text(TWO)
    assert [model["name"] for model in json.loads(dlc("show", "two.dl", "--json").stdout)["models"]] == ["A", "B"]
    assert [model["name"] for model in json.loads(dlc("show", "two.dl:B", "--json").stdout)["models"]] == ["B"]


def test_a_model_that_is_not_there(dlc, narrow) -> None:
    result = dlc("show", f"{narrow}:Narow")
    assert result.exit_code == 2
    assert "narrow.dl declares no model `Narow`; did you mean `Narrow`?" in result.stderr


def test_a_colon_within_a_path_is_no_selection(dlc, tmp_path: Path) -> None:
    (tmp_path / "a:b.dl").write_text(TWO)
    (tmp_path / "a:b").write_text(TWO)
    assert dlc("show", "a:b.dl").exit_code == 0
    assert dlc("show", "a:b.dl:A").exit_code == 0
    assert dlc("show", "a:b").exit_code == 0


def test_a_spec_without_models(dlc, tmp_path: Path) -> None:
    (tmp_path / "none.dl").write_text("let width = 1\n")
    result = dlc("show", "none.dl")
    assert result.exit_code == 2
    assert "none.dl declares no model" in result.stderr


def test_a_wrong_spec_shows_its_errors(dlc, tmp_path: Path) -> None:
    (tmp_path / "wrong.dl").write_text("model A(x: float[N, 4]) -> float[N, 4]:\n    return rellu(x)\n")
    result = dlc("show", "wrong.dl")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "error[DL2001]" in result.stderr
