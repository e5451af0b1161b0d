"""Which version of the standard a model is written in: the oldest that has all its operators.

onnxruntime has no kernels for the random operators of opset 22 and later, so a graph that draws numbers is written in
21, and its operations do without what came after that.
"""

from __future__ import annotations

from collections.abc import Iterable

OPSET = 21  # what is needed without any of those below
SINCE = {"Attention": 23, "RMSNormalization": 23, "RotaryEmbedding": 23}  # of which opset 24 and 25 are newer than ours
NEWEST = max(SINCE.values())

_IR_VERSIONS = {21: 10, 23: 11}  # that of each opset's first release


def opset_for(kinds: Iterable[str]) -> int:
    """The oldest opset in which a model with these standard operators can be written as we write them."""
    return max((SINCE.get(kind, OPSET) for kind in kinds), default=OPSET)


def ir_version(opset: int) -> int:
    return _IR_VERSIONS[opset]
