"""How good predictions of classes are. What is reported is computed from all examples of a part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dlc.compiler.dim import Dim
from dlc.compiler.op import Example, Int, Op, Positive
from dlc.compiler.ops.class_losses import class_axis
from dlc.compiler.ops.guesses import (
    is_binary,
    one_hot_pair,
    onnx_one_hot_pair,
    onnx_positive,
    onnx_second_class,
    positive,
    require_binary,
    second_class,
)
from dlc.compiler.ops.losses import require_classes, unlike_shapes
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, ShapeError, Tensor, require_float, require_rank

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

_COUNTS = '''\
def class_counts(guess, target):
    """How often each class is guessed rightly, guessed, and true, of a row an example and a column a class."""
    return (guess * target).sum(0), guess.sum(0), target.sum(0)'''
_MACRO = '''\
def macro_average(scores, times):
    """The mean of the classes' scores, over those that occur at all."""
    seen = (times > 0).to(scores.dtype)
    return (scores * seen).sum() / seen.sum().clamp(min=1)'''
_SHARE = '''\
def {name}_score(right, guessed, true):
    """{about}, from how often each class is guessed rightly, guessed, and true."""
    return macro_average({share}.clamp(min=1), guessed + true)'''
_AUROC = '''\
def auroc_score(scores, target):
    """How often a positive scores above a negative, ties counting half."""
    positive, negative = scores[target], scores[~target].sort().values
    wins = torch.searchsorted(negative, positive) + torch.searchsorted(negative, positive, right=True)
    return wins.sum() / (2 * len(positive) * len(negative))'''


class Accuracy(Op):
    """The share of targets that are the class of the highest logit, or one of the `k` highest.

    Axes are those of `cross_entropy`. Where logits have the target's shape, there are two classes, and a positive
    logit says the second.
    """

    k: Positive = 1
    axis: Int | None = None
    examples = (
        Example("N V", "int N < V", gives=""),
        Example("N V", "int N < V", k=2, gives=""),
        Example("N V H W", "int N H W < V", gives=""),
        Example("N V H W", "int32 N H W < V", k=2, gives=""),
        Example("N", "int N < 2", gives=""),
        Example("N", "bool N", gives=""),
    )

    def infer(self, logits: Tensor, target: Tensor) -> Tensor:
        require_float("logits", logits)
        if is_binary(logits, target):
            require_binary(logits, target)
            if self.k > 1:
                raise ShapeError("k", "there are two classes, so one of the highest two is always right")
            return Tensor(DType.FLOAT, ())
        axis = class_axis(logits, target, self.axis)
        require_classes(target, logits.shape[axis])
        if logits.shape[axis].less(self.k):
            raise ShapeError("k", f"k is {self.k}, and there are {logits.shape[axis]} classes", against="logits")
        return Tensor(DType.FLOAT, ())

    def torch(self, t: TorchContext, logits: Code, target: Code) -> Code:
        type, goal = t.inputs
        if is_binary(type, goal):
            right = t.binary("==", positive(t, logits), second_class(t, target, goal))
        elif self.k == 1:
            right = t.binary("==", t.method(logits, "argmax", _axis(self, type, goal)), target)
        else:
            axis = _axis(self, type, goal)
            best = t.attribute(t.method(logits, "topk", self.k, dim=axis), "indices")
            right = t.method(t.binary("==", best, t.method(target, "unsqueeze", axis)), "any", axis)
        return t.method(t.method(right, "float"), "mean")

    def onnx(self, g: OnnxContext, logits: OnnxValue, target: OnnxValue) -> OnnxValue:
        type, goal = g.inputs
        if is_binary(type, goal):
            right = g.op("Equal", onnx_positive(g, logits), onnx_second_class(g, target))
            return g.op("ReduceMean", g.cast(right, DType.FLOAT), keepdims=0)
        axis = class_axis(type, goal, self.axis)
        target = g.cast(target, DType.INT)
        if self.k == 1:
            right = g.op("Equal", g.op("ArgMax", logits, axis=axis, keepdims=0), target)
            return g.op("ReduceMean", g.cast(right, DType.FLOAT), keepdims=0)
        best = g.multi("TopK", logits, g.ints([self.k]), results=2, axis=axis)[1]
        hits = g.cast(g.op("Equal", best, g.op("Unsqueeze", target, g.ints([axis]))), DType.FLOAT)
        return g.op("ReduceMean", g.op("ReduceMax", hits, g.ints([axis]), keepdims=0), keepdims=0)


class ClassScore(Op, abstract=True):
    """A score for each class, averaged over the classes that occur; of two classes, the score of the second.

    Axes and the form of two classes are those of `accuracy`.
    """

    axis: Int | None = None
    about: ClassVar[str]
    share: ClassVar[str]  # of a class, from how often it is guessed rightly, guessed and true, before it is clamped

    def infer(self, logits: Tensor, target: Tensor) -> Tensor:
        require_float("logits", logits)
        if is_binary(logits, target):
            require_binary(logits, target)
        else:
            require_classes(target, logits.shape[class_axis(logits, target, self.axis)])
        return Tensor(DType.FLOAT, ())

    def torch(self, t: TorchContext, logits: Code, target: Code) -> Code:
        return self.score(t, self.tally(t, logits, target))

    def splits(self, *_: Any) -> bool:
        return True

    def tally(self, t: TorchContext, logits: Code, target: Code) -> Code:
        return t.call(t.defining(_COUNTS), *one_hot_pair(t, logits, target, self.axis))

    def score(self, t: TorchContext, tally: Code) -> Code:
        t.defining(_MACRO)
        score = t.defining(_SHARE.format(name=self.name, about=self.about, share=self.share))
        return t.call(score, Code(f"*{tally}"))

    def onnx(self, g: OnnxContext, logits: OnnxValue, target: OnnxValue) -> OnnxValue:
        guess, goal = onnx_one_hot_pair(g, logits, target, self.axis)
        rows, one = g.ints([0]), g.constant(1.0, DType.FLOAT)
        right = g.op("ReduceSum", g.op("Mul", guess, goal), rows, keepdims=0)
        guessed, true = (g.op("ReduceSum", each, rows, keepdims=0) for each in (guess, goal))
        both = g.op("Add", guessed, true)
        scores = self.divide(g, right, guessed, true)
        seen = g.op("Min", both, one)
        total = g.op("Max", g.op("ReduceSum", seen, keepdims=0), one)
        return g.op("Div", g.op("ReduceSum", g.op("Mul", scores, seen), keepdims=0), total)

    def divide(self, g: OnnxContext, right: OnnxValue, guessed: OnnxValue, true: OnnxValue) -> OnnxValue:
        """The score of each class from how often it was guessed rightly, guessed, and true."""
        raise NotImplementedError


class Precision(ClassScore):
    """The share of a class's guesses that are right."""

    about = "The share of guesses that are right"
    share = "right / guessed"
    examples = (
        Example("N V", "int N < V", gives=""),
        Example("N V H W", "int N H W < V", gives=""),
        Example("N", "int N < 2", gives=""),
    )

    def divide(self, g: OnnxContext, right: OnnxValue, guessed: OnnxValue, true: OnnxValue) -> OnnxValue:
        return g.op("Div", right, g.op("Max", guessed, g.constant(1.0, DType.FLOAT)))


class Recall(ClassScore):
    """The share of a class's members that are found."""

    about = "The share of members that are found"
    share = "right / true"
    examples = (Example("N V", "int N < V", gives=""), Example("N", "bool N", gives=""))

    def divide(self, g: OnnxContext, right: OnnxValue, guessed: OnnxValue, true: OnnxValue) -> OnnxValue:
        return g.op("Div", right, g.op("Max", true, g.constant(1.0, DType.FLOAT)))


class F1(ClassScore, name="f1"):
    """The harmonic mean of precision and recall."""

    about = "The harmonic mean of precision and recall"
    share = "2 * right / (guessed + true)"
    examples = (Example("N V", "int N < V", gives=""), Example("N", "int N < 2", gives=""))

    def divide(self, g: OnnxContext, right: OnnxValue, guessed: OnnxValue, true: OnnxValue) -> OnnxValue:
        one = g.constant(1.0, DType.FLOAT)
        return g.op("Div", g.op("Add", right, right), g.op("Max", g.op("Add", guessed, true), one))


class Iou(ClassScore):
    """The intersection over the union of what is guessed and what is true. Jaccard, 1912."""

    about = "Intersection over union"
    share = "right / (guessed + true - right)"
    examples = (Example("N V H W", "int N H W < V", gives=""), Example("N", "int N < 2", gives=""))

    def divide(self, g: OnnxContext, right: OnnxValue, guessed: OnnxValue, true: OnnxValue) -> OnnxValue:
        union = g.op("Sub", g.op("Add", guessed, true), right)
        return g.op("Div", right, g.op("Max", union, g.constant(1.0, DType.FLOAT)))


class Auroc(Op):
    """The area under the receiver operating characteristic: how often a positive scores above a negative.

    Ties count half. Without a positive and a negative it is not a number.
    """

    examples = (Example("20", "int 20 < 2", gives=""), Example("20", "bool 20", gives=""))

    def infer(self, scores: Tensor, target: Tensor) -> Tensor:
        require_float("scores", scores)
        require_rank("scores", scores, 1)
        if not is_binary(scores, target):
            raise unlike_shapes("target", target, "scores", scores)
        require_binary(scores, target, "scores")
        return Tensor(DType.FLOAT, ())

    def torch(self, t: TorchContext, scores: Code, target: Code) -> Code:
        return t.call(t.defining(_AUROC), scores, second_class(t, target, t.inputs[1]))

    def splits(self, *_: Any) -> bool:
        return True

    def tally(self, t: TorchContext, scores: Code, target: Code) -> Code:
        return Code(f"[{scores}, {second_class(t, target, t.inputs[1])}]")

    def score(self, t: TorchContext, tally: Code) -> Code:
        return t.call(t.defining(_AUROC), Code(f"*{tally}"))

    def onnx(self, g: OnnxContext, scores: OnnxValue, target: OnnxValue) -> OnnxValue:
        column = g.ints([1])
        own = g.op("Unsqueeze", scores, column)
        above, level = (g.cast(g.op(kind, own, scores), DType.FLOAT) for kind in ("Greater", "Equal"))
        wins = g.op("Add", above, g.op("Mul", level, g.constant(0.5, DType.FLOAT)))
        true = onnx_second_class(g, target)
        yes = g.op("Unsqueeze", g.cast(true, DType.FLOAT), column)
        pairs = g.op("Mul", yes, g.cast(g.op("Not", true), DType.FLOAT))
        total = g.op("ReduceSum", pairs, keepdims=0)
        return g.op("Div", g.op("ReduceSum", g.op("Mul", wins, pairs), keepdims=0), total)


class Confusion(Op):
    """How often each class (a row each) was taken for each class (a column each), as floats.

    Axes and the form of two classes are those of `accuracy`.
    """

    axis: Int | None = None
    examples = (
        Example("N V", "int N < V", gives="V V"),
        Example("N T V", "int N T < V", gives="V V"),
    )

    def infer(self, logits: Tensor, target: Tensor) -> Tensor:
        require_float("logits", logits)
        axis = class_axis(logits, target, self.axis)
        require_classes(target, logits.shape[axis])
        return Tensor(DType.FLOAT, (logits.shape[axis], logits.shape[axis]))

    def torch(self, t: TorchContext, logits: Code, target: Code) -> Code:
        guess, true = (t.method(each, "float") for each in one_hot_pair(t, logits, target, self.axis))
        return t.binary("@", t.attribute(true, "T"), guess)

    def splits(self, *_: Any) -> bool:
        return True

    def tally(self, t: TorchContext, logits: Code, target: Code) -> Code:
        return Code(f"({self.torch(t, logits, target)},)")

    def score(self, t: TorchContext, tally: Code) -> Code:
        return t.index(tally, "0")

    def onnx(self, g: OnnxContext, logits: OnnxValue, target: OnnxValue) -> OnnxValue:
        guess, true = onnx_one_hot_pair(g, logits, target, self.axis)
        return g.op("MatMul", g.op("Transpose", true, perm=[1, 0]), guess)


def _axis(op: Accuracy, logits: Tensor, target: Tensor) -> Dim:
    """The axis of classes as a person writes it: the last is -1."""
    place = class_axis(logits, target, op.axis)
    return Dim.of(-1 if place == logits.rank - 1 else place)
