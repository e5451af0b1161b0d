"""What each of several processes knows by its share of a batch: of whole steps, and held against the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlc.compiler.flow.sharding import Joined, Part, Sharding
from dlc.compiler.op import Op
from dlc.compiler.program import Minimize
from dlc.runtime.spec import read_checked

SPEC = """
model Net(x: float[N, 3]) -> (y: float[N, 2]):
    return x -> linear(8) -> {norm} -> linear(2)

data Points:
    source = generate(100)
    x: float[3] = normal(3)
    y: float[2] = normal(2)
    k: int[] < 4 = randint(below=4)

train Fit on Points:
    net = Net()
    settings:
        epochs = 1
        batch = 10
    step:
        {step}
"""

MEANS = {
    "mean": "minimize mse(net(x), y)",
    "mean of a mean": "minimize mean(mean((net(x) - y) ** 2, axis=1))",
    "weighed": "minimize 2 * mse(net(x), y) - mean(net(x)) / 3 + 0.1 * l2(net)",
    "classes": "minimize cross_entropy(net(x), k % 2)",
    "divided": "minimize sum((net(x) - y) ** 2) / N",
    "divided by a multiple": "minimize sum((net(x) - y) ** 2) / (2 * N)",
    "each": 'minimize mean(mse(net(x), y, reduction="none") -> sum(axis=1))',
    "outer product": "minimize sum((x.T @ net(x)) / N)",
    "merged": "minimize mean(net(concat(x, x, axis=1) -> reshape(2 * N, 3)) ** 2)",
    "noise": "minimize mse(net(x + normal_like(x)), y * uniform(N, 1))",
    "permuted axes": "minimize mean(net(x).T ** 2)",
    "a loop": "h = x\n        loop 3:\n            h = h + 0.1 * tanh(h)\n        minimize mse(net(h), y)",
    "gradient of a sum": "g = grad(sum(net(x) ** 2), x)\n        minimize mse(net(x + 0.1 * g), y)",
}
SUMS = {
    "sum": "minimize sum((net(x) - y) ** 2)",
    "reduction": 'minimize mse(net(x), y, reduction="sum")',
    "product": "minimize sum(x.T @ net(x))",
}
JOINED = {
    "root": "minimize sqrt(mse(net(x), y))",
    "ratio": "minimize sum(net(x) ** 2) / sum(y ** 2)",
    "product of means": "minimize mean(net(x)) * mean(y)",
    "sum and penalty": "minimize sum(net(x) ** 2) + l2(net)",
    "centred": "h = net(x)\n        minimize mean((h - mean(h, axis=0)) ** 2)",
    "contrast": "h = net(x)\n        minimize info_nce(h, y)",
    "pairs": "h = net(x)\n        minimize mean(h @ h.T)",
    "softmax over the batch": "minimize mean(softmax(net(x), axis=0) ** 2)",
    "ignored": "minimize cross_entropy(net(x), k % 2, ignore=0)",
    "class weights": "minimize cross_entropy(net(x), k % 2, uniform(2))",
    "counted": "minimize mse(net(x), y) * N",
    "numbered": 'minimize mse(net(x), y * cast(arange(N), "float")[:, none])',
    "largest": "minimize max(net(x))",
    "rolled": "minimize mse(net(x), roll(y, 1, axis=0))",
    "permuted": "minimize mse(net(x), y[permutation(N)])",
    "gradient of a mean": "g = grad(mse(net(x), y), x)\n        minimize mse(net(x + 0.1 * g), y)",
    "variance": "minimize var(net(x))",
    "masked mean": 'w = cast(y > 0, "float")\n        minimize sum(w * net(x)) / sum(w)',
}


def state_of(step: str, folder: Path, norm: str = "relu") -> object:
    (folder / "spec.dl").write_text(SPEC.format(step=step, norm=norm))
    graph = read_checked(folder / "spec.dl").trains["Fit"].step
    (loss,) = [effect.value for _, effect in graph.effects if isinstance(effect, Minimize)]
    return Sharding(graph.graph).of(loss)


@pytest.mark.parametrize("name", MEANS)
def test_means(name: str, tmp_path: Path) -> None:
    assert state_of(MEANS[name], tmp_path) is Part.MEAN


@pytest.mark.parametrize("name", SUMS)
def test_sums(name: str, tmp_path: Path) -> None:
    assert state_of(SUMS[name], tmp_path) is Part.SUM


@pytest.mark.parametrize("name", JOINED)
def test_what_examples_meet_in(name: str, tmp_path: Path) -> None:
    assert isinstance(state_of(JOINED[name], tmp_path), Joined)


def test_batch_norm_is_let_through(tmp_path: Path) -> None:
    assert state_of(MEANS["mean"], tmp_path, norm="batch_norm -> dropout(0.1) -> tanh") is Part.MEAN


def test_the_operation_is_named(tmp_path: Path) -> None:
    found = state_of(JOINED["softmax over the batch"], tmp_path)
    assert isinstance(found, Joined)
    assert isinstance(found.node.action, Op)
    assert found.node.action.name == "softmax"
