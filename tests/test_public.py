"""The public face: what `import dlc` offers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import dlc

SPEC = """\
let width = 4

model Narrow(x: float[N, 8], slope = 0.5) -> (y: float[N, 2]):
    return x -> linear(width) -> leaky_relu(slope) -> linear(2)
"""

TRAINING = """
data Iris:
    source = sklearn("iris")
    x: float[4] = data
    kind: int[] < 3 = target
    split = (train=0.8, valid=0.2)

model Flower(x: float[N, 4]) -> (logits: float[N, 3]):
    return x -> linear(3)

train Fit on Iris:
    net = Flower()
    settings:
        epochs = 50
        optimizer = adamw(lr=0.1)
    step:
        minimize cross_entropy(net(x), kind)
"""


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    path = tmp_path / "narrow.dl"
    path.write_text(SPEC)
    return path


def test_every_name_is_there() -> None:
    for name in dlc.__all__:
        assert getattr(dlc, name).__name__ == name
        assert name in dir(dlc)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dlc.nothing


def test_importing_dlc_imports_next_to_nothing() -> None:
    code = "import sys, dlc; print(sorted(name for name in sys.modules if name.startswith('dlc')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['dlc']\n"


def test_a_model_in_both_targets(narrow: Path, tmp_path: Path) -> None:
    spec = dlc.load(narrow)
    assert spec.models == ("Narrow",)
    net = spec.torch("Narrow").eval()
    weights = {name: value.detach().numpy() for name, value in net.state_dict().items()}
    (tmp_path / "narrow.onnx").write_bytes(spec.onnx(weights=weights).SerializeToString())
    x = np.linspace(-2, 2, 24, dtype=np.float32).reshape(3, 8)
    expected = net(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(dlc.Session(tmp_path / "narrow.onnx").run(x=x)["y"], expected, atol=1e-6)


def test_values_are_overridden(narrow: Path) -> None:
    spec = dlc.load(narrow, width=16, slope=0.25)
    assert spec.torch().linear.weight.shape == (16, 8)
    assert "0.25" in spec.torch_source()
    assert "float[N, 16]" in str(spec)


def test_a_wrong_spec_raises_all_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "wrong.dl").write_text(SPEC.replace("width)", "widht)").replace("linear(2)", "lineal(2)"))
    with pytest.raises(dlc.Refusal) as caught:
        dlc.load(tmp_path / "wrong.dl")
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["DL2001"] * len(caught.value.diagnostics)


def test_a_model_that_is_not_there(narrow: Path) -> None:
    with pytest.raises(KeyError, match="did you mean Narrow"):
        dlc.load(narrow).torch("Narow")


def test_training(tmp_path: Path) -> None:
    (tmp_path / "flower.dl").write_text(TRAINING)
    result = dlc.train(tmp_path / "flower.dl", output=tmp_path / "run", settings={"epochs": 3, "batch": 40})
    assert (result.finished, result.epochs, result.steps) == (True, 3, 9)
    assert (tmp_path / "run" / "model.safetensors").is_file()
    with pytest.raises(KeyError, match="did you mean Fit"):
        dlc.train(tmp_path / "flower.dl", "Fitt", output=tmp_path / "other")


def test_python_dash_m(narrow: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dlc", "check", narrow.name], cwd=narrow.parent, capture_output=True, check=True
    )
    assert done.stdout == b"narrow.dl: ok\n"
