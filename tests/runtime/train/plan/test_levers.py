"""Each lever changes how a step is run, and not what it computes."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dlc.compiler.optimizers import SGD, AdamW
from dlc.compiler.settings import Settings
from dlc.runtime.emitted import load_module
from dlc.runtime.train.loop import EpochEnded, Loop
from dlc.runtime.train.plan import attention, inductor, layout, levers, precision
from dlc.runtime.train.plan.levers import BY_NAME, CHANNELS, PRECISION, WRITTEN, pulled
from dlc.runtime.train.task import Task

CPU = torch.device("cpu")

TEXT = """
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv_2 = nn.Conv2d(8, 8, 3, padding=1)
        self.mix = nn.Linear(8, 24)
        self.out = nn.Linear(8, 4)

    def forward(self, x):
        h = self.conv_2(self.norm(self.conv(x)).relu()).relu()
        q, k, v = self.mix(h.flatten(2).transpose(1, 2)).chunk(3, -1)
        h = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], is_causal=True)
        return self.out(h.mean((1, 2)))


def build():
    return {"net": Net()}


def step(net, minimize, x, y):
    logits = net(x)
    minimize(F.cross_entropy(logits, y))
    return {}
"""


def made(**options: object) -> Task:
    torch.manual_seed(0)
    module = load_module("Levers", TEXT)
    fields = {"x": torch.randn(40, 3, 6, 6), "y": torch.randint(0, 4, (40,))}
    return Task(module.build(), module.step, {"train": fields}, **options)  # pyright: ignore[reportArgumentType]


def losses(task: Task, settings: Settings, names: list[str]) -> list[float]:
    with pulled(names, task):
        events = Loop(task, settings).events()
        return [event.parts["train"]["loss"] for event in events if isinstance(event, EpochEnded)]


@pytest.mark.parametrize("optimizer", [AdamW(lr=1e-2), SGD(lr=0.05, momentum=0.9)])
@pytest.mark.parametrize("name", [PRECISION, CHANNELS, WRITTEN])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_same_is_learned(name: str, optimizer: AdamW | SGD, accumulate: int) -> None:
    """With several updates of momenta laid out as their weights are."""
    settings = Settings(batch=8, epochs=4, optimizer=optimizer, accumulate=accumulate)
    plain, ours = losses(made(), settings, []), losses(made(), settings, [name])
    assert ours == pytest.approx(plain, rel=2e-4)
    assert plain[-1] < plain[0]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_training_of_channels_last_goes_on_to_the_last_bit(accumulate: int) -> None:
    settings = Settings(batch=8, epochs=3, optimizer=AdamW(lr=1e-2), accumulate=accumulate)

    def went(stop: int | None) -> dict[str, Tensor]:
        task = made()
        with pulled([CHANNELS], task):
            loop = Loop(task, settings)
            for number, _ in enumerate(loop.events(), 1):
                if number == stop:
                    break
            saved = {name: value.clone().contiguous() for name, value in loop.tensors().items()}
            record = loop.record()
            weights = {name: value.clone().contiguous() for name, value in task.instances["net"].state_dict().items()}
        if stop is None:
            return weights
        again = made()
        with pulled([CHANNELS], again):
            again.instances["net"].load_state_dict(weights)
            loop = Loop(again, settings)
            loop.restore(saved, record)
            list(loop.events())
            return {name: value.clone() for name, value in again.instances["net"].state_dict().items()}

    whole, resumed = went(None), went(8)
    assert all(value.equal(resumed[name]) for name, value in whole.items())


def test_layouts_are_those_from_before_afterwards() -> None:
    task = made()
    before = {name: (value.clone(), value.stride()) for name, value in task.instances["net"].state_dict().items()}
    with pulled([CHANNELS], task):
        assert task.instances["net"].conv_2.weight.is_contiguous(memory_format=torch.channels_last)
    for name, value in task.instances["net"].state_dict().items():
        assert value.equal(before[name][0])
        assert value.stride() == before[name][1]


def test_only_what_is_there_applies() -> None:
    task, settings = made(), Settings(epochs=1)
    assert BY_NAME[CHANNELS].applies(task, settings, CPU)
    assert BY_NAME[WRITTEN].applies(task, settings, CPU)
    plain = Task({"net": nn.Linear(3, 3)}, lambda net, minimize, x: {}, {"train": {"x": torch.ones(2, 3)}})
    assert not BY_NAME[CHANNELS].applies(plain, settings, CPU)
    assert not BY_NAME[WRITTEN].applies(plain, settings, CPU)
    assert not BY_NAME[PRECISION].applies(plain, Settings(epochs=1, precision="bf16"), CPU)


# --- precision ---


def test_a_precision_that_rounds_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As processors with tiles for bf16 round, and GPUs to TF32."""
    net = nn.Linear(300, 200)

    @contextmanager
    def rounding() -> Iterator[None]:
        with monkeypatch.context() as patched:
            product = Tensor.__matmul__
            patched.setattr(Tensor, "__matmul__", lambda a, b: product(a.bfloat16(), b.bfloat16()).float())
            yield

    assert precision.stays_accurate([nn.ReLU()], CPU)
    monkeypatch.setattr(precision, "medium", rounding)
    assert not precision.stays_accurate([net], CPU)


def test_probing_draws_nothing() -> None:
    net, before = nn.Linear(30, 20), torch.get_rng_state()
    precision.stays_accurate([net], CPU)
    assert torch.get_rng_state().equal(before)
    assert torch.get_float32_matmul_precision() == "highest"


def test_attention_is_computed_at_highest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward, and what comes behind it at medium again."""
    seen: list[tuple[str, str]] = []

    class Spy(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor, name: str) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
            ctx.name = name  # pyright: ignore[reportAttributeAccessIssue]
            seen.append((name, torch.get_float32_matmul_precision()))
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
            seen.append((f"{ctx.name} backward", torch.get_float32_matmul_precision()))  # pyright: ignore[reportAttributeAccessIssue]
            return gradient, None

    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda q: Spy.apply(q, "attention"))
    x = torch.ones(2, requires_grad=True)
    with precision.medium():
        before: Callable[..., Tensor] = Spy.apply  # pyright: ignore[reportAssignmentType]
        before(attention.at_highest(before(x, "before")), "behind").sum().backward()
    assert dict(seen) == {
        "before": "medium",
        "attention": "highest",
        "behind": "medium",
        "behind backward": "medium",
        "attention backward": "highest",
        "before backward": "medium",
    }
    assert torch.get_float32_matmul_precision() == "highest"


# --- attention ---


@pytest.mark.parametrize("case", ["plain", "causal", "bool", "float", "blind", "grouped", "scaled"])
def test_attention_written_out_is_that_of_pytorch(case: str) -> None:
    torch.manual_seed(0)
    heads = 2 if case == "grouped" else 4
    q = torch.randn(2, 4, 5, 8, dtype=torch.float64, requires_grad=True)
    k, v = (torch.randn(2, heads, 5, 8, dtype=torch.float64, requires_grad=True) for _ in range(2))
    seen = torch.rand(5, 5) > 0.4
    seen[:, 0] = True
    if case == "blind":
        seen[2] = False
    options: dict[str, object] = {
        "causal": {"is_causal": True},
        "bool": {"attn_mask": seen},
        "blind": {"attn_mask": seen},
        "float": {"attn_mask": torch.randn(2, 1, 5, 5, dtype=torch.float64)},
        "grouped": {"enable_gqa": True, "is_causal": True},
        "scaled": {"scale": 0.3},
    }.get(case, {})
    found: list[tuple[Tensor, ...]] = []
    for form in (attention.written_out, functional.scaled_dot_product_attention):
        result = form(q, k, v, **options)  # pyright: ignore[reportArgumentType]
        found.append((result, *torch.autograd.grad(result.square().sum(), (q, k, v))))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_attention_written_out_drops_weights() -> None:
    torch.manual_seed(0)
    v = torch.ones(1, 1, 400, 1)
    q = torch.zeros(1, 1, 400, 4)
    mean = attention.written_out(q, q, v, dropout_p=0.3).mean()
    assert math.isclose(float(mean), 1.0, abs_tol=0.02)
    assert attention.written_out(q, q, v, dropout_p=0.3).std() > 0


# --- layout, inductor ---


def test_weights_that_are_shared_are_laid_out_once() -> None:
    one, other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    other.weight = one.weight
    assert len(list(layout.convolutions([one, other]))) == 1


def test_compiled_modules_are_plain_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[dict[str, object]] = []
    net = nn.Linear(2, 2)
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: called.append(options))
    with inductor.compiled([net]):
        pass
    assert called == [{"dynamic": False}]
    assert net._compiled_call_impl is None
    assert levers.BY_NAME[levers.INDUCTOR].prepares >= 10


@pytest.mark.parametrize(
    ("line", "unrolls"), [("h = x.unbind(1)", True), ("h = gru_states(x)", True), ("h = x", False)]
)
def test_loops_over_turns_are_not_compiled(line: str, unrolls: bool) -> None:
    text = TEXT.replace("        h = self.conv_2(", f"        {line}\n        h = self.conv_2(")
    module = load_module("Turns", text)
    task = Task(module.build(), module.step, {"train": {"x": torch.randn(2, 3, 4, 4)}})
    assert inductor.unrolls(task) == unrolls
