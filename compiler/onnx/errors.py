"""What can keep a model from being exported: a class for each code, `DL7…`."""

from __future__ import annotations

from dlc.grammar.diagnostics import Diagnostic


class NoOnnxOperator(Diagnostic):
    """An operation cannot be written in ONNX, which has no operator for it, or no graph of operators. The model
    still compiles to PyTorch and trains; only its export is refused.
    """

    code = "DL7001"
    example = "model M(x: float[N, 4, 4]) -> float[N, 4, 4]:\n    return x -> cholesky\n"


class OpenSize(Diagnostic):
    """A size cannot be computed when an exported model runs: it depends on a dimension that no input has, or that
    the inputs' shapes do not determine.
    """

    code = "DL7002"
    example = "model M(x: float[H // 2]) -> float[H]:\n    return zeros(H)\n"


class WeightMismatch(Diagnostic):
    """The weights given for an export lack one of the model's, or hold it in another shape or element type."""

    code = "DL7003"
    example = "model M(x: float[N, 4]) -> float[N, 2]:\n    return x -> linear(2)  # with weights of another model\n"


class ExportDiffers(Diagnostic):
    """The exported model was run beside PyTorch on random inputs of several sizes, and does not compute the same. The
    report names the first operation whose results differ. This is a fault of the compiler or of onnxruntime, not of
    the spec: please report it with the spec.
    """

    code = "DL7004"
    example = (
        "model M(x: float[N, 4]) -> float[N, 4]:\n    return relu(x)  # compared with the export of another spec\n"
    )


class NoGradients(Diagnostic):
    """A procedure takes gradients, assigns weights, or computes with a model as the vector of its weights. ONNX runs
    models as they are and can do none of it; `dlc call` runs such a procedure in PyTorch.
    """

    code = "DL7007"
    example = (
        'data Digits:\n    source = sklearn("digits")\n    image: float[64] = flatten(images)\n'
        "train Fit on Digits:\n    ...\n    attack(image: float[N, 64]):\n"
        "        return grad(sum(net(image)), image)  # then exported by dlc export RUN --procedure attack\n"
    )


class NothingCompared(Diagnostic):
    """No sizes of the inputs were found at which the model runs, so its export could not be compared with PyTorch.
    The notes say why each attempt was refused.
    """

    code = "DL7005"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    require N > 5000\n    return relu(x)\n"


class PrecisionLost(Diagnostic):
    """In a lower precision the run's own metrics fall by more than `--max-drop` allows, or outputs lie further from
    those in single precision than rounding explains. The report gives all of them. `--precision fp16`, and int8 with
    ranges that are calibrated, or with ranges that are not, lose different things.
    """

    code = "DL7008"
    example = "dlc export run -o model.onnx --precision int8 --max-drop 0"


class NoKernels(Diagnostic):
    """onnxruntime's provider has no kernels that compute an operation in this precision, so a model in it would not
    open. For bfloat16 the processor's provider has almost none.
    """

    code = "DL7009"
    example = "dlc export run -o model.onnx --precision bf16"


class NothingQuantised(Diagnostic):
    """An export in 8-bit integers was asked for, and the model has nothing that would be computed in them: no product
    with a stored matrix, no table of at least eight numbers a row, no LSTM and, where ranges are calibrated, no
    convolution with stored weights.
    """

    code = "DL7010"
    example = (
        "model M(x: float[N, 1, 8, 8]) -> float[N, 4, 8, 8]:\n"
        "    return x -> conv(4, 3)  # exported by dlc export RUN --precision int8, without --calibrate\n"
    )
