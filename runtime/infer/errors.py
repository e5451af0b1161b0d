"""What can keep an exported model from being opened or called: a class for each code, `DL81…`."""

from __future__ import annotations

from dlc.grammar.diagnostics import Diagnostic


class UnreadableModel(Diagnostic):
    """A model file is missing, or is not an ONNX model that dlc has written, or is damaged."""

    code = "DL8101"
    example = "dlc run missing.onnx --in x=x.npy"


class ForeignModel(Diagnostic):
    """A model was not exported by dlc. What it computes, and what its inputs must satisfy, is not known from a spec,
    so it is not opened.
    """

    code = "DL8102"
    example = "dlc run resnet_from_elsewhere.onnx --in x=x.npy"


class UnsafeModel(Diagnostic):
    """A model keeps its weights in a file outside its own folder, or behind a link. Such a file is not read, since
    the model would choose what it is.
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
