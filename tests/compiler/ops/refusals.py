"""What the rules of operations refuse, and layers compared with the modules of `torch.nn`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dlc.compiler.op import Example, Op
from dlc.compiler.types import ShapeError

from .examples import Case, read
from .targets import Torch


def refusal(kind: type[Op], *inputs: Any, **static: Any) -> ShapeError:
    """The error that the rule raises for these types, in the words of examples."""
    case = read(kind, Example(*inputs, gives="", **static))
    with pytest.raises(ShapeError) as caught:
        case.op.results(*case.inputs)
    return caught.value


def example(kind: type[Op], *inputs: Any, **static: Any) -> Case:
    """A case whose results are what `infer` says."""
    case = read(kind, Example(*inputs, gives="", **static))
    gives = case.op.results(*case.inputs)
    return replace(case, gives=gives)


def evaluate(case: Case, *inputs: torch.Tensor, weights: dict[str, torch.Tensor] | None = None) -> Any:
    """What the emitted PyTorch gives for these tensors, with these weights under their own names."""
    network = Torch(case)
    if weights is not None:
        part = getattr(network.module, case.op.name)
        part.load_state_dict(weights, strict=True)
    results = network([value.detach().numpy() for value in inputs])
    return results if len(results) > 1 else results[0]


def same_start(case: Case, module: torch.nn.Module) -> None:
    """The weights that `weights` draws have the spread of those that the module of `torch.nn` draws for itself."""
    random = np.random.default_rng(0)
    state = module.state_dict()
    for name, weight in case.op.weights(*case.inputs).items():
        drawn = weight.init.draw(random, tuple(map(int, weight.shape)))
        theirs = state[name].double().numpy()
        assert drawn.shape == theirs.shape
        few = theirs.size < 100
        assert np.std(drawn) == pytest.approx(np.std(theirs), rel=0.6 if few else 0.2, abs=1e-9)
        assert np.abs(drawn).max() == pytest.approx(np.abs(theirs).max(), rel=0.35, abs=1e-9)
