"""Steps that take gradients, assign weights and compute with models as vectors, run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from dlc.compiler.program import TrainSpec
from dlc.compiler.torch.emit import emit_procedure, emit_training

from .specs import body, module, program, run

EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSIFIER = (EXAMPLES / "classifier.dl").read_text()


def example(name: str, train: str | None = None) -> TrainSpec:
    trains = program((EXAMPLES / f"{name}.dl").read_text(), f"{name}.dl", classifier=CLASSIFIER).trains
    return next(iter(trains.values())) if train is None else trains[train]


class Descent:
    """A `minimize` that takes plain gradient steps, and notes what it was asked."""

    def __init__(self, models: Sequence[nn.Module], rate: float = 0.01) -> None:
        self.losses: list[Tensor] = []
        self.asked: list[dict[str, Any]] = []
        self._models = models
        self._rate = rate

    def __call__(self, loss: Tensor, **asked: Any) -> None:
        self.losses.append(loss.detach())
        self.asked.append(asked)
        over = asked.get("over", self._models)
        weights = [w for part in over for w in ([part] if isinstance(part, Tensor) else part.parameters())]
        gradients = torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(self._rate * gradient)


def batch(train: TrainSpec, count: int = 6) -> list[Tensor]:
    made: list[Tensor] = []
    for field in train.data.fields.values():
        shape = (count, *map(int, field.type.shape))
        below = None if field.type.below is None else int(field.type.below)
        made.append(torch.rand(shape) if below is None else torch.randint(below, shape))
    return made


# --- the examples -----------------------------------------------------------------------------------------------

TRAININGS = [
    (name, train)
    for name in ("ddpm", "gan", "hopfield", "maml", "rbm", "ridge", "trades", "vae")
    for train in program((EXAMPLES / f"{name}.dl").read_text(), classifier=CLASSIFIER).trains
]


@pytest.mark.parametrize(("name", "train"), TRAININGS)
def test_examples_change_their_weights_and_stay_finite(name: str, train: str) -> None:
    spec = example(name, train)
    torch.manual_seed(0)
    names = run(emit_training(spec))
    instances = names["build"]()
    before = [weight.detach().clone() for made in instances.values() for weight in made.parameters()]
    descent = Descent(list(instances.values()))
    for _ in range(2):
        reports = names["step"](*instances.values(), descent, *batch(spec, 16))
        measured = names["finish"](reports) if "finish" in names else reports
        assert all(torch.isfinite(value) for value in (*measured.values(), *descent.losses))
    after = [weight for made in instances.values() for weight in made.parameters()]
    assert all(torch.isfinite(weight).all() for weight in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_maml_differentiates_through_the_inner_steps() -> None:
    """Against the two levels written out: layers as matrices, inner gradients with a graph."""
    spec = example("maml")
    torch.manual_seed(0)
    names = run(emit_training(spec))
    (net,) = names["build"]().values()
    net.double()
    fields = [field.double() * 4 - 2 for field in batch(spec, 1)]
    found: list[Tensor] = []

    def minimize(loss: Tensor, over: list[nn.Module]) -> None:
        assert over == [net]
        found.extend(torch.autograd.grad(loss, list(net.parameters())))

    reports = names["step"](net, minimize, *fields)

    def forward(weights: Sequence[Tensor], x: Tensor) -> Tensor:
        x = torch.relu(x @ weights[0].T + weights[1])
        x = torch.relu(x @ weights[2].T + weights[3])
        return x @ weights[4].T + weights[5]

    def loss(weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        return ((forward(weights, x) - y) ** 2).mean()

    _, _, support_x, support_y, query_x, query_y = fields
    start = [weight.detach().clone().requires_grad_() for weight in net.parameters()]
    fast: list[Tensor] = list(start)
    for _ in range(5):
        gradients = torch.autograd.grad(loss(fast, support_x, support_y), fast, create_graph=True)
        fast = [weight - 0.01 * gradient for weight, gradient in zip(fast, gradients, strict=True)]
    outer = loss(fast, query_x, query_y)
    expected = torch.autograd.grad(outer, start)
    torch.testing.assert_close(reports["after"], outer)
    assert reports["before"] != reports["after"]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-9)
    first_order = torch.autograd.grad(
        loss([w.detach().requires_grad_() for w in start], query_x, query_y), start, materialize_grads=True
    )
    assert any(not torch.allclose(a, b, rtol=1e-2) for a, b in zip(found, first_order, strict=True))


def test_ridge_in_closed_form_is_that_of_scikit_learn() -> None:
    spec = example("ridge", "ClosedForm")
    names = run(emit_training(spec))
    (net,) = names["build"]().values()
    torch.manual_seed(1)
    features, target = torch.randn(200, 10), torch.randn(200)
    names["step"](net, Descent([net]), features, target)
    expected = Ridge(alpha=1.0, fit_intercept=False).fit(features.numpy(), target.numpy()).coef_
    torch.testing.assert_close(net.w.detach(), torch.from_numpy(expected), rtol=0, atol=1e-4)


def test_the_attack_of_trades_raises_the_loss_within_its_reach() -> None:
    spec = example("trades")
    torch.manual_seed(0)
    names = run(emit_procedure(spec, "attack"))
    (net,) = names["build"]().values()
    net.eval()
    image, label = torch.rand(8, 1, 8, 8), torch.randint(10, (8,))
    attacked = names["attack"](net, image, label)
    assert not image.requires_grad
    assert (attacked - image).abs().max() <= 0.1 + 1e-6
    with torch.no_grad():
        assert nn.functional.cross_entropy(net(attacked), label) > nn.functional.cross_entropy(net(image), label)
    assert body(emit_procedure(spec, "attack"), "attack") == (
        "image = image.detach().requires_grad_()\n"
        "g = torch.autograd.grad(F.cross_entropy(f(image), label), image)[0]\n"
        "return (image + 0.1 * torch.sign(g)).clamp(0, 1)"
    )


def test_each_turn_of_an_attack_starts_anew() -> None:
    turn = body(emit_training(example("trades")), "step")
    assert "    adv = adv.detach().requires_grad_()\n" in turn
    assert "create_graph" not in turn
    assert "retain_graph" not in turn


def test_gan_updates_one_player_at_a_time() -> None:
    names = run(emit_training(example("gan")))
    instances = names["build"]()
    descent = Descent(list(instances.values()))
    names["step"](*instances.values(), descent, *batch(example("gan")))
    assert descent.asked == [{"over": [instances["D"]]}, {"over": [instances["G"]]}]


# --- steps in a few lines ---------------------------------------------------------------------------------------

SPEC = """
    block Net(features: float[N, d]) -> float[N]:
        weight W: float[d] ~ normal(0, 1)
        weight b: float[] = 0.5
        return tanh(features @ W) + b
    data Houses:
        source = csv("houses.csv")
        features: float[10] = data
        price: float[] = goal
    train Prices on Houses:
        net = Net()
        other = Net()
        settings:
            epochs = 2
        {phases}
"""


def trained(*step: str, phases: Sequence[str] = (), above: str = "") -> TrainSpec:
    """A training whose step fixes the sizes of both models first. above: declarations before it."""
    lines = ["step:", "    seen = net(features) + other(features)", *(f"    {line}" for line in step), *phases]
    return program(above + SPEC.replace("{phases}", "\n        ".join(lines))).trains["Prices"]


Stepped = tuple[dict[str, Tensor], Any, Any, Descent]


def stepped(*step: str) -> Stepped:
    """What one step reports, and the instances behind it."""
    torch.manual_seed(2)
    names = run(emit_training(trained(*step)))
    net, other = names["build"]().values()
    descent = Descent([net, other], rate=0.1)
    features, price = data()
    return names["step"](net, other, descent, features, price), net, other, descent


def data() -> tuple[Tensor, Tensor]:
    made = torch.Generator().manual_seed(3)
    return torch.randn(8, 10, generator=made), torch.randn(8, generator=made)


def fresh() -> tuple[Any, Any]:
    """The instances as they are before a step."""
    torch.manual_seed(2)
    net, other = run(emit_training(trained("minimize mse(net(features) + other(features), price)")))["build"]().values()
    return net, other


LOSS = "mse(net(features), price)"
OTHER = "minimize mse(other(features), price) over other"


def test_what_was_read_of_a_weight_keeps_its_value() -> None:
    for old in ("old = net.W", "old = net.W[none, :][0]", "old = stop(net.W)"):
        reports, net, _, _ = stepped(
            OTHER, old, f"minimize {LOSS} over net", "report moved = sum(abs(net.W - old))", "report size = sum(old)"
        )
        before, _ = fresh()
        torch.testing.assert_close(reports["moved"], (net.W - before.W).abs().sum())
        torch.testing.assert_close(reports["size"], before.W.sum())
        assert reports["moved"] > 0


def test_weights_may_be_exchanged() -> None:
    _, net, other, _ = stepped("old = net.W", "net.W := other.W", "other.W := old", "minimize sum(net.b + other.b)")
    first, second = fresh()
    assert torch.equal(net.W, second.W)
    assert torch.equal(other.W, first.W)


def test_weights_may_change_in_every_turn_of_a_loop() -> None:
    reports, net, _, _ = stepped(
        "old = net.W",
        "total = zeros()",
        "loop 3:",
        "    last = net.W",
        "    net.W := net.W + 1",
        "    total = total + sum(net.W - last)",
        "report moved = sum(net.W - old)",
        "report total = total",
        OTHER,
    )
    before, _ = fresh()
    torch.testing.assert_close(net.W.detach(), before.W + 3)
    torch.testing.assert_close(reports["moved"].detach(), torch.tensor(30.0))
    torch.testing.assert_close(reports["total"].detach(), torch.tensor(30.0))


def test_a_report_above_an_assignment_is_measured_before_it() -> None:
    reports, *_ = stepped(
        OTHER, "report before = sum(net.W)", "net.W := 0 * net.W", "report after = sum(net.W)", "net.W := net.W + 1"
    )
    before, _ = fresh()
    torch.testing.assert_close(reports["before"], before.W.sum())
    assert reports["after"] == 0


def test_a_model_follows_another() -> None:
    _, net, other, _ = stepped(f"minimize {LOSS} over net", "other := 0.9 * other + 0.1 * net")
    _, before = fresh()
    torch.testing.assert_close(other.W, 0.9 * before.W + 0.1 * net.W)
    torch.testing.assert_close(other.b, 0.9 * before.b + 0.1 * net.b)
    assert other.W.untyped_storage().size() == other.W.nbytes  # a tensor of its own, as it was


def test_weights_are_assigned_in_training_alone() -> None:
    names = run(emit_training(trained("net.W := 0 * net.W", OTHER)))
    net, other = names["build"]().values()
    features, price = data()
    names["step"](net.eval(), other.eval(), Descent([]), features, price)
    assert net.W.abs().sum() > 0
    names["step"](net.train(), other.train(), Descent([]), features, price)
    assert net.W.abs().sum() == 0


def test_the_gradient_of_a_model_is_a_vector() -> None:
    _, net, _, _ = stepped(f"net := net - 0.1 * grad({LOSS}, net)", OTHER)
    before, _ = fresh()
    features, price = data()
    gradients = torch.autograd.grad(nn.functional.mse_loss(before(features), price), list(before.parameters()))
    for new, old, gradient in zip(net.parameters(), before.parameters(), gradients, strict=True):
        torch.testing.assert_close(new, old - 0.1 * gradient)


def test_the_gradient_of_a_weight() -> None:
    reports, *_ = stepped(f"report steep = sum(abs(grad({LOSS}, net.W)))", OTHER, f"minimize {LOSS} over net")
    before, _ = fresh()
    features, price = data()
    (gradient,) = torch.autograd.grad(nn.functional.mse_loss(before(features), price), before.W)
    torch.testing.assert_close(reports["steep"], gradient.abs().sum())


def test_what_is_differentiated_twice_is_kept() -> None:
    """A gradient penalty (Gulrajani et al., 2017), and a loss that a gradient was taken of before."""
    loss = "loss = mse(net(features), price)"
    step = trained(loss, "g = grad(loss, features)", "minimize loss + sum(g * g) over net", OTHER)
    assert "create_graph=True" in body(emit_training(step), "step")
    step = trained(loss, "g = grad(loss, features)", "minimize loss over net", OTHER, "report steep = sum(g * g)")
    assert "retain_graph=True" in body(emit_training(step), "step")
    step = trained(
        "g = grad(sum(net(features)), features)", "minimize sum(net(features)) over net", OTHER, "report r = sum(g)"
    )
    assert "_graph" not in body(emit_training(step), "step")


def test_a_gradient_penalty_is_differentiated() -> None:
    _, net, _, descent = stepped("g = grad(sum(net(features)), features)", "minimize sum(g * g) over net", OTHER)
    before, _ = fresh()
    features = data()[0].requires_grad_()
    (g,) = torch.autograd.grad(before(features).sum(), features, create_graph=True)
    (gradient,) = torch.autograd.grad((g * g).sum(), before.W)
    torch.testing.assert_close(descent.losses[0], (g * g).sum().detach())
    torch.testing.assert_close(net.W, before.W - 0.1 * gradient)


SIGNED = """
    block Climb(at: float[N, d], slope: float[N, d]) -> float[N, d]:
        return at + 0.1 * sign(slope)
"""


def test_what_a_block_has_no_derivative_by_is_not_differentiated_through_it() -> None:
    attack = (
        "adv = features + 0.01 * normal_like(features)",
        "loop 3:",
        "    adv = Climb(adv, grad(mse(net(adv), price), adv))",
    )
    step = trained(*attack, "minimize mse(net(adv), price) over net", OTHER, above=SIGNED)
    written = body(emit_training(step), "step")
    assert "    adv = adv.detach().requires_grad_()\n" in written
    assert "create_graph" not in written


def test_an_attack_that_is_differentiated_starts_from_what_has_no_history() -> None:
    attack = ("adv = features", "loop 2:", "    adv = adv + 0.1 * grad(mse(net(adv), price), adv)")
    _, net, _, descent = stepped(*attack, "minimize mse(net(adv), price) over net", OTHER)
    before, _ = fresh()
    features, price = data()
    adv = features.clone().requires_grad_()
    for _ in range(2):
        loss = nn.functional.mse_loss(before(adv), price)
        adv = adv + 0.1 * torch.autograd.grad(loss, adv, create_graph=True)[0]
    loss = nn.functional.mse_loss(before(adv), price)
    (gradient,) = torch.autograd.grad(loss, before.W)
    torch.testing.assert_close(descent.losses[0], loss.detach())
    torch.testing.assert_close(net.W, before.W - 0.1 * gradient)


def test_maximize_climbs() -> None:
    _, _, _, descent = stepped(f"maximize -{LOSS} over net", OTHER)
    before, _ = fresh()
    features, price = data()
    torch.testing.assert_close(descent.losses[0], nn.functional.mse_loss(before(features), price))


def test_what_is_updated_and_how_is_passed_on() -> None:
    _, net, other, descent = stepped(f"minimize {LOSS} over net.W, net.b using sgd(lr=0.5)", OTHER)
    first, second = descent.asked
    assert first["using"] == "sgd(lr=0.5)"
    assert [id(each) for each in first["over"]] == [id(net.W), id(net.b)]
    assert second == {"over": [other]}


def test_evaluate_measures_in_the_place_of_the_step() -> None:
    step = trained(
        f"minimize {LOSS} over net", OTHER, phases=["evaluate:", "    report error = mae(net(features), price)"]
    )
    names = run(emit_training(step))
    net, other = names["build"]().values()
    features, price = data()
    reports = names["evaluate"](net, other, features, price)
    torch.testing.assert_close(reports["error"], (net(features) - price).abs().mean().detach())
    assert not reports["error"].requires_grad


def test_gradients_are_taken_where_none_are_asked_for() -> None:
    names = run(
        emit_training(
            trained(
                "g = grad(sum(net(features)), features)",
                OTHER,
                "minimize sum(net(features)) over net",
                "report r = sum(g)",
            )
        )
    )
    net, other = names["build"]().values()
    features, price = data()
    losses: list[Tensor] = []

    def record(loss: Tensor, **_: Any) -> None:
        losses.append(loss)

    with torch.no_grad():
        reports = names["step"](net, other, record, features, price)
    wanted = features.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(wanted).sum(), wanted)
    torch.testing.assert_close(reports["r"].detach(), expected.sum())
    assert not features.requires_grad


@pytest.mark.parametrize("track", [True, False])
def test_a_model_may_be_a_gradient(track: bool) -> None:
    """Forces are the gradient of an energy by positions; what is given back can be differentiated further."""
    text = """
        model Force(x: float[N, 3]) -> (force: float[N, 3]):
            weight W: float[3, 3] ~ normal(0, 1)
            energy = sum(sin(x @ W))
            return -grad(energy, x)
    """
    made = module(text)
    x = torch.randn(4, 3, requires_grad=track)
    force = made(x)
    weight: Tensor = made.W
    torch.testing.assert_close(force, -torch.cos(x @ weight) @ weight.T)
    (curvature,) = torch.autograd.grad(force.sum(), weight)
    (expected,) = torch.autograd.grad((-torch.cos(x @ weight) @ weight.T).sum(), weight)
    torch.testing.assert_close(curvature, expected)
    if track:
        assert torch.autograd.grad(made(x).sum(), x)[0].abs().sum() > 0
