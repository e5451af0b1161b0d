"""What each operation says of what it reads covers what it does read: every example, every input, every axis."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
import torch

from dlc.compiler.flow.analysis import Analysis
from dlc.compiler.flow.reading import WHOLE, Flow, Near, along, unread
from dlc.compiler.op import Op, operations
from tests.compiler.ops.examples import Case, cases, draw
from tests.compiler.ops.targets import Torch

from .perturbing import Array, changes, covers

READING = [case for case in cases() if case.tensors and not case.models]


WAYS = [
    pytest.param(case, training, id=f"{case.id} {'training' if training else 'evaluation'}")
    for case in READING
    for training in (False, True)
    if case.op.stateful or not training
]


@pytest.mark.parametrize(("case", "training"), WAYS)
def test_what_is_said_covers_what_is_read(case: Case, training: bool) -> None:
    assert not list(_uncovered(case, training))


def _uncovered(case: Case, training: bool) -> Iterator[str]:
    """The elements of results that change with a position that they are not said to depend on."""
    graph = case.graph()
    module = Torch(case)
    module.module.train(training)

    def run(arrays: Sequence[Array]) -> list[Array]:
        torch.manual_seed(0)
        with torch.no_grad():
            return [result.numpy() for result in module(arrays)]

    for second in (False, True):
        binding = case.binding(second)
        arrays = case.arrays(binding)
        random = np.random.default_rng(7)
        for place, value in enumerate(graph.inputs.values()):
            fresh = draw(random, value.type, binding, case.example.positive)
            if case.example.definite:
                fresh = arrays[place] * np.float32(1.01)
            for axis in range(value.type.rank):
                states = Analysis(value, axis, training=training).run(graph)
                for position, changed in changes(run, arrays, place, axis, fresh):
                    for output, elements in zip(graph.outputs, changed, strict=True):
                        for element in np.argwhere(elements):
                            if not covers(states.get(output, []), element, position, binding):
                                yield f"input {place} at {position} of axis {axis} is read for {tuple(element)}"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cumsum", lambda self, to, x: along(x, to[0], {})),
        ("softmax", lambda self, to, x: along(x, to[0], {})),
        ("conv", lambda self, to, x: along(x, to[0], {1: WHOLE, 2: Near(2, -1, 0), 3: Near(3, -1, 0)})),
        ("flip", lambda self, to, x: along(x, to[0], {})),
        ("sum", lambda self, to, x: unread(to[0], x)),
    ],
)
def test_an_operation_that_says_too_little_is_found(
    name: str, says: Callable[..., Flow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations()[name], "flow", says)
    assert list(_uncovered(next(case for case in READING if case.op.name == name), training=False))


def test_most_operations_say_what_they_read() -> None:
    """The others depend on all: losses and metrics that are one number, and what cannot be told more closely."""
    silent = sorted(name for name, kind in operations().items() if kind.flow is Op.flow)
    assert len(silent) <= 40, " ".join(silent)
