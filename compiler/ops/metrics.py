"""How good predictions of numbers and of sequences are, as a scalar. What is reported is computed from a whole part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.compiler.op import Example, Int, Op, PositiveFloat
from dlc.compiler.ops.class_losses import CrossEntropy, class_axis
from dlc.compiler.ops.losses import as_type, require_classes, require_target
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import Tensor, require_axes, require_float

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

_R2_PARTS = '''\
def r2_parts(prediction, target):
    """The number of rows; of each column the squared errors, the squared spread, and the mean."""
    count, mean = target.new_full((1,), len(target)), target.mean(0, keepdim=True)
    errors = [(target - each).square().sum(0, keepdim=True) for each in (prediction, mean)]
    return [count, *errors, mean]'''
_R2 = '''\
def r2_score(count, error, spread, mean):
    """The share of each column's variance that is explained, averaged, from parts of the rows."""
    count = count.reshape(-1, *[1] * (mean.ndim - 1))
    centre = (count * mean).sum(0) / count.sum()
    spread = spread.sum(0) + (count * (mean - centre).square()).sum(0)
    return (1 - error.sum(0) / spread).mean()'''


class Regression(Op, abstract=True):
    """A measure between predictions and targets of the same shape."""

    def infer(self, prediction: Tensor, target: Tensor) -> Tensor:
        require_float("prediction", prediction)
        require_target("target", target, "prediction", prediction)
        return Tensor(prediction.dtype, ())

    def splits(self, *_: Any) -> bool:
        return True

    def torch(self, t: TorchContext, prediction: Code, target: Code) -> Code:
        return self.score(t, self.tally(t, prediction, target))

    def tally(self, t: TorchContext, prediction: Code, target: Code) -> Code:
        return t.call("F.mse_loss", prediction, as_type(t, target, t.inputs[1], t.inputs[0].dtype))


class Rmse(Regression):
    """The root of the mean squared difference."""

    examples = (Example("N T", "N T", gives=""), Example("N", "int N", gives=""))

    def score(self, t: TorchContext, tally: Code) -> Code:
        return t.method(tally, "sqrt")

    def onnx(self, g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
        return g.op("Sqrt", _mse(g, prediction, target))


class R2(Regression, name="r2"):
    """The share of the target's variance that is explained: 1 for a perfect prediction, 0 for the target's mean.

    It is taken over axis 0 and averaged over what other axes there are.
    """

    examples = (Example("N", "N", gives="", tolerance=1e-4), Example("N 3", "N 3", gives="", tolerance=1e-4))

    def infer(self, prediction: Tensor, target: Tensor) -> Tensor:
        require_axes("prediction", prediction, 1)
        return super().infer(prediction, target)

    def tally(self, t: TorchContext, prediction: Code, target: Code) -> Code:
        target = as_type(t, target, t.inputs[1], t.inputs[0].dtype)
        return t.call(t.defining(_R2_PARTS), prediction, target)

    def score(self, t: TorchContext, tally: Code) -> Code:
        return t.call(t.defining(_R2), Code(f"*{tally}"))

    def onnx(self, g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
        dtype, first = g.inputs[0].dtype, g.ints([0])
        target = g.cast(target, dtype)
        left = g.op("ReduceSumSquare", g.op("Sub", target, prediction), first, keepdims=0)
        centred = g.op("Sub", target, g.op("ReduceMean", target, first, keepdims=1))
        spread = g.op("ReduceSumSquare", centred, first, keepdims=0)
        return g.op("ReduceMean", g.op("Sub", g.constant(1.0, dtype), g.op("Div", left, spread)), keepdims=0)


class Psnr(Regression):
    """The peak signal-to-noise ratio in decibels, of images whose values go up to `peak`."""

    peak: PositiveFloat = 1.0
    examples = (Example("N C H W", "N C H W", gives=""), Example("N", "N", peak=255.0, gives=""))

    def score(self, t: TorchContext, tally: Code) -> Code:
        error = tally if self.peak == 1 else t.binary("/", tally, t.literal(self.peak**2))
        return t.binary("*", t.literal(-10), t.call("torch.log10", error))

    def onnx(self, g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
        import math

        dtype = g.inputs[0].dtype
        share = g.op("Div", _mse(g, prediction, target), g.constant(self.peak**2, dtype))
        return g.op("Mul", g.op("Log", share), g.constant(-10 / math.log(10), dtype))


class Perplexity(Op):
    """e to the power of the mean cross-entropy: among how many classes the prediction is in doubt."""

    ignore: Int | None = None
    axis: Int | None = None
    examples = (
        Example("N T V", "int N T < V", gives=""),
        Example("N V", "int N < V", ignore=1, gives=""),
    )

    def infer(self, logits: Tensor, target: Tensor) -> Tensor:
        require_float("logits", logits)
        axis = class_axis(logits, target, self.axis)
        require_classes(target, logits.shape[axis])
        return Tensor(logits.dtype, ())

    def torch(self, t: TorchContext, logits: Code, target: Code) -> Code:
        return t.method(self._entropy.torch(t, logits, target), "exp")

    def splits(self, *_: Any) -> bool:
        return True

    def tally(self, t: TorchContext, logits: Code, target: Code) -> Code:
        whole = self._entropy
        return (whole.torch if self.ignore is None else whole.tally)(t, logits, target)

    def score(self, t: TorchContext, tally: Code) -> Code:
        return t.method(tally if self.ignore is None else self._entropy.score(t, tally), "exp")

    def onnx(self, g: OnnxContext, logits: OnnxValue, target: OnnxValue) -> OnnxValue:
        return g.op("Exp", self._entropy.onnx(g, logits, target))

    @property
    def _entropy(self) -> Any:
        return CrossEntropy(ignore=self.ignore, axis=self.axis)


def _mse(g: OnnxContext, prediction: OnnxValue, target: OnnxValue) -> OnnxValue:
    difference = g.op("Sub", prediction, g.cast(target, g.inputs[0].dtype))
    return g.op("ReduceMean", g.op("Mul", difference, difference), keepdims=0)
