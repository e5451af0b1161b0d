"""Every example of every operation, against what PyTorch and onnxruntime make of it.

An operation is tested by having examples; nothing is to be added here for a new one. For each example:

- `infer` gives the types that `gives` declares;
- the emitted PyTorch, for two bindings of the symbols, gives tensors of that type, shape and range, and its module
  has the weights that `weights` declares;
- gradients for inputs and weights agree with finite differences in float64 (unless `smooth=False`);
- the ONNX model, for both bindings, agrees with PyTorch within `tolerance` of the largest magnitude; of random
  operations types and shapes, and, where both are given the same noise, what they draw.

Run one operation with `pytest tests/compiler/ops/test_operations.py -k "relu-"`. How to write types: `examples.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from dlc.compiler.dim import Symbol
from dlc.compiler.graph import Graph
from dlc.compiler.op import operations
from dlc.compiler.passes import EXPORT, run
from dlc.compiler.passes.noise import noise_as_inputs
from dlc.compiler.passes.verify import verify

from .examples import Case, cases, numpy_dtype, shape_of
from .targets import Onnx, Torch

CASES = cases()


def those(condition: Any) -> Any:
    chosen = [case for case in CASES if condition(case)]
    return pytest.mark.parametrize("case", chosen, ids=[case.id for case in chosen])


@those(lambda case: True)
def test_infers_the_declared_types(case: Case) -> None:
    assert tuple(map(str, case.op.results(*case.inputs))) == tuple(map(str, case.gives))
    assert case.op.results(*case.inputs) == case.gives


@those(lambda case: True)
@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
def test_torch_gives_the_declared_types(case: Case, second: bool) -> None:
    binding = case.binding(second)
    results = Torch(case)(case.arrays(binding))
    assert len(results) == len(case.gives)
    for result, type in zip(results, case.gives, strict=True):
        array = result.detach().numpy()
        assert array.shape == shape_of(type, binding)
        assert array.dtype == numpy_dtype(type.dtype)
        if type.below is not None:
            assert ((array >= 0) & (array < type.below.evaluate(binding))).all()


@those(lambda case: case.op.stateful)
def test_torch_trains_in_the_same_shapes(case: Case) -> None:
    binding = case.binding(second=True)
    network = Torch(case)
    network.module.train()
    results = network(case.arrays(binding))
    assert [tuple(result.shape) for result in results] == [shape_of(type, binding) for type in case.gives]


@those(lambda case: case.op.weights(*case.inputs))
def test_module_has_the_declared_weights(case: Case) -> None:
    weights = case.op.weights(*case.inputs)
    module = Torch(case).module
    state = {path.rpartition(".")[2]: value for path, value in module.state_dict().items()}
    assert {name: tuple(map(int, weight.shape)) for name, weight in weights.items()} == {
        name: tuple(value.shape) for name, value in state.items()
    }
    trained = {path.rpartition(".")[2] for path, parameter in module.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, weight in weights.items() if weight.trainable}


def has_gradients(case: Case) -> bool:
    floats = any(type.dtype.is_float for type in case.tensors) or case.op.weights(*case.inputs) or case.models
    return bool(floats) and case.example.smooth and not case.op.random


@those(has_gradients)
def test_gradients_agree_with_finite_differences(case: Case) -> None:
    if not any(type.dtype.is_float for type in case.gives):
        assert all(not result.requires_grad for result in differentiable(case)[1])
        return
    function, _, parts = differentiable(case)
    many = sum(part.numel() for part in parts) > 40  # then along random directions alone
    assert torch.autograd.gradcheck(function, parts, check_undefined_grad=False, fast_mode=many)


def differentiable(case: Case) -> tuple[Any, tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """The example as a function, in double precision, of its float inputs and trained weights; its results there."""
    binding = case.binding(second=False)
    network = Torch(case)
    network.module.double()
    inputs = [
        torch.from_numpy(array.astype(np.float64) if array.dtype.kind == "f" else array)
        for array in case.arrays(binding)
    ]
    free = [place for place, value in enumerate(inputs) if value.is_floating_point()]
    weights = {path: value for path, value in network.module.named_parameters() if value.requires_grad}

    def function(*parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = list(inputs)
        for place, part in zip(free, parts, strict=False):
            given[place] = part
        named = dict(zip(weights, parts[len(free) :], strict=True))
        results = torch.func.functional_call(network.module, named, tuple(given))
        results = results if isinstance(results, tuple) else (results,)
        return tuple(result for result in results if result.is_floating_point())

    parts = [inputs[place] for place in free] + [value.detach() for value in weights.values()]
    parts = [part.clone().requires_grad_() for part in parts]
    return function, function(*parts), tuple(parts)


@those(lambda case: case.op.no_onnx is None)
@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
def test_onnx_agrees_with_torch(case: Case, second: bool) -> None:
    binding = case.binding(second)
    arrays = case.arrays(binding, seed=1)
    network = Torch(case)
    actual = Onnx(case, network.weights())(arrays)
    expected = [result.detach().numpy() for result in network(arrays)]
    assert len(actual) == len(expected)
    for result, reference in zip(actual, expected, strict=True):
        assert result.shape == reference.shape
        assert result.dtype == reference.dtype
        if not case.op.random:
            assert_close(case, result, reference)


def assert_close(case: Case, result: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> None:
    if result.dtype.kind == "f":
        finite = reference[np.isfinite(reference)]
        largest = float(np.abs(finite).max(initial=1.0))
        np.testing.assert_allclose(result, reference, rtol=0, atol=case.example.tolerance * largest)
    else:
        np.testing.assert_array_equal(result, reference)


@those(lambda case: case.op.random and case.op.no_onnx is None)
@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
def test_onnx_draws_what_torch_draws(case: Case, second: bool) -> None:
    binding = case.binding(second)
    graph = noise_as_inputs(run(EXPORT, case.graph()))
    verify(graph)
    assert len(graph.noise) == 1
    network, session = Torch(case, graph), Onnx(case, {}, graph)
    seen: list[bytes] = []
    for seed in range(10):
        arrays = [*case.arrays(binding, seed=1), *noise(graph, binding, seed)]
        expected = [result.detach().numpy() for result in network(arrays)]
        for result, reference, type in zip(session(arrays), expected, case.gives, strict=True):
            assert reference.shape == result.shape == shape_of(type, binding)
            assert reference.dtype == result.dtype == numpy_dtype(type.dtype)
            assert_close(case, result, reference)
            if type.below is not None:
                assert ((result >= 0) & (result < type.below.evaluate(binding))).all()
        seen.append(b"".join(each.tobytes() for each in expected))
    still = all(type.below is not None and type.below == 1 for type in case.gives)
    assert still or len(set(seen)) > 1  # the noise is what decides


def noise(graph: Graph, binding: Mapping[Symbol, int], seed: int) -> list[np.ndarray[Any, Any]]:
    random = np.random.default_rng(seed)
    draw = {"normal": random.standard_normal, "uniform": random.random}
    return [
        np.asarray(draw[distribution](shape_of(type, binding), numpy_dtype(type.dtype)))
        for distribution, type in ((draws, graph.inputs[name].type) for name, draws in graph.noise.items())
    ]


@pytest.mark.parametrize("name", sorted(operations()))
def test_operation_has_a_first_line_and_its_own_examples(name: str) -> None:
    kind = operations()[name]
    assert kind.__doc__
    assert kind.__doc__.strip().splitlines()[0].endswith(".")
    assert kind.examples


def test_no_onnx_gives_a_reason() -> None:
    for name, kind in operations().items():
        assert kind.no_onnx is None or len(kind.no_onnx) > 10, name
