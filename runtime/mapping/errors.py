"""What can be wrong with a mapping file, or with the weights that it maps: a class for each code, `DL82…`."""

from __future__ import annotations

from dlc.grammar.diagnostics import Diagnostic


class UnreadableMapping(Diagnostic):
    """A mapping file is missing, or is not text in UTF-8, or has more than a million bytes."""

    code = "DL8201"
    example = "$ dlc compile gpt2.dl --to onnx -o gpt2.onnx --weights gpt2.safetensors --map gpt3.map\n"


class UnreadableTensors(Diagnostic):
    """The file whose tensors are mapped is missing, or is no .safetensors file, or is damaged. Files of other formats,
    which are mostly pickles that could run code, are not read."""

    code = "DL8202"
    example = "$ dlc compile gpt2.dl --to onnx -o gpt2.onnx --weights pytorch_model.bin --map gpt2.map\n"


class MappingSyntax(Diagnostic):
    """A line of a mapping file is none that it can have. Each is one of `THEIRS -> OURS`, with steps such as
    `transpose`, `split(axis=0)` and `concat(axis=0)` in between, `THEIRS == OURS`, `ignore THEIRS`, `initial OURS`,
    `prefix THEIRS -> OURS`, `no prefix` and `model NAME`; `optional` may stand before what need not be there."""

    code = "DL8203"
    example = "wte.weight -> transposed -> embed.weight\n"


class MatchesNothing(Diagnostic):
    """A line of a mapping file speaks of tensors that the file of weights does not hold, or of weights that the model
    does not have. What some files hold and others do not is marked `optional`."""

    code = "DL8204"
    example = "wte.wieght -> embed.weight\n"


class MappedTwice(Diagnostic):
    """Two lines of a mapping file give a value to the same weight, or one ignores a tensor that another uses. Neither
    of them goes first: the patterns must be made to differ."""

    code = "DL8205"
    example = "wte.weight -> embed.weight\nlm_head.weight -> embed.weight\n"


class UnfitTensor(Diagnostic):
    """A tensor does not have the shape or the element type of the weight that it is given to, after the steps of its
    line. An element type may widen, as from float16 to float; where it is to narrow, the line says `cast`."""

    code = "DL8206"
    example = "h.{i}.mlp.c_fc.weight -> layers.{i}.MLP.linear.weight  # which PyTorch keeps transposed\n"


class TensorsDiffer(Diagnostic):
    """A line `THEIRS == OURS` says that a tensor holds again what a weight is given, so that nothing is lost when it is
    dropped, and the two differ."""

    code = "DL8207"
    example = "lm_head.weight == embed.weight  # of a model whose two were trained apart\n"


class UnmappedTensor(Diagnostic):
    """The file of weights holds tensors of which no line of the mapping file speaks. What is not needed is told by
    `ignore`, so that nothing is dropped unseen."""

    code = "DL8208"
    example = "wte.weight -> embed.weight  # where the file holds wpe.weight too\n"


class WeightNotGiven(Diagnostic):
    """No line of the mapping file gives a value to a weight of the model. Those that are to start as the spec says are
    told by `initial`, so that no weight is left untrained unseen."""

    code = "DL8209"
    example = "wte.weight -> embed.weight  # where the model has the weight `place` too\n"
