"""Procedures of runs: called, exported; what a training changes, shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from dlc.runtime.spec import read_spec
from dlc.runtime.train.run import Run
from dlc.runtime.train.trainer import train

SPEC = """\
model Painter(z: float[N, 4], side = 3) -> (image: float[N, 1, side, side]):
    return z -> linear(side * side) -> sigmoid -> reshape(N, 1, side, side)

data Noise:
    source = generate(20)
    z: float[4] = normal(4)
    split = (train=0.5, valid=0.5)

train Paint on Noise:
    paint = Painter()
    critic = Painter()
    settings:
        batch = 5
        epochs = 1
    step:
        report level = mean(critic(z))
        minimize mean(paint(z) ** 2) over paint
        critic := 0.5 * critic + 0.5 * paint
    sample(n = 5, scale = 1.0):
        return paint(scale * normal(n, 4))
    settle(z: float[N, 4], turns = 3):
        loop turns:
            z = 0.5 * z + mean(paint(z), axes=[1, 2, 3])[:, none]
        return z, paint(z)
    attack(z: float[N, 4]):
        return z + grad(sum(critic(z)), z)
"""

Dlc = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in that folder, trained for a few steps."""
    (tmp_path / "paint.dl").write_text(SPEC)
    program, sink = read_spec(tmp_path / "paint.dl")
    assert program is not None, [found.message for found in sink]
    spec = program.trains["Paint"]
    made = Run.create(tmp_path / "run", program, spec)
    train(spec, program, made, quiet=True)
    return made


def settled(run: Run, z: np.ndarray, turns: int) -> tuple[np.ndarray, np.ndarray]:
    from dlc.runtime.train.run import weights_of_run

    weights = weights_of_run(run, "paint")

    def paint(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(z @ weights["linear.weight"].T + weights["linear.bias"])))

    for _ in range(turns):
        z = 0.5 * z + paint(z).mean(axis=1, keepdims=True)
    return z, paint(z).reshape(-1, 1, 3, 3)


def test_procedures_are_listed(dlc: Dlc, run: Run) -> None:
    assert dlc("call", "run").stdout == "sample(n, scale)\nsettle(z, turns)\nattack(z)\n"


def test_a_procedure_draws_as_its_seed_says(dlc: Dlc, run: Run) -> None:
    def sample(*options: str) -> np.ndarray:
        assert dlc("call", "run", "sample", *options, "-o", "out.npy").exit_code == 0
        return np.load("out.npy")

    first = sample("--n", "2")
    assert first.shape == (2, 1, 3, 3)
    assert np.array_equal(sample("--n=2"), first)
    assert not np.array_equal(sample("--n", "2", "--seed", "1"), first)
    assert np.ptp(sample("--n", "7", "--scale", "0.0"), axis=0).max() < 1e-6


def test_a_procedure_takes_tensors_and_loops(dlc: Dlc, run: Run) -> None:
    z = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.save("z.npy", z)
    assert dlc("call", "run", "settle", "--z", "z.npy", "--turns", "4", "-o", "out.npz").exit_code == 0
    found = np.load("out.npz")
    for name, expected in zip(found.files, settled(run, z, 4), strict=True):
        np.testing.assert_allclose(found[name], expected, rtol=1e-5)
    document = json.loads(dlc("call", "run", "settle", "--z", "[[0, 0, 0, 0]]", "--json").stdout)
    np.testing.assert_allclose(
        next(iter(document.values())), settled(run, np.zeros((1, 4), np.float32), 3)[0], rtol=1e-5
    )


def test_a_procedure_takes_gradients(dlc: Dlc, run: Run) -> None:
    result = dlc("call", "run", "attack", "--z", "[[1, 2, 3, 4]]", "--json")
    assert result.exit_code == 0, result.stderr
    assert np.abs(np.array(json.loads(result.stdout)["output"]) - [[1, 2, 3, 4]]).min() > 0


def test_images_become_a_picture(dlc: Dlc, run: Run) -> None:
    assert dlc("call", "run", "sample", "--n", "5", "-o", "out.png").exit_code == 0
    assert dlc("call", "run", "sample", "--n", "5", "-o", "out.npy").exit_code == 0
    image = np.asarray(Image.open("out.png"))
    scale = 22  # the least whole number that makes 3 pixels 64
    assert image.shape == (2 * 3 * scale + 2, 3 * 3 * scale + 2 * 2)
    first = image[: 3 * scale : scale, : 3 * scale : scale]
    np.testing.assert_array_equal(first, np.round(np.load("out.npy")[0, 0] * 255))
    assert "a picture is of one result" in dlc("call", "run", "attack", "--z", "[[1, 2, 3, 4]]", "-o", "out.png").stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("smaple",), "did you mean sample?"),
        (("sample", "--m", "4"), "the procedure sample has no parameter m"),
        (("sample", "--n", "four"), "a value on the command line is"),
        (("sample", "--n"), "its value is missing"),
        (("sample", "4"), "a parameter is given as --name value"),
        (("sample", "-o", "out.jpg"), "results are written to .npz, .npy or .png"),
        (("settle",), "the input `z` is missing"),
        (("settle", "--z", "[[1, 2]]"), "`z` has 2 along axis 1"),
    ],
)
def test_what_does_not_fit_is_told(dlc: Dlc, run: Run, arguments: tuple[str, ...], told: str) -> None:
    result = dlc("call", "run", *arguments)
    assert result.exit_code != 0
    assert told in result.stderr


def test_a_procedure_is_exported_with_its_loop(dlc: Dlc, run: Run) -> None:
    result = dlc("export", "run:settle", "--set", "turns=5", "-o", "settle.onnx")
    assert result.exit_code == 0, result.stderr
    assert "gives what PyTorch gives, at 5 sizes, from N=1 to N=128" in result.stdout
    z = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    np.save("z.npy", z)
    assert dlc("run", "settle.onnx", "--in", "z=z.npy", "-o", "out.npz").exit_code == 0
    found = np.load("out.npz")
    for name, expected in zip(found.files, settled(run, z, 5), strict=True):
        np.testing.assert_allclose(found[name], expected, rtol=1e-5)


def test_a_procedure_that_draws_is_exported(dlc: Dlc, run: Run) -> None:
    result = dlc("export", "run", "--procedure", "sample", "--set", "n=3", "-o", "sample.onnx")
    assert result.exit_code == 0, result.stderr
    assert "gives what PyTorch gives for the same noise, at fixed sizes" in result.stdout
    assert dlc("run", "sample.onnx", "-o", "out.npy").exit_code == 0
    assert np.load("out.npy").shape == (3, 1, 3, 3)


def test_draws_become_inputs(dlc: Dlc, run: Run) -> None:
    result = dlc("export", "run:sample", "--set", "n=3", "--noise", "-o", "sample.onnx")
    assert result.exit_code == 0, result.stderr
    first, second, *_ = result.stdout.splitlines()
    assert first == "sample.onnx: sample(normal_noise: float[3, 4]) -> output: float[3, 1, 3, 3]"
    assert second.startswith("gives what PyTorch gives for the same noise, at fixed sizes")
    noise = np.random.default_rng(2).standard_normal((3, 4), np.float32)
    np.save("noise.npy", noise)
    assert dlc("run", "sample.onnx", "--in", "normal_noise=noise.npy", "-o", "out.npy").exit_code == 0
    np.testing.assert_allclose(np.load("out.npy"), settled(run, noise, 0)[1], rtol=1e-5)
    assert dlc("run", "sample.onnx", "-o", "out.npy").exit_code == 0  # its noise is drawn
    assert dlc("run", "sample.onnx", "--in", "normal_noise=[[1, 2]]", "-o", "out.npy").exit_code == 1
    document = json.loads(dlc("export", "run:sample", "--noise", "-o", "sample.onnx", "--json").stdout)
    assert document["same_noise"] is True


def test_there_must_be_draws_to_make_inputs(dlc: Dlc, run: Run) -> None:
    result = dlc("export", "run:settle", "--noise", "-o", "settle.onnx")
    assert result.exit_code == 2
    assert "settle draws nothing at random" in result.stderr
    assert not Path("settle.onnx").exists()


def test_gradients_are_not_exported(dlc: Dlc, run: Run) -> None:
    result = dlc("export", "run:attack", "-o", "attack.onnx")
    assert result.exit_code == 1
    assert "DL7007" in result.stderr
    assert "return z + grad(sum(critic(z)), z)" in result.stderr
    assert not Path("attack.onnx").exists()


def test_show_tells_which_loss_updates_which_weights(dlc: Dlc, run: Run) -> None:
    lines = dlc("show", "paint.dl:Paint").stdout.splitlines()
    assert lines[0] == "Paint on Noise"
    rows = {line.split()[0]: line.split()[-1] for line in lines if line.startswith(("paint.", "critic."))}
    assert rows == dict.fromkeys(["paint.linear.weight", "paint.linear.bias"], "updates") | dict.fromkeys(
        ["critic.linear.weight", "critic.linear.bias"], "18"
    )
    assert "loss: minimize mean(paint(z) ** 2) over paint, line 17" in lines
    changes = json.loads(dlc("show", "paint.dl:Paint", "--json").stdout)["changes"]
    assert [change["name"] for change in changes] == ["loss", "assigned"]
