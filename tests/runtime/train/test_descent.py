"""Gradient steps against PyTorch's own: what is updated, with which optimiser, of which gradients."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlc.compiler import optimizers as choices
from dlc.compiler.settings import Settings
from dlc.runtime.train.loop import Loop, NonFiniteError
from dlc.runtime.train.task import Task

Step = Callable[..., Mapping[str, Tensor]]


def net(*sizes: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inside, outside in pairwise(sizes):
        layers += [nn.Linear(inside, outside), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def data(count: int = 24) -> dict[str, Tensor]:
    torch.manual_seed(1)
    x = torch.randn(count, 3)
    return {"x": x, "y": x.sum(dim=1, keepdim=True).sin()}


def regress(model: nn.Module, minimize: Callable[..., None], x: Tensor, y: Tensor) -> dict[str, Tensor]:
    minimize(nn.functional.mse_loss(model(x), y))
    return {}


def run(task: Task, **changes: Any) -> Loop:
    loop = Loop(task, Settings(**{"epochs": 1, "batch": "all", "shuffle": False, **changes}))
    list(loop.events())
    return loop


def flat(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


# --- optimisers -------------------------------------------------------------------------------------------------

THEIRS: dict[str, tuple[choices.Optimizer, Callable[[Any], torch.optim.Optimizer]]] = {
    "sgd": (choices.SGD(lr=0.1, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    "adagrad": (choices.Adagrad(lr=0.1), lambda p: torch.optim.Adagrad(p, lr=0.1)),
    "rmsprop": (choices.RMSprop(decay=0.9), lambda p: torch.optim.RMSprop(p, alpha=0.9)),
    "adam": (choices.Adam(lr=0.01, weight_decay=0.1), lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1)),
    "adamw": (choices.AdamW(lr=0.01), lambda p: torch.optim.AdamW(p, lr=0.01)),
    "nadam": (choices.NAdam(lr=0.01), lambda p: torch.optim.NAdam(p, lr=0.01)),
    "radam": (choices.RAdam(lr=0.01), lambda p: torch.optim.RAdam(p, lr=0.01)),
}


@pytest.mark.parametrize("name", THEIRS)
def test_optimisers_are_those_of_pytorch(name: str) -> None:
    ours, theirs = net(3, 8, 1), net(3, 8, 1)
    choice, make = THEIRS[name]
    run(Task({"net": ours}, regress, {"train": data()}), epochs=12, optimizer=choice)
    optimizer = make(theirs.parameters())
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.mse_loss(theirs(data()["x"]), data()["y"]).backward()
        optimizer.step()
    torch.testing.assert_close(flat(ours), flat(theirs))


def test_lbfgs_is_that_of_pytorch_and_far_ahead() -> None:
    ours, theirs = net(3, 8, 1), net(3, 8, 1)
    choice = choices.LBFGS(iterations=10)
    run(Task({"net": ours}, regress, {"train": data()}), epochs=10, optimizer=choice)
    optimizer = torch.optim.LBFGS(
        theirs.parameters(), max_iter=10, history_size=100, line_search_fn="strong_wolfe", tolerance_change=1e-9
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(theirs(data()["x"]), data()["y"])
        loss.backward()
        return loss

    untyped: Any = optimizer
    for _ in range(10):
        untyped.step(closure)
    assert torch.equal(flat(ours), flat(theirs))
    assert nn.functional.mse_loss(ours(data()["x"]), data()["y"]) < 1e-3


def test_lion_is_that_of_the_paper() -> None:
    ours = net(3, 8, 1)
    theirs = net(3, 8, 1)
    run(
        Task({"net": ours}, regress, {"train": data()}),
        epochs=5,
        optimizer=choices.Lion(lr=0.01, betas=(0.9, 0.99), weight_decay=0.1),
    )
    momenta = [torch.zeros_like(weight) for weight in theirs.parameters()]
    for _ in range(5):
        loss = nn.functional.mse_loss(theirs(data()["x"]), data()["y"])
        gradients = torch.autograd.grad(loss, list(theirs.parameters()))
        with torch.no_grad():
            for weight, g, m in zip(theirs.parameters(), gradients, momenta, strict=True):
                update = torch.sign(0.9 * m + 0.1 * g)
                weight.sub_(0.01 * (update + 0.1 * weight))
                m.mul_(0.99).add_(g, alpha=0.01)
    torch.testing.assert_close(flat(ours), flat(theirs))


def test_muon_takes_matrices_and_leaves_the_rest_to_adamw() -> None:
    ours, theirs = net(3, 8, 1), net(3, 8, 1)
    run(Task({"net": ours}, regress, {"train": data()}), epochs=5, optimizer=choices.Muon(lr=0.01, weight_decay=0.0))
    matrices = [weight for weight in theirs.parameters() if weight.dim() == 2]
    rest = [weight for weight in theirs.parameters() if weight.dim() != 2]
    both = [
        torch.optim.Muon(matrices, lr=0.01, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=0.01, weight_decay=0.0),
    ]
    for _ in range(5):
        theirs.zero_grad()
        nn.functional.mse_loss(theirs(data()["x"]), data()["y"]).backward()
        for optimizer in both:
            optimizer.step()
    torch.testing.assert_close(flat(ours), flat(theirs))


def test_rates_are_factors_of_parts() -> None:
    ours, theirs = net(3, 8, 1), net(3, 8, 1)
    rates = (("net", 0.5), ("net.2", 2.0), ("net.2.bias", 0.0))
    run(Task({"net": ours}, regress, {"train": data()}), optimizer=choices.SGD(lr=0.1), rates=rates)
    nn.functional.mse_loss(theirs(data()["x"]), data()["y"]).backward()
    with torch.no_grad():
        for name, weight in theirs.named_parameters():
            assert weight.grad is not None
            weight.sub_(0.1 * {"0.weight": 0.5, "0.bias": 0.5, "2.weight": 2.0, "2.bias": 0.0}[name] * weight.grad)
    torch.testing.assert_close(flat(ours), flat(theirs))


# --- gradients --------------------------------------------------------------------------------------------------


def test_a_gan_is_that_of_a_loop_by_hand() -> None:
    def step(g: nn.Module, d: nn.Module, minimize: Callable[..., None], x: Tensor, y: Tensor) -> dict[str, Tensor]:
        fake = g(x)
        minimize(d(fake.detach()).mean() - d(x).mean(), over=[d])
        minimize(-d(fake).mean(), over=[g], using="sgd(lr=0.1)")
        return {}

    g, d = net(3, 8, 3), net(3, 8, 1, seed=2)
    task = Task({"g": g, "d": d}, step, {"train": data()}, using={"sgd(lr=0.1)": choices.SGD(lr=0.1)}, keep_graph=True)
    run(task, epochs=6, optimizer=choices.Adam(lr=0.01))
    theirs_g, theirs_d = net(3, 8, 3), net(3, 8, 1, seed=2)
    of_g = torch.optim.SGD(theirs_g.parameters(), lr=0.1)
    of_d = torch.optim.Adam(theirs_d.parameters(), lr=0.01)
    x = data()["x"]
    for _ in range(6):
        of_d.zero_grad()
        (theirs_d(theirs_g(x).detach()).mean() - theirs_d(x).mean()).backward()
        of_d.step()
        of_g.zero_grad()
        (-theirs_d(theirs_g(x)).mean()).backward()
        of_g.step()
    torch.testing.assert_close(flat(g), flat(theirs_g))
    torch.testing.assert_close(flat(d), flat(theirs_d))


def test_gradients_are_computed_for_what_is_updated_alone() -> None:
    computed: list[str] = []

    def step(g: nn.Module, d: nn.Module, minimize: Callable[..., None], x: Tensor, y: Tensor) -> dict[str, Tensor]:
        minimize(d(g(x)).mean(), over=[g])
        assert all(weight.grad is None for weight in [*g.parameters(), *d.parameters()])
        return {}

    g, d = net(3, 4, 3), net(3, 4, 1)
    for name, model in (("g", g), ("d", d)):
        for weight in model.parameters():
            weight.register_hook(lambda gradient, name=name: computed.append(name))
    before = flat(d).clone()
    run(Task({"g": g, "d": d}, step, {"train": data()}))
    assert set(computed) == {"g"}
    assert torch.equal(flat(d), before)


def test_over_takes_parts_and_weights() -> None:
    def step(model: Any, minimize: Callable[..., None], x: Tensor, y: Tensor) -> dict[str, Tensor]:
        minimize(nn.functional.mse_loss(model(x), y), over=[model[2], model[0].bias])
        return {}

    model = net(3, 8, 1)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    run(Task({"net": model}, step, {"train": data()}))
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {"0.bias", "2.weight", "2.bias"}


@pytest.mark.parametrize("count", [24, 22])
def test_accumulated_batches_are_one_large_batch(count: int) -> None:
    """The last two batches of an epoch of 22 are those that are left, one of them smaller."""
    ours, theirs = net(3, 8, 1), net(3, 8, 1)
    common = {"optimizer": choices.Adam(lr=0.01), "epochs": 3, "clip_norm": 0.3}
    run(Task({"net": ours}, regress, {"train": data(count)}), batch=4, accumulate=3, **common)
    run(Task({"net": theirs}, regress, {"train": data(count)}), batch=12, **common)
    torch.testing.assert_close(flat(ours), flat(theirs))


def test_a_gradient_that_two_weights_share_is_used_for_each() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.zeros(2))
            self.b = nn.Parameter(torch.zeros(2))

        def forward(self) -> Tensor:
            return self.a + self.b

    def step(model: nn.Module, minimize: Callable[..., None], x: Tensor, y: Tensor) -> dict[str, Tensor]:
        minimize(model().sum())
        return {}

    model = Sum()
    run(Task({"net": model}, step, {"train": data()}), optimizer=choices.SGD(lr=1.0), clip_norm=1.0)
    assert model.a.tolist() == pytest.approx([-0.5, -0.5])
    assert model.b.tolist() == pytest.approx([-0.5, -0.5])


@pytest.mark.parametrize("clipping", [{"clip_norm": 0.01}, {"clip_value": 0.001}])
def test_clipping_is_that_of_pytorch(clipping: dict[str, float]) -> None:
    ours, theirs = net(3, 8, 1), net(3, 8, 1)
    run(Task({"net": ours}, regress, {"train": data()}), optimizer=choices.SGD(lr=1.0), **clipping)
    nn.functional.mse_loss(theirs(data()["x"]), data()["y"]).backward()
    if "clip_norm" in clipping:
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.01)
    else:
        nn.utils.clip_grad_value_(theirs.parameters(), 0.001)
    with torch.no_grad():
        for weight in theirs.parameters():
            assert weight.grad is not None
            weight.sub_(weight.grad)
    torch.testing.assert_close(flat(ours), flat(theirs))


def test_bf16_computes_in_bf16_and_keeps_weights_in_fp32() -> None:
    seen: list[torch.dtype] = []

    def step(model: nn.Module, minimize: Callable[..., None], x: Tensor, y: Tensor) -> dict[str, Tensor]:
        guess = model(x)
        seen.append(guess.dtype)
        minimize(nn.functional.mse_loss(guess.float(), y))
        return {"error": nn.functional.l1_loss(guess.float(), y)}

    model = net(3, 8, 1)
    task = Task({"net": model}, step, {"train": data(), "valid": data()}, precision="bf16")
    run(task, precision="bf16", epochs=2)
    assert set(seen) == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


# --- what is not finite -----------------------------------------------------------------------------------------


class Divided(nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.by = by
        self.last = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(self.first(x)))

    def inner(self, x: Tensor) -> Tensor:
        return x / self.by


def test_the_first_layer_to_spoil_is_named() -> None:
    model = Divided(0.0)
    with pytest.raises(NonFiniteError) as caught:
        run(Task({"net": model}, regress, {"train": data()}))
    assert caught.value.first == "the output of `net.last` is the first to hold NaN"
    assert (caught.value.step, caught.value.batch, caught.value.epoch) == (1, 1, 1)


def test_a_spoilt_field_or_weight_is_named() -> None:
    fields = data()
    fields["x"][5, 1] = float("inf")
    with pytest.raises(NonFiniteError) as caught:
        run(Task({"net": net(3, 8, 1)}, regress, {"train": fields}), batch=4)
    assert caught.value.first == "the field `x` holds an infinity"
    assert caught.value.batch == 2
    model: Any = net(3, 8, 1)
    with torch.no_grad():
        model[2].bias[0] = float("nan")
    with pytest.raises(NonFiniteError) as caught:
        run(Task({"net": model}, regress, {"train": data()}))
    assert caught.value.first == "the weight `net.2.bias` holds NaN"


def test_a_gradient_that_is_not_finite_updates_nothing() -> None:
    def step(model: nn.Module, minimize: Callable[..., None], x: Tensor, y: Tensor) -> dict[str, Tensor]:
        minimize((model(x) * 0).abs().sqrt().sum())
        return {}

    model = net(3, 8, 1)
    before = flat(model).clone()
    with pytest.raises(NonFiniteError, match=r"the gradient of net\.0\.weight is nan at step 1") as caught:
        run(Task({"net": model}, step, {"train": data()}))
    assert caught.value.found.value != 0
    assert torch.equal(flat(model), before)


def test_large_finite_gradients_are_no_mistake() -> None:
    def step(model: nn.Module, minimize: Callable[..., None], x: Tensor, y: Tensor) -> dict[str, Tensor]:
        minimize(model(x).mean() * 1e25)
        return {}

    model = net(3, 8, 1)
    run(Task({"net": model}, step, {"train": data()}), optimizer=choices.SGD(lr=1e-26))
    assert bool(flat(model).isfinite().all())
