"""A claim of a random graph that is proved is true of it when its input is perturbed.

With DLC_LONG=1 in the environment there are 10,000 graphs instead of 200.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from dlc.compiler.dim import Dim
from dlc.compiler.flow import claims
from dlc.compiler.flow.symmetry import Pose, Way
from dlc.compiler.graph import Value
from dlc.compiler.op import Op

from .perturbing import Array, changes, differs
from .random_graphs import Drawn, draw, fresh

LONG = bool(os.environ.get("DLC_LONG"))
PARTS = 10
EACH = (10_000 if LONG else 200) // PARTS
KINDS = ("causal", "independent", "local", "equivariant")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_what_is_proved_is_true(part: int, record_property: pytest.RecordProperty) -> None:
    counts: Counter[str] = Counter()
    seed, made = part * 1_000_000, 0
    while made < EACH:
        seed += 1
        try:
            drawn = draw(seed)
            before = drawn(drawn.arrays)
            x = drawn.graph.inputs["x"]
            found = [name for axis in range(x.type.rank) for name in _tally(seed, drawn, before, x, axis)]
        except (
            RuntimeError,
            ValueError,
            IndexError,
        ):  # numbers that do not suit an operation, such as a singular matrix
            counts["unsuited"] += 1
            continue
        made += 1
        counts.update(found)
    for name, count in counts.items():
        record_property(name, count)
    assert counts["proved"] > EACH


def _tally(seed: int, drawn: Drawn, before: list[Array], x: Value, axis: int) -> Iterator[str]:
    moved = list(changes(drawn, drawn.arrays, 0, axis, fresh(seed, drawn)))
    turned = _permuted(seed, drawn, axis)
    # Sums in another order differ in their last digits; what hangs on these cannot be judged. Nor can draws: it is
    # their distribution that is permuted, which one draw does not show.
    near = drawn([(drawn.arrays[0] * np.float32(1 + 1e-6)), *drawn.arrays[1:]])
    judged = not any(isinstance(node.action, Op) and node.action.random for node in drawn.graph.nodes)
    size = x.type.shape[axis]
    for place, y in enumerate(drawn.graph.outputs):
        if not np.isfinite(before[place]).all():
            continue  # proofs are of finite numbers
        for own in (own for own, other in enumerate(y.type.shape) if other == size):
            pairs = {(int(at[own]), j) for j, changed in moved for at in np.argwhere(changed[place])}
            between = claims.Between(y, own, x, axis)
            reach = Dim.of(3)
            kinds = KINDS if judged and not differs(before[place], near[place]).any() else KINDS[:3]
            truths = {
                "causal": all(j <= i for i, j in pairs),
                "independent": all(j == i for i, j in pairs),
                "local": max([0, *(j - i for i, j in pairs)]) + max([0, *(i - j for i, j in pairs)]) < 3,
                "equivariant": not differs(np.take(before[place], turned[0], own), turned[1][place]).any(),
            }
            proofs = {
                "causal": claims.causal(drawn.graph, between),
                "independent": claims.independent(drawn.graph, between),
                "local": claims.local(drawn.graph, between, reach),
                "equivariant": _equivariant(drawn, x, axis, y, own),
            }
            for kind in kinds:
                proved = proofs[kind] is None
                assert truths[kind] or not proved, (kind, seed, place, own, axis)
                yield "proved" if proved else "refused, and true" if truths[kind] else "refused"
                if truths[kind]:
                    yield f"{kind} {'proved' if proved else 'missed'}"


def _permuted(seed: int, drawn: Drawn, axis: int) -> tuple[Array, list[Array]]:
    order = np.random.default_rng([seed, 2]).permutation(drawn.arrays[0].shape[axis])
    given = [np.ascontiguousarray(np.take(drawn.arrays[0], order, axis)), *drawn.arrays[1:]]
    return order, drawn(given)


def _equivariant(drawn: Drawn, x: Value, axis: int, y: Value, own: int) -> claims.Refuted | None:
    given: dict[Value, Pose] = {}
    for value in drawn.graph.inputs.values():
        moved = axis if value is x else None
        ways = (Way.PERMUTED if place == moved else Way.FIXED for place in range(value.type.rank))
        given[value] = Pose(tuple(ways))
    return claims.equivariant(drawn.graph, x.type.shape[axis], given, y, [own])
