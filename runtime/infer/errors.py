"""What can keep an exported model from being opened or called: a class for each code, `DL81…`."""

from __future__ import annotations

from dlc.grammar.diagnostics import Diagnostic


class UnreadableModel(Diagnostic):
    """A model file is missing or damaged, is not an ONNX model, claims tensors that it does not hold, or is one that
    onnxruntime refuses.
    """

    code = "DL8101"
    example = "dlc run missing.onnx --in x=x.npy"


class UnsupportedModel(Diagnostic):
    """A model needs what the installed onnxruntime does not have: a newer version of ONNX or of its operators, or
    operators of somebody's own. Libraries with custom operators are programs, and are not loaded.
    """

    code = "DL8102"
    example = "dlc run model.onnx --in x=x.npy  # whose operators are those of opset 999"


class UnsafeModel(Diagnostic):
    """A model keeps its weights in a file outside its own folder, behind a link or a hard link, or in what is no file
    at all. It is not read, since the model would choose what it is.
    """

    code = "DL8103"
    example = "dlc run model.onnx --in x=x.npy  # whose weights are in ../../secret.data"


class UnknownInput(Diagnostic):
    """A value is given for an input that the model does not have, or an input is given no value."""

    code = "DL8104"
    example = "dlc run model.onnx --in imagee=digit.png"


class InputType(Diagnostic):
    """An input has an element type that does not go into the model's without loss, such as float64 into float."""

    code = "DL8105"
    example = "dlc run model.onnx --in tokens=fractions.npy"


class InputShape(Diagnostic):
    """An input has another number of axes, or another size, than the model declares, or two inputs give the same
    symbol different values.
    """

    code = "DL8106"
    example = "dlc run model.onnx --in image=wide.npy"


class InputRange(Diagnostic):
    """An int input has an element outside the range that the model declares, as in `tokens: int[N, T] < vocab`."""

    code = "DL8107"
    example = "dlc run model.onnx --in tokens=[[50257]]"


class RequirementFailed(Diagnostic):
    """The sizes of the inputs break a `require` of the spec."""

    code = "DL8108"
    example = "dlc run model.onnx --in tokens=long.npy  # where the spec has: require T <= 1024"


class UnreadableInput(Diagnostic):
    """The file or text given for an input is missing, malformed, or of a kind that is not known. Known are .npy,
    .npz, .csv, .txt, .png and .jpg, and numbers in brackets.
    """

    code = "DL8109"
    example = "dlc run model.onnx --in x=values.pickle"


class RunFailed(Diagnostic):
    """onnxruntime stopped while it ran a model, most often because memory ran out. The message names the operation
    and, where it is known, its line in the spec.
    """

    code = "DL8110"
    example = "dlc run model.onnx --in image=huge.npy"


class LimitReached(Diagnostic):
    """A model took up more memory or time than a model may that is run in a process of its own. `--memory` and
    `--seconds` set the limits.
    """

    code = "DL8111"
    example = "dlc run model.onnx --in x=x.npy  # which repeats its input 2**40 times"


class ModelCrashed(Diagnostic):
    """The process in which a model was run has ended by itself, as by a division that the processor refuses. It was a
    process of its own, so that nothing else is lost.
    """

    code = "DL8112"
    example = "dlc run model.onnx --in x=x.npy  # which divides -2**63 by -1"


class UnknownProvider(Diagnostic):
    """onnxruntime computes by execution providers: CPU, CUDA, OpenVINO and others. The one that was asked for is not
    in the onnxruntime that is installed, or does not start here.
    """

    code = "DL8113"
    example = "dlc run model.onnx --in x=x.npy --provider CUDDA"
