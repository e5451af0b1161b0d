from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import save_file

from dlc.runtime.emitted import load_module
from dlc.runtime.infer.session import Session

OPEN = "model M(x: float[N, d]) -> float[N, 4]:\n    return x -> linear(4)\n"


def test_the_syntax_tree(dlc, narrow) -> None:
    result = dlc("compile", narrow, "--to", "ast")
    assert result.exit_code == 0
    assert result.stdout.startswith("File\n  Let\n    name: width\n    value: 16\n")


def test_the_tree_of_a_spec_with_mistakes_is_refused(dlc, tmp_path: Path) -> None:
    (tmp_path / "wrong.dl").write_text("let = 3\n")
    result = dlc("compile", "wrong.dl", "--to", "ast")
    assert result.exit_code == 1
    assert "error[DL1" in result.stderr


def test_the_graphs(dlc, narrow) -> None:
    whole = dlc("compile", narrow, "--to", "graph").stdout
    assert [line for line in whole.splitlines() if line.startswith("graph ")] == [
        "graph Half(x: float[N, 16]) -> (output: float[N, 4])",
        "graph Half'2(x: float[N, 4]) -> (output: float[N, 2])",
        "graph Narrow(x: float[N, 8]) -> (y: float[N, 2])",
    ]
    assert dlc("compile", f"{narrow}:Narrow", "--to", "graph").stdout == whole


def test_pytorch_source_is_a_file_of_its_own(dlc, narrow, tmp_path: Path) -> None:
    assert dlc("compile", narrow, "--to", "torch", "-o", "net.py").stdout == ""
    source = (tmp_path / "net.py").read_text()
    assert source == dlc("compile", narrow, "--to", "torch").stdout
    made = load_module("net", source).Narrow()
    assert made(torch.zeros(3, 8)).shape == (3, 2)
    assert "import dlc" not in source
    assert "from dlc" not in source


def test_onnx_with_given_weights_computes_what_pytorch_does(dlc, narrow, tmp_path: Path) -> None:
    dlc("compile", narrow, "--to", "torch", "-o", "net.py")
    made = load_module("net", (tmp_path / "net.py").read_text()).Narrow()
    save_file({name: value.numpy() for name, value in made.state_dict().items()}, tmp_path / "w.safetensors")
    assert dlc("compile", narrow, "--to", "onnx", "--weights", "w.safetensors", "-o", "m.onnx").exit_code == 0
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(3, 8)
    expected = made(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(Session(tmp_path / "m.onnx").run(x=x)["y"], expected, atol=1e-6)


def test_fresh_weights_follow_the_seed(dlc, narrow, tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        dlc("compile", narrow, "--to", "onnx", "--seed", seed, "-o", f"{name}.onnx")
    a, b, c = ((tmp_path / f"{name}.onnx").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_onnx_as_text(dlc, narrow, tmp_path: Path) -> None:
    text = dlc("compile", narrow, "--to", "onnx-text").stdout
    dlc("compile", narrow, "--to", "onnx", "-o", "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    assert f"ir_version {model.ir_version}\nopset ai.onnx {model.opset_import[0].version}\n" in text
    assert "graph Narrow\n  input x: float[N, 8]\n" in text
    assert "  initializer linear.weight: float[16, 8]\n" in text
    assert text.endswith("  output y: float[N, 2]\n")
    assert text.count(" = ") >= len(model.graph.node)


def test_an_onnx_model_needs_a_file(dlc, narrow) -> None:
    result = dlc("compile", narrow, "--to", "onnx")
    assert result.exit_code == 2
    assert "name its file with -o" in result.stderr


def test_weights_go_with_onnx_alone(dlc, narrow) -> None:
    assert dlc("compile", narrow, "--to", "torch", "--weights", "w.safetensors").exit_code == 2


@pytest.mark.parametrize("stage", ["torch", "onnx-text"])
def test_a_weight_of_open_size_is_told(dlc, tmp_path: Path, stage: str) -> None:
    (tmp_path / "open.dl").write_text(OPEN)
    result = dlc("compile", "open.dl", "--to", stage)
    assert result.exit_code == 1
    assert "error[DL4007]: the weight `linear.weight` of `M` depends on `d`, which has no number yet" in result.stderr
    assert "--set d=10" in result.stderr
    assert dlc("compile", "open.dl", "--to", stage, "--set", "d=10").exit_code == 0


def test_weights_of_another_model_are_refused(dlc, narrow, tmp_path: Path) -> None:
    save_file({"linear.weight": np.zeros((16, 8), np.float32)}, tmp_path / "few.safetensors")
    save_file({"other": np.zeros(3, np.float32)}, tmp_path / "other.safetensors")
    (tmp_path / "none.safetensors").write_bytes(b"nothing")
    few = dlc("compile", narrow, "--to", "onnx", "--weights", "few.safetensors", "-o", "m.onnx")
    assert (few.exit_code, "hold no `linear.bias`" in few.stderr) == (1, True)
    other = dlc("compile", narrow, "--to", "onnx", "--weights", "other.safetensors", "-o", "m.onnx")
    assert (other.exit_code, "`other`, which is no weight of `Narrow`" in other.stderr) == (1, True)
    none = dlc("compile", narrow, "--to", "onnx", "--weights", "none.safetensors", "-o", "m.onnx")
    assert (none.exit_code, "is no file of weights" in none.stderr) == (1, True)
    missing = dlc("compile", narrow, "--to", "onnx", "--weights", "missing.safetensors", "-o", "m.onnx")
    assert (missing.exit_code, "missing.safetensors cannot be read" in missing.stderr) == (1, True)
    assert not (tmp_path / "m.onnx").exists()


def test_a_place_that_cannot_be_written(dlc, narrow) -> None:
    result = dlc("compile", narrow, "--to", "torch", "-o", "no/such/folder/net.py")
    assert result.exit_code == 1
    assert "error[DL8013]: no/such/folder/net.py cannot be written" in result.stderr
