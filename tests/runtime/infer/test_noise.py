"""Procedures that draw: exported, they give PyTorch's samples for the same noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from dlc.compiler.onnx.emit import build_model, save_model
from dlc.compiler.passes import EXPORT, run
from dlc.compiler.passes.noise import noise_as_inputs
from dlc.compiler.procedures import as_model
from dlc.compiler.program import Model, TrainSpec
from dlc.compiler.torch.emit import emit_procedure
from dlc.compiler.weights import draw_weights
from dlc.grammar.diagnostics import Refusal
from dlc.runtime.infer.session import Session
from dlc.runtime.infer.verify import verify
from dlc.runtime.spec import read_spec

Array = np.ndarray[Any, Any]
Read = Callable[..., Model]
EXAMPLES = Path(__file__).parents[2] / "examples"


def training(path: Path, **given: str) -> TrainSpec:
    program, sink = read_spec(path, given)
    assert program is not None, [diagnostic.message for diagnostic in sink]
    (only,) = (train for train in program.trains.values() if train.name != "Digits8")
    return only


def exported(model: Model, weights: Mapping[str, Array], path: Path) -> Path:
    save_model(build_model(model.graph, weights), path)
    return path


def in_pytorch(train: TrainSpec, name: str, weights: Mapping[str, Array], noise: Mapping[str, Array]) -> Array:
    """The procedure's function, as it is written for training, whose normal draws are taken from the noise in turn."""
    names: dict[str, Any] = {"__name__": "procedure"}
    exec(compile(emit_procedure(train, name), "procedure.py", "exec"), names)
    instances: dict[str, torch.nn.Module] = names["build"]()
    for instance, module in instances.items():
        state = {
            path.partition(".")[2]: torch.from_numpy(array)
            for path, array in weights.items()
            if path.startswith(f"{instance}.")
        }
        missing, stray = module.eval().load_state_dict(state, strict=False)
        assert not stray
        assert all(path.endswith("num_batches_tracked") for path in missing) or not state
    first, *turns = noise.values()
    draws: Iterator[Array] = iter([first, *(each for turn in turns for each in turn)])

    def randn(*sizes: int, **_: Any) -> torch.Tensor:
        drawn = torch.from_numpy(next(draws))
        assert tuple(drawn.shape) == sizes
        return drawn

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch, "randn", randn)
        patch.setattr(torch, "randn_like", lambda x: randn(*x.shape))
        result = names[name](*instances.values())
    assert next(draws, None) is None  # all of it is used
    return result.numpy()


@pytest.mark.parametrize(
    ("example", "turns", "shape"),
    [("ddpm", 200, (4, 1, 8, 8)), ("vae", None, (4, 1, 8, 8)), ("gan", None, (4, 1, 8, 8))],
)
def test_samples_are_those_of_pytorch_for_the_same_noise(
    example: str, turns: int | None, shape: tuple[int, ...], tmp_path: Path
) -> None:
    narrow = {"width": "8"} if example == "ddpm" else {}
    train = training(EXAMPLES / f"{example}.dl", **{"sample.n": "4"}, **narrow)
    model = as_model(train.procedures["sample"])
    graph = noise_as_inputs(run(EXPORT, model.graph))
    weights = draw_weights(model.graph.weights(), 3)
    path = exported(Model("sample", graph), weights, tmp_path / "sample.onnx")
    random = np.random.default_rng(0)
    noise = {
        name: random.standard_normal([int(size) for size in value.type.shape], np.float32)
        for name, value in graph.inputs.items()
    }
    assert [array.shape[0] for array in noise.values()] == [4, *([turns] if turns else [])]
    expected = in_pytorch(train, "sample", weights, noise)
    (found,) = onnxruntime.InferenceSession(path).run(None, noise)
    assert found.shape == expected.shape == shape
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("example", ["vae", "gan"])
def test_what_draws_its_noise_itself_is_verified_draw_for_draw(example: str, tmp_path: Path) -> None:
    model = as_model(training(EXAMPLES / f"{example}.dl").procedures["sample"])
    weights = draw_weights(model.graph.weights(), 0)
    report = verify(model, weights, exported(model, weights, tmp_path / "sample.onnx"))
    assert report.random
    assert report.worst.relative < 1e-5


SAMPLERS = """
data Any:
    source = generate(8)
    x: float[6] = normal(6)
    split = (train=0.5, valid=0.5)

model RBM(v: float[N, 6], hidden = 5) -> (h: float[N, hidden]):
    weight W: float[6, hidden] ~ normal(0, 1)
    weight b: float[6] = 0
    return sigmoid(v @ W) -> dropout(0.5)

block Gibbs(v: float[N, m], net: layer) -> float[N, m]:
    h = bernoulli(net(v))
    return bernoulli(sigmoid(h @ net.W.T + net.b))

model Characters(tokens: int[N, T] < 9) -> (logits: float[N, T, 9]):
    h = tokens -> embedding(9, 8)
    return cumsum(h, axis=1) -> dropout(0.1) -> linear(9)

train Samplers on Any:
    net = RBM()
    chars = Characters()
    settings:
        batch = 4
        epochs = 1
    step:
        minimize mean(net(x)) + mean(chars(randint(N, 5, below=9)))
    chain(v: float[N, 6], turns = 20):
        loop turns collecting v as vs:
            v = Gibbs(v, net)
        return v, vs
    write(start: int[N] < 9, length = 12):
        token = start
        h = one_hot(start, 9)
        text = zeros(N, 1)
        loop length collecting token as tokens:
            logits = chars(unsqueeze(token, 1))
            token = categorical(softmax(2 * logits[:, -1]))
        return tokens
    shuffle(x: float[N, 3, 8, 8], images: float[K, 3, 8, 8]):
        order = permutation(N)
        x = x[order] -> random_crop(6, pad=1) -> random_flip
        return random_erase(x, p=0.7), randint(N, below=N), uniform_like(images, low=-2, high=3), normal(2, K, std=2)
"""


@pytest.mark.parametrize("name", ["chain", "write", "shuffle"])
def test_draws_of_all_kinds_are_verified_draw_for_draw(name: str, tmp_path: Path) -> None:
    (tmp_path / "samplers.dl").write_text(SAMPLERS)
    model = as_model(training(tmp_path / "samplers.dl").procedures[name])
    weights = draw_weights(model.graph.weights(), 0)
    report = verify(model, weights, exported(model, weights, tmp_path / "model.onnx"))
    assert report.random
    assert len({row.sizes for row in report.rows}) >= 4
    assert report.worst.relative < 1e-5


NOISY = """
model M(x: float[N, T]) -> (y: float[N, T], k: int[N]):
    y = x
    loop 3:
        y = y + normal_like(y)
    return y, categorical(ones(4), N)
"""


@pytest.fixture
def noisy(model: Read, tmp_path: Path) -> Path:
    spec = model(NOISY)
    return exported(Model("M", noise_as_inputs(run(EXPORT, spec.graph))), {}, tmp_path / "noisy.onnx")


def test_a_session_takes_noise_by_name(noisy: Path) -> None:
    with Session(noisy) as session:
        assert {port.name: (str(port), port.noise) for port in session.inputs} == {
            "x": ("float[N, T]", None),
            "normal_like_noise": ("float[3, N, T]", "normal"),
            "k_noise": ("float[N]", "uniform"),
        }
        x, noise = np.ones((2, 5), np.float32), np.random.default_rng(0).standard_normal((3, 2, 5), np.float32)
        found = session.run(x=x, normal_like_noise=noise, k_noise=[0.2, 0.9])
    np.testing.assert_allclose(found["y"], x + noise.sum(axis=0), rtol=1e-5)
    assert found["k"].tolist() == [0, 3]


def test_noise_that_is_not_given_is_drawn(noisy: Path) -> None:
    x = np.zeros((300, 50), np.float32)
    with Session(noisy, seed=1) as first, Session(noisy, seed=1) as same, Session(noisy) as other:
        drawn = first.run(x=x, k_noise=np.zeros(300, np.float32))
        assert drawn["y"].std() == pytest.approx(3**0.5, rel=0.05)
        assert not drawn["k"].any()
        assert not np.array_equal(first.run(x=x)["y"], drawn["y"])
        assert np.array_equal(same.run(x=x)["y"], drawn["y"])
        assert not np.array_equal(other.run(x=x)["y"], drawn["y"])
        np.testing.assert_allclose(np.bincount(other.run(x=x)["k"]) / 300, 0.25, atol=0.1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"normal_like_noise": np.zeros((2, 2, 5), np.float32)},
            "`normal_like_noise` has 2 along axis 0, and 3 is due",
        ),
        ({"normal_like_noise": np.zeros((3, 2, 4), np.float32)}, "`normal_like_noise` has 4 along axis 2"),
        ({"k_noise": np.zeros((2,))}, "`k_noise` is float64, which does not go into float32"),
        ({"k_noise": [0.0, 1.0]}, "`k_noise` holds 1.0, and uniform noise lies from 0 to below 1"),
        ({"k_noise": [-0.1, 0.0]}, "uniform noise lies from 0"),
        ({"k_noise": [np.nan, 0.0]}, "uniform noise lies from 0"),
        ({"normal_like_noise": np.full((3, 2, 5), np.inf, np.float32)}, "normal noise is finite"),
        ({"k_nosie": [0.0, 0.0]}, "has no input `k_nosie`"),
    ],
)
def test_noise_that_does_not_fit_is_told(noisy: Path, given: dict[str, Any], told: str) -> None:
    with Session(noisy, trusted=True) as session, pytest.raises(Refusal) as caught:
        session.run(x=np.ones((2, 5), np.float32), **given)
    assert any(told in found.message for found in caught.value.diagnostics)


def test_noise_whose_shape_nothing_tells_must_be_given(model: Read, tmp_path: Path) -> None:
    spec = model("model M(x: float[N], K: int) -> (y: float[N]):\n    return x + sum(normal(K))\n")
    path = exported(Model("M", noise_as_inputs(run(EXPORT, spec.graph))), {}, tmp_path / "open.onnx")
    with Session(path, trusted=True) as session:
        assert session.run(x=[1.0], normal_noise=[2.0, 3.0])["y"] == 6
        with pytest.raises(Refusal, match="`normal_noise` is missing"):
            session.run(x=[1.0])
