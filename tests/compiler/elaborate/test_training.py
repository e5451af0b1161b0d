"""Train blocks: instances, what a minimise reaches, sizes of weights."""

import pytest

from dlc.compiler.graph import ModelRef, weights_of
from dlc.compiler.program import Minimize, TrainSpec
from dlc.grammar.diagnostics import Diagnostic

from .conftest import Specs

HEAD = """
model Net(x: float[N, d], k = 3) -> float[N, k]:
    return x -> linear(k)

block Fixed(x: float[N, d]) -> float[N, d]:
    constant scale: float[] = 2
    return x * scale

data D:
    source = points()
    x: float[4] = data
    y: int[] < 3 = target
    split = (train=0.75, valid=0.25)

"""


def text(top: str, step: str, settings: str = "epochs = 1") -> str:
    lines = ["train T on D:", *top.split("\n"), "settings:", f"    {settings}", "step:"]
    body = [f"    {line}" for line in lines[1:]] + [f"        {line}" for line in step.split("\n")]
    return HEAD + "\n".join([lines[0], *body]) + "\n"


def train(specs: Specs, top: str, step: str) -> TrainSpec:
    return specs.program(text(top, step)).trains["T"]


def codes(specs: Specs, top: str, step: str) -> list[str]:
    return specs.codes(text(top, step))


def test_what_a_step_is_made_of(specs: Specs) -> None:
    spec = train(specs, "net = Net()", "p = net(x)\nminimize cross_entropy(p, y)\nreport size = mean(p)")
    assert spec.models == {"net": "Net"}
    assert list(spec.instances) == ["net"]
    assert {name: str(value.type) for name, value in spec.step.graph.inputs.items()} == {
        "x": "float[N, 4]",
        "y": "int[N] < 3",
    }
    assert list(spec.step.graph.borrowed) == ["net"]
    assert spec.step.graph.modules == {}
    assert [type(effect).__name__ for _, effect in spec.step.effects] == ["Minimize", "Report"]
    assert spec.weight_prefix("net") == ""


def test_instances_have_prefixes_where_there_are_several(specs: Specs) -> None:
    spec = train(specs, "a = Net()\nb = Net(k=3)", "minimize mean(a(x) * b(x))")
    assert spec.weight_prefix("a") == "a."
    assert list(spec.instances) == ["a", "b"]


def test_sizes_come_from_the_data(specs: Specs) -> None:
    spec = train(specs, "net = Net()", "minimize mean(net(x))")
    ((_, effect),) = spec.step.effects
    assert isinstance(effect, Minimize)
    graph = spec.instances["net"].graph  # type: ignore[union-attr]
    assert {path: str(weight.shape) for path, weight in graph.weights().items()} == {
        "linear.weight": "(Dim(3), Dim(4))",
        "linear.bias": "(Dim(3),)",
    }


def test_a_whole_model_is_an_operand(specs: Specs) -> None:
    spec = train(specs, "net = Net()", "z = net(x)\nminimize l2(net)")
    assert spec.step.graph.nodes[-1].inputs == (ModelRef("net"),)
    assert codes(specs, "net = Net()", "minimize l2(net)") == ["DL2007"]


@pytest.mark.parametrize(
    ("top", "step"),
    [
        ("net = Net()", "minimize mean(net(x))"),
        ("net = Net()", "h = net(x)\nh = h * 2\nminimize mean(h)"),
        ("net = Net()", "minimize mean(x @ net.linear.weight.T)\nz = net(x)"),
        ("net = Net()", "z = net(x)\nminimize mean(x @ net.linear.weight.T)"),
        ("nets = [Net() for i in range(2)]", "minimize mean(nets[0](x) + nets[1](x))"),
        ("f = linear(3)", "minimize mean(f(x))"),
        ("net = Net()\nfixed = Fixed()", "minimize mean(net(fixed(x)))"),
        ("f = linear(4) -> relu -> linear(2)", "minimize mean(f(x))"),
    ],
)
def test_what_is_trained(specs: Specs, top: str, step: str) -> None:
    assert train(specs, top, step).step.effects


@pytest.mark.parametrize(
    ("top", "step", "expected"),
    [
        ("net = Net()", "z = net(x)\nminimize mean(x)", ["DL5004"]),
        ("net = Net()", "z = net(x)\nreport size = mean(z)", ["DL5004"]),
        ("a = Net()\nb = Net()", "z = b(x)\nminimize mean(a(x))", ["DL5004"]),
        ("net = Net()", "minimize net(x)", ["DL5003"]),
        ("net = Net()", "minimize mean(argmax(net(x), axis=1))", ["DL5004"]),
        ("net = Net()", 'minimize mean(cast(net(x) > 0, "float"))', ["DL5004"]),
        ("net = Net()", "minimize mean(round(net(x)))", ["DL5004"]),
        ("net = Net()", "minimize mean(stop(net(x))) over net", ["DL5004"]),
        ("net = Net()", "minimize sum(argmax(net(x), axis=1))", ["DL5003"]),
        ("net = Net()", "minimize mean(net(x.T))", ["DL4007"]),
        ("fixed = Fixed()", "minimize mean(fixed(x))", ["DL5004"]),
        ("net = Net()", "minimize mean(net(x))\nreturn x", ["DL2015"]),
        ("net = Net()", "minimize mean(net(q))", ["DL2001"]),
        ("net = Nat()", "minimize mean(net(x))", ["DL2001"]),
        ("net = Net()", "minimize mean(net(x) @ net(x))", ["DL3002"]),
        ("a = Net()\nb = Net()", "minimize mean(a(x))", ["DL2008"]),
        ("net = Net()", "minimize mean(x -> linear(3))", ["DL2015"]),
        ("net = Net()", "weight w: float[] = 1\nminimize mean(net(x)) * w", ["DL2015"]),
    ],
)
def test_what_cannot_be_trained(specs: Specs, top: str, step: str, expected: list[str]) -> None:
    assert codes(specs, top, step) == expected


def test_a_weight_that_is_open_is_told_once_for_an_instance(specs: Specs) -> None:
    _, sink = specs.read(text("net = Net()", "minimize mean(net(x.T))"))
    (found,) = sink
    assert isinstance(found, Diagnostic)
    assert "N" in found.message


def test_epochs_or_steps(specs: Specs) -> None:
    for settings, expected in (("batch = 3", ["DL5002"]), ("steps = 3", []), ("epochs = 0", ["DL5002"])):
        assert specs.codes(text("net = Net()", "minimize mean(net(x))", settings)) == expected


APPLIED = """model Net(x: float[N, 4], width = 8) -> (y: float[N, 2]):
    return x -> linear(width) -> relu -> linear(2)

data Points:
    source = points()
    x: float[4] = data
    y: float[2] = x[:2]

train T on Points:
    s = Net()
    t = Net()
    settings:
        epochs = 1
"""


@pytest.mark.parametrize(
    "lines",
    [
        ("step:", "    minimize l2(s) + mse(s(x), y) over s", "    t := t - 0.1 * grad(mse(t(x), y), t)"),
        ("step:", "    t := 0.9 * t + 0.1 * s", "    minimize mse(s(x), y) over s"),  # t takes after s
        ("step:", "    minimize mse(s(x), y) over s", "    t := s", "evaluate:", "    report e = mse(t(x), y)"),
        ("step:", "    minimize mse(s(x), y) over s", "    t := s", "guess(x: float[n, 4]):", "    return t(x)"),
        (
            "step:",
            "    fast = s",
            "    loop 2:",
            "        fast = fast - 0.1 * grad(mse(fast(x), y), fast)",
            "    minimize mse(fast(x), y) over s",
            "    t := s",
        ),
    ],
)
def test_weights_are_known_wherever_their_instance_is_first_applied(specs: Specs, lines: tuple[str, ...]) -> None:
    trains = specs.program(APPLIED + "".join(f"    {line}\n" for line in lines)).trains
    instances = trains["T"].instances
    assert [str(weight.shape) for _, weight in weights_of({"": instances["s"]})] == [
        str(weight.shape) for _, weight in weights_of({"": instances["t"]})
    ]


def test_what_takes_after_another_has_the_same_arguments(specs: Specs) -> None:
    text = APPLIED.replace("t = Net()", "t = Net(width=9)") + (
        "    step:\n        minimize mse(s(x), y) over s\n        t := 0.9 * t\n"
    )
    assert specs.codes(text) == ["DL3005"]
