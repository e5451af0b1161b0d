"""How good sequences of tokens are, as translations or summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlc.compiler.op import Example, Int, Op, Positive
from dlc.compiler.torch.context import Code, TorchContext
from dlc.compiler.types import DType, ShapeError, Tensor, agree, require_int, require_rank

if TYPE_CHECKING:
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue

_COUNTS = '''\
def ngram_counts(guess, target, order, padding=None):
    """For each length up to order, how many n-grams of the guesses are found in their targets, each as often as it
    occurs there, and how many there are; then how long the guesses and the targets are."""
    counts = guess != padding if padding is not None else torch.ones_like(guess, dtype=torch.bool)
    true = target != padding if padding is not None else torch.ones_like(target, dtype=torch.bool)
    lengths = torch.stack([counts.sum(), true.sum()])
    first = guess[:, :, None]
    tokens = (first == target[:, None], first == guess[:, None], counts)
    same, again, inside = tokens
    found, total = [], []
    for n in range(1, order + 1):
        if n > 1:
            same = same[:, :-1, :-1] & tokens[0][:, n - 1 :, n - 1 :]
            again = again[:, :-1, :-1] & tokens[1][:, n - 1 :, n - 1 :]
            inside = inside[:, :-1] & tokens[2][:, n - 1 :]
        found.append((inside & (again.tril(-1).sum(2) < same.sum(2))).sum())
        total.append(inside.sum())
    return torch.stack(found), torch.stack(total), lengths'''
_BLEU = '''\
def bleu_score(found, total, lengths):
    """The geometric mean of the shares of n-grams that are found, made less where the guesses are too short."""
    brevity = (1 - lengths[1] / lengths[0]).clamp(max=0)
    return (brevity + (found / total.clamp(min=1)).log().mean()).exp()'''


class Bleu(Op):
    """The BLEU score of sequences of tokens against a reference each. Papineni et al., 2002.

    guess: ints [N, S], target: ints [N, T]. It is the geometric mean of the shares of n-grams, for n up to `order`,
    that are found in the reference, times a penalty where guesses are shorter than references; n-grams of all
    sequences are counted together. The token `padding`, which fills the ends, does not count.
    """

    order: Positive = 4
    padding: Int | None = None
    examples = (
        Example("int N 12 < 3", "int N 12 < 3", gives="", tolerance=1e-4),
        Example("int N 9 < 4", "int N T < 4", order=2, padding=0, gives="", tolerance=1e-4),
    )

    def infer(self, guess: Tensor, target: Tensor) -> Tensor:
        for name, operand in (("guess", guess), ("target", target)):
            require_int(name, operand)
            require_rank(name, operand, 2)
        if not agree(guess.shape[0], target.shape[0]):
            raise ShapeError(
                "target",
                f"there are {target.shape[0]} references for {guess.shape[0]} sequences",
                label=str(target),
                against="guess",
                sizes=(target.shape[0], guess.shape[0]),
            )
        return Tensor(DType.FLOAT, ())

    def torch(self, t: TorchContext, guess: Code, target: Code) -> Code:
        return self.score(t, self.tally(t, guess, target))

    def splits(self, *_: Any) -> bool:
        return True

    def tally(self, t: TorchContext, guess: Code, target: Code) -> Code:
        padding = {} if self.padding is None else {"padding": self.padding}
        return t.call(t.defining(_COUNTS), guess, target, self.order, **padding)

    def score(self, t: TorchContext, tally: Code) -> Code:
        return t.call(t.defining(_BLEU), Code(f"*{tally}"))

    def onnx(self, g: OnnxContext, guess: OnnxValue, target: OnnxValue) -> OnnxValue:
        guess, target = (g.cast(each, DType.INT) for each in (guess, target))
        own = g.op("Unsqueeze", guess, g.ints([2]))
        same = first = g.op("Equal", own, g.op("Unsqueeze", target, g.ints([1])))
        again = second = g.op("Equal", own, g.op("Unsqueeze", guess, g.ints([1])))
        inside = counts = self._counts(g, guess)
        none = g.constant(0, DType.INT)
        shares: list[OnnxValue] = []
        for n in range(1, self.order + 1):
            if n > 1:
                same = g.op("And", _cut(g, same, 0, -1, [1, 2]), _cut(g, first, n - 1, _END, [1, 2]))
                again = g.op("And", _cut(g, again, 0, -1, [1, 2]), _cut(g, second, n - 1, _END, [1, 2]))
                inside = g.op("And", _cut(g, inside, 0, -1, [1]), _cut(g, counts, n - 1, _END, [1]))
            before = g.op("Trilu", g.cast(again, DType.INT), g.constant(-1, DType.INT), upper=0)
            rank, times = (
                g.op("ReduceSum", each, g.ints([2]), keepdims=0) for each in (before, g.cast(same, DType.INT))
            )
            found, total = (
                g.cast(g.op("ReduceSum", g.cast(each, DType.INT), keepdims=0), DType.FLOAT)
                for each in (g.op("And", inside, g.op("Less", rank, times)), inside)
            )
            shares.append(g.op("Log", g.op("Div", found, g.op("Max", total, g.constant(1.0, DType.FLOAT)))))
        guessed, true = (
            g.cast(g.op("ReduceSum", g.cast(self._counts(g, each), DType.INT), keepdims=0), DType.FLOAT)
            for each in (guess, target)
        )
        brevity = g.op("Sub", g.constant(1.0, DType.FLOAT), g.op("Div", true, guessed))
        brevity = g.op("Min", brevity, g.cast(none, DType.FLOAT))
        mean = g.op("Div", g.op("Sum", *shares), g.constant(float(self.order), DType.FLOAT))
        return g.op("Exp", g.op("Add", brevity, mean))

    def _counts(self, g: OnnxContext, tokens: OnnxValue) -> OnnxValue:
        """Which tokens count."""
        if self.padding is None:
            return g.op("Equal", tokens, tokens)
        return g.op("Not", g.op("Equal", tokens, g.constant(self.padding, DType.INT)))


_END = 2**31


def _cut(g: OnnxContext, values: OnnxValue, start: int, stop: int, axes: list[int]) -> OnnxValue:
    count = len(axes)
    return g.op("Slice", values, g.ints([start] * count), g.ints([stop] * count), g.ints(axes))
