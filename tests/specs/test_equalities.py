"""What two forms of one thing give, and what others compute of it: each within rounding."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import dlc
from zoo.row import SPECS
from zoo.workshop import Trained, Workshop


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Trained]:
    def train(spec: str, name: str, **overrides: object) -> Trained:
        return Workshop(SPECS / f"{spec}.dl", tmp_path).train(name, **overrides)

    return train


def test_least_squares_in_closed_form_is_numpys(trained: Callable[..., Trained]) -> None:
    run = trained("linear/linear_regression", "Closed")
    fields, found = run.fields("train"), run.weights()
    columns = np.column_stack([fields["x"].double(), np.ones(len(fields["y"]))])
    due = np.linalg.lstsq(columns, fields["y"].double().numpy())[0]
    np.testing.assert_allclose(np.append(found["w"], found["b"]), due, rtol=0, atol=1e-5)


def test_ridge_in_closed_form_is_scikit_learns(trained: Callable[..., Trained]) -> None:
    from sklearn.linear_model import Ridge

    run = trained("linear/ridge", "Closed")
    x, y = (run.fields("train")[name].double().numpy() for name in "xy")
    due = Ridge(alpha=10.0, fit_intercept=False).fit(x, y).coef_
    np.testing.assert_allclose(run.weights()["w"], due, rtol=0, atol=1e-4)


def test_lasso_by_proximal_descent_is_scikit_learns(trained: Callable[..., Trained]) -> None:
    from sklearn.linear_model import Lasso

    run = trained("linear/lasso", "Lasso", strength=0.1)
    x, y = (run.fields("train")[name].double().numpy() for name in "xy")
    due = Lasso(alpha=0.1, fit_intercept=False, tol=1e-8, max_iter=10000).fit(x, y).coef_
    found = run.weights()["w"]
    np.testing.assert_allclose(found, due, rtol=0, atol=1e-3)
    assert ((found == 0) == (due == 0)).all()


def test_principal_components_are_scikit_learns(trained: Callable[..., Trained]) -> None:
    from scipy.linalg import subspace_angles
    from sklearn.decomposition import PCA

    run = trained("autoencoder/pca", "Closed")
    found = run.weights()["W"]
    due = PCA(found.shape[1], svd_solver="full").fit(run.fields("train")["x"].double().numpy())
    assert subspace_angles(found, due.components_.T).max() < 1e-3
    np.testing.assert_allclose(run.weights()["centre"], due.mean_, atol=1e-5)


def test_norms_are_pytorchs_and_their_equations_the_same() -> None:
    x = torch.randn(4, 8, 5, 6, generator=torch.Generator().manual_seed(0)) * 3 + 2
    spec = dlc.load(SPECS / "vision" / "norms.dl")
    due = (
        functional.batch_norm(x, None, None, training=True),
        functional.layer_norm(x, x.shape[1:]),
        functional.instance_norm(x),
        functional.group_norm(x, 2),
    )
    for model in ("Equations", "BuiltIn"):
        for found, theirs in zip(spec.torch(model).train()(x), due, strict=True):
            torch.testing.assert_close(found, theirs, rtol=0, atol=1e-5)


def _models(spec: str) -> str:
    """A spec without its data and trainings."""
    return (SPECS / f"{spec}.dl").read_text("utf-8").partition("\ndata ")[0] + "\n"


def test_free_energy_sums_over_all_hidden_units(tmp_path: Path) -> None:
    """Against the sum over all states of four hidden units."""
    spec = tmp_path / "rbm.dl"
    asked = "model Free(v: float[N, 6]) -> (energy: float[N]):\n    net = RBM(hidden=4)\n    h = net(v)\n"
    spec.write_text(_models("energy/rbm") + asked + "    return FreeEnergy(v, net) + 0 * sum(h, axis=1)\n")
    net = dlc.load(spec).torch("Free")
    for weight in net.parameters():
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
    w, b, c = (net.net.state_dict()[name].double() for name in ("W", "b", "c"))
    v = torch.bernoulli(torch.full((5, 6), 0.5, dtype=torch.float64))
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 4)
    due = -torch.logsumexp((v @ b)[:, None] + (v @ w + c) @ states.T, 1)
    with torch.no_grad():
        torch.testing.assert_close(net(v.float()).double(), due, rtol=0, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 4])
def test_reading_with_a_cache_is_reading_at_once(groups: int, tmp_path: Path) -> None:
    spec = tmp_path / "multi_query.dl"
    spec.write_text(_models("sequence/multi_query"))
    net = dlc.load(spec, width=16, groups=groups).torch("Decoder").eval()
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.3, generator=torch.Generator().manual_seed(2))
    tokens = torch.randint(256, (3, 9), generator=torch.Generator().manual_seed(3))
    cache = torch.zeros(2, 2, 3, 64, 4 * groups)
    with torch.no_grad():
        due, whole = net(tokens, torch.arange(9), cache)
        parts = []
        for place in (slice(0, 4), *(slice(t, t + 1) for t in range(4, 9))):
            logits, cache = net(tokens[:, place], torch.arange(9)[place], cache)
            parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), due, rtol=0, atol=1e-4)
    torch.testing.assert_close(cache, whole, rtol=0, atol=1e-5)


def test_a_graph_network_reads_graphs_of_a_batch_by_themselves() -> None:
    for how in ("sum", "mean", "max", "softmax"):
        torch.manual_seed(0)
        net = dlc.load(SPECS / "graph" / "graph_network.dl", how=how).torch("GraphNetwork").eval()
        x, edges = torch.rand(3, 12), torch.randint(12, (3, 2, 30))
        with torch.no_grad():
            together = net(x, edges)
            alone = [net(x[place : place + 1], edges[place : place + 1]) for place in range(3)]
        for name, found in zip(("node", "edge", "whole"), together, strict=True):
            place = ("node", "edge", "whole").index(name)
            torch.testing.assert_close(found, torch.cat([each[place] for each in alone]), rtol=0, atol=1e-5)
