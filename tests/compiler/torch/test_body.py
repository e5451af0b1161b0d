"""Statements: names, what is inlined, the order of what draws random numbers or updates statistics."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from torch.nn import functional

from dlc.compiler.graph import Graph, Value
from dlc.compiler.op import operations
from dlc.compiler.torch.emit import emit_graph
from dlc.compiler.torch.errors import TwoForms
from dlc.compiler.types import Tensor
from dlc.grammar.diagnostics import Refusal
from dlc.grammar.source import Source, Span

from .specs import body, emitted, graph, module, run

SPAN = Span(Source("spec.dl", ""), 0, 0)


def test_a_named_value_is_bound_and_an_unnamed_one_inlined() -> None:
    text = """
        model Net(x: float[N, 4]) -> (y: float[N, 3]):
            h = x -> linear(8) -> relu
            return h -> linear(3) -> softmax
    """
    assert body(emitted(text)) == "h = F.relu(self.linear(x))\nreturn F.softmax(self.linear_2(h), dim=-1)"
    net = module(text)
    x = torch.randn(5, 4)
    weights = net.state_dict()
    hidden = torch.relu(x @ weights["linear.weight"].T + weights["linear.bias"])
    expected = torch.softmax(hidden @ weights["linear_2.weight"].T + weights["linear_2.bias"], dim=1)
    torch.testing.assert_close(net(x), expected)


def test_a_value_that_is_used_twice_is_computed_once() -> None:
    text = """
        model Net(x: float[N]) -> (y: float[N]):
            return x -> exp -> residual(sin)
    """
    assert body(emitted(text)) == "x = torch.exp(x)\nreturn x + torch.sin(x)"


def test_a_name_is_bound_again_only_where_its_old_value_is_not_needed() -> None:
    text = """
        model Net(x: float[N]) -> (y: float[N]):
            h = exp(x)
            old = h * 2
            first = h
            h = sin(x)
            return h - first * old
    """
    torch.testing.assert_close(module(text)(x := torch.randn(4)), torch.sin(x) - torch.exp(x) * (torch.exp(x) * 2))
    assert "h_2 = " in body(emitted(text))


def test_an_expression_that_waits_keeps_the_values_of_its_names() -> None:
    made = Graph("Net", SPAN)
    vector = Tensor.of(4)
    x = made.inputs["x"] = Value(vector, SPAN, "x")
    (waiting,) = made.add(operations()["exp"](), [x], [vector], SPAN)
    (again,) = made.add(operations()["sin"](), [x], [vector], SPAN)
    again.name = "x"
    (result,) = made.add(operations()["subtract"](), [waiting, again], [vector], SPAN)
    made.outputs, made.output_names = (result,), ("y",)
    source = emit_graph(made)
    value = torch.randn(4)
    torch.testing.assert_close(run(source)["Net"]()(value), torch.exp(value) - torch.sin(value))


def test_names_that_python_keeps_for_itself_are_changed() -> None:
    text = """
        model Net(lambda: float[N], self: float[N], torch: float[N], range: float[N]) -> (y: float[N]):
            F = lambda + self
            return exp(F) * torch - range
    """
    assert "def forward(self, lambda_: Tensor, self_: Tensor, torch_: Tensor, range_: Tensor)" in emitted(text)
    result = module(text)(*(torch.tensor([value]) for value in (1.0, 2.0, 3.0, 4.0)))
    torch.testing.assert_close(result, torch.exp(torch.tensor([3.0])) * 3 - 4)


@pytest.mark.parametrize("name", ["train", "type", "forward", "parameters", "lambda", "_hidden", "__secret"])
def test_a_layer_may_have_a_name_that_modules_keep_for_themselves(name: str) -> None:
    net = module(f"""
        model Net(x: float[N, 4]) -> (y: float[N, 3]):
            {name} = linear(3)
            weight {name}w: float[3] = 1
            return {name}(x) + {name}w
    """)
    assert list(net.state_dict()) == [f"{name}w", f"{name}.weight", f"{name}.bias"]
    weight, bias = net.state_dict()[f"{name}.weight"], net.state_dict()[f"{name}.bias"]
    x = torch.randn(2, 4)
    torch.testing.assert_close(net.train()(x), x @ weight.T + bias + 1)


DRAWS = """
    model Net(x: float[N, 64]) -> (y: float[N, 192]):
        a = x -> dropout(0.5)
        return concat({first}, {second}, a, axis=1)
"""


@pytest.mark.parametrize(
    ("first", "second"),
    [("x + 1 -> dropout(0.5)", "x - 1 -> dropout(0.25)"), ("normal_like(x) * 2", "x -> dropout(0.25) -> exp")],
)
def test_random_numbers_are_drawn_in_the_order_of_the_spec(first: str, second: str) -> None:
    net = module(DRAWS.format(first=first, second=second)).train()
    x = torch.ones(3, 64)
    torch.manual_seed(7)
    result = net(x)
    torch.manual_seed(7)
    a = functional.dropout(x, 0.5)
    if "normal" in first:
        one, two = torch.randn_like(x) * 2, torch.exp(functional.dropout(x, 0.25))
    else:
        one, two = functional.dropout(x + 1, 0.5), functional.dropout(x - 1, 0.25)
    torch.testing.assert_close(result, torch.cat((one, two, a), dim=1))


def test_operands_that_draw_in_another_order_than_they_stand_are_bound_first() -> None:
    made = Graph("Net", SPAN)
    wide = Tensor.of(50)
    x = made.inputs["x"] = Value(wide, SPAN, "x")
    drop = operations()["normal_like"]()
    (first,) = made.add(drop, [x], [wide], SPAN)
    (second,) = made.add(drop, [x], [wide], SPAN)
    (third,) = made.add(drop, [x], [wide], SPAN)
    (inner,) = made.add(operations()["subtract"](), [third, first], [wide], SPAN)
    (result,) = made.add(operations()["divide"](), [inner, second], [wide], SPAN)
    made.outputs, made.output_names = (result,), ("y",)
    net = run(emit_graph(made))["Net"]()
    torch.manual_seed(3)
    actual = net(torch.zeros(50))
    torch.manual_seed(3)
    one, two, three = torch.randn(50), torch.randn(50), torch.randn(50)
    torch.testing.assert_close(actual, (three - one) / two)


def test_statistics_follow_the_order_of_the_spec() -> None:
    net = module("""
        model Net(x: float[N, 4]) -> (y: float[N, 4]):
            norm = batch_norm(momentum=0.5)
            a = norm(x)
            b = norm(2 * x)
            return b - a
    """).train()
    reference = nn.BatchNorm1d(4, momentum=0.5)
    x = torch.randn(16, 4)
    expected_a = reference(x)
    torch.testing.assert_close(net(x), reference(2 * x) - expected_a)
    torch.testing.assert_close(net.norm.running_mean, reference.running_mean)


def test_what_nobody_uses_is_left_out() -> None:
    assert (
        body(
            emitted("""
        model Net(x: float[N]) -> (y: float[N]):
            unused = exp(x)
            low, high = split(concat(x, x, axis=0), 2, axis=0)
            return high
    """)
        ).count("exp")
        == 0
    )


def test_several_results_are_a_tuple() -> None:
    text = """
        block Pair(x: float[N]) -> (low: float[N], high: float[N]):
            return x - 1, x + 1
        model Net(x: float[N]) -> (low: float[N], twice: float[N]):
            low, high = Pair(x)
            return low, 2 * high
    """
    source = emitted(text)
    assert "-> tuple[Tensor, Tensor]:" in source
    low, twice = module(text)(torch.tensor([1.0, 2.0]))
    assert low.tolist() == [0, 1]
    assert twice.tolist() == [4, 6]


def test_an_instance_may_be_shared_by_inputs_of_several_sizes() -> None:
    net = module("""
        block Enc(x: float[N, C, H, W]) -> float[N, 4]:
            return x -> conv(4, 3) -> relu -> mean(axes=[2, 3])
        model Net(x: float[N, 3, 8, 8]) -> (y: float[N, 4]):
            enc = Enc()
            return enc(x) + enc(x -> max_pool(2))
    """)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(net(x), net.enc(x) + net.enc(functional.max_pool2d(x, 2)))


def test_an_instance_that_would_need_two_classes_is_refused() -> None:
    made = graph("""
        block Flat(x: float[N, H, W]) -> float[N, H * W]:
            weight scale: float[] = 2
            return scale * reshape(x, N, H * W) + H
        model Net(x: float[N, 8, 8], y: float[N, 4, 16]) -> (z: float[N, 64]):
            flat = Flat()
            return flat(x) + flat(y)
    """)
    with pytest.raises(Refusal) as refused:
        emit_graph(made)
    (found,) = refused.value.diagnostics
    assert isinstance(found, TwoForms)
    assert found.span is not None
    assert (found.span.line, found.span.text) == (7, "flat(y)")


NAMES = [None, None, None, "h", "x", "y"]
KINDS = {"add": torch.add, "subtract": torch.sub, "tanh": torch.tanh, "sin": torch.sin, "normal_like": torch.randn_like}


@pytest.mark.parametrize("seed", range(150))
def test_any_graph_computes_what_its_nodes_say(seed: int) -> None:
    choose = random.Random(seed)
    made = Graph("Net", SPAN)
    vector = Tensor.of(6)
    values = [made.inputs.setdefault(name, Value(vector, SPAN, name)) for name in ("x", "y")]
    for _ in range(choose.randrange(2, 14)):
        kind = choose.choice(list(KINDS))
        operands = [choose.choice(values[-4:]) for _ in range(2 if kind in ("add", "subtract") else 1)]
        (value,) = made.add(operations()[kind](), operands, [vector], SPAN)
        value.name = choose.choice(NAMES)
        values.append(value)
    made.outputs = tuple(choose.sample(values, choose.randrange(1, 3)))
    made.output_names = tuple(f"result{place}" for place in range(len(made.outputs)))

    x, y = torch.rand(6), torch.rand(6)
    known = dict(zip(values, (x, y), strict=False))
    torch.manual_seed(seed)
    for node in made.nodes:
        (output,) = node.outputs
        known[output] = KINDS[node.action.name](*(known[operand] for operand in node.inputs))
    torch.manual_seed(seed)
    results = run(emit_graph(made))["Net"]()(x, y)
    for output, result in zip(made.outputs, results if len(made.outputs) > 1 else (results,), strict=True):
        torch.testing.assert_close(result, known[output], rtol=0, atol=0)
