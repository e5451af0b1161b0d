"""What can keep a model from being written in PyTorch: codes beside those of the export to ONNX."""

from __future__ import annotations

from dlc.grammar.diagnostics import Diagnostic


class TwoForms(Diagnostic):
    """An instance has one class in PyTorch, and it is applied to inputs of two kinds for which its block is not the
    same: a size is a number in its code, or a static `if` goes another way. Two instances, with weights of their own,
    have two classes; a size that the block reads off its input each time needs none.
    """

    code = "DL7006"
    example = (
        "block Scale(x: float[N, T]) -> float[N, T]:\n    weight w: float[] = 1\n    return w * x / T\n\n"
        "model M(x: float[N, 4], y: float[N, 8]) -> (a: float[N, 4], b: float[N, 8]):\n"
        "    scale = Scale()\n    return scale(x), scale(y)\n"
    )
