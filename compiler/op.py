"""What an operation is: one class with its documentation, parameters, shape rule, both lowerings and examples.

An operation is registered under its name in the language by being defined. Its tensor parameters are those of
`infer`, its static parameters are the fields of the class, and its docstring is what users read.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeGuard, cast

from dlc.compiler.checked import Checked
from dlc.compiler.dim import Dim
from dlc.compiler.flow.reading import Flow, everything
from dlc.compiler.init import Init
from dlc.compiler.kept import Casting, Kept, Tape
from dlc.compiler.types import DType, Operand, Tensor
from dlc.compiler.validation import Before, Bounds, Described

if TYPE_CHECKING:
    from dlc.compiler.flow.known import Known
    from dlc.compiler.onnx.context import OnnxContext, OnnxValue
    from dlc.compiler.torch.context import Code, TorchContext


def _as_dim(value: Any) -> Any:
    return Dim.of(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _as_int(value: Any) -> Any:
    return value.constant if isinstance(value, Dim) and value.is_constant else value


def _as_float(value: Any) -> Any:
    number = _as_int(value)
    return float(number) if isinstance(number, int) and not isinstance(number, bool) else number


def _as_tuple(value: Any) -> Any:
    return tuple(value) if _is_sequence(value) else value


def _is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


def _as_extents(least: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        given: tuple[Any, ...] = tuple(value) if _is_sequence(value) else (value,)
        sizes = tuple(map(_as_int, given))
        if not sizes or not all(isinstance(size, int) and size >= least for size in sizes):
            raise ValueError(f"a number from {least} up, or a list with one for each axis, is due")
        return sizes if isinstance(value, list | tuple) else sizes[0]

    return check


def _as_pairs(value: Any) -> Any:
    return tuple(cast("dict[str, Any]", value).items()) if isinstance(value, dict) else value


# The vocabulary of static parameters. Sizes may be symbolic; counts and strides may not.
Size = Annotated[Dim, Before(_as_dim)]
Int = Annotated[int, Before(_as_int)]
Positive = Annotated[int, Before(_as_int), Bounds(gt=0)]
NonNegative = Annotated[int, Before(_as_int), Bounds(ge=0)]
Float = Annotated[float, Before(_as_float)]
PositiveFloat = Annotated[float, Before(_as_float), Bounds(gt=0)]
Probability = Annotated[float, Before(_as_float), Bounds(ge=0, le=1)]
Sizes = Annotated[tuple[Size, ...], Before(_as_tuple)]
Ints = Annotated[tuple[Int, ...], Before(_as_tuple)]
Named = Annotated[tuple[tuple[str, Size], ...], Before(_as_pairs)]
# One number for all spatial axes of an image, or one for each.
Extents = Annotated[int | tuple[int, ...], Before(_as_extents(1)), Described("int > 0, or a list of one for each axis")]
Margins = Annotated[
    int | tuple[int, ...],
    Before(_as_extents(0)),
    Described("int >= 0, or a list of one for each axis"),
]


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor that a part of a network owns: its shape, how it starts, and whether it is learned."""

    shape: tuple[Dim, ...]
    init: Init
    trainable: bool = True
    dtype: DType = DType.FLOAT


class Example:
    """A call of an operation, for its documentation and its tests.

    Positional strings are the tensor parameters' types: `"N T 8"` is float[N, T, 8], `"int N T < 50"` an int tensor
    with a range, `"bool N"` one of bools; a number stands for a static operand, none for an absent optional tensor.
    Keywords are the static parameters. `gives` are the results' types, in the same words. `tolerance` is how far
    onnxruntime may lie from PyTorch (relative to the largest magnitude); `smooth` says whether gradients can be
    compared with finite differences; `positive` draws inputs from (0.1, 2) rather than a normal distribution;
    `definite` makes symmetric positive definite matrices of them.
    """

    def __init__(
        self,
        *inputs: str | float | None,
        gives: str | tuple[str, ...],
        tolerance: float = 1e-5,
        smooth: bool = True,
        positive: bool = False,
        definite: bool = False,
        **static: Any,
    ) -> None:
        self.inputs = inputs
        self.gives = (gives,) if isinstance(gives, str) else gives
        self.tolerance = tolerance
        self.smooth = smooth
        self.positive = positive
        self.definite = definite
        self.static = static


@dataclass(frozen=True, slots=True)
class TensorParameter:
    """A tensor parameter. `scalar`: a static number may stand in its place. `model`: takes an instance's weights."""

    name: str
    optional: bool
    variadic: bool
    scalar: bool
    tensor: bool
    model: bool


@dataclass(frozen=True, slots=True)
class StaticParameter:
    """A static parameter. `variadic`: takes all positional static values that are left, as a tuple."""

    name: str
    required: bool
    default: Any
    variadic: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """`keywords`: the static parameter that takes names which are no parameter's."""

    tensors: tuple[TensorParameter, ...]
    statics: tuple[StaticParameter, ...]
    keywords: str | None


class Op(Checked):
    """An operation with its static parameters given: a function from tensor types to tensor types.

    A subclass defines `infer`, whose parameters are the operation's tensor parameters; annotations tell what may
    stand there (`Tensor`, `Operand` for a tensor or a static number, `Tensor | None = None` for an optional one,
    `*xs: Tensor` for any number, `Model` for the weights of an instance). It defines `onnx` or says in `no_onnx` why
    it cannot, and `torch`, or `torch_module` where a module of `torch.nn` owns its weights.
    """

    name: ClassVar[str]
    examples: ClassVar[tuple[Example, ...]] = ()
    variadic: ClassVar[str | None] = None  # the static field that takes what positional values are left
    keywords: ClassVar[str | None] = None  # the static field, of `Named`, that takes names that are no parameter's
    no_onnx: ClassVar[str | None] = None
    noun: ClassVar[str | None] = None  # what a result is called in PyTorch where the spec gives it no name
    hidden: ClassVar[bool] = False  # written as an operator or an index, not called by name
    stateful: ClassVar[bool] = False  # behaves otherwise in training than in evaluation
    random: ClassVar[bool] = False
    view: ClassVar[bool] = False  # its results lie in the memory of the first input, as far as strides can say how
    kept: ClassVar[Kept | None] = None  # what every call keeps for gradients, where it is always the same
    casting: ClassVar[Casting] = Casting.WIDEST
    differentiable: ClassVar[bool] = True  # by its float inputs, where its result is one of floats
    promotes: ClassVar[bool] = False  # ints among its inputs are cast before it where others are floats
    passes: ClassVar[bool] = False  # hands the gradient of its result on as it is, to inputs of the same shape

    def __init_subclass__(cls, name: str | None = None, abstract: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        if abstract:
            return
        if not cls.__doc__:
            raise TypeError(f"operation {cls.name} has no documentation")
        if not cls.examples:
            raise TypeError(f"operation {cls.name} has no examples")
        if not hasattr(cls, "infer"):
            raise TypeError(f"operation {cls.name} has no shape rule")
        if cls.onnx is Op.onnx and cls.no_onnx is None:
            raise TypeError(f"operation {cls.name} neither lowers to ONNX nor says in no_onnx why it cannot")
        if cls.torch is Op.torch and cls.torch_module is Op.torch_module:
            raise TypeError(f"operation {cls.name} has no lowering to PyTorch")
        if cls.name in _REGISTRY:
            raise TypeError(f"two operations are called {cls.name}")
        _REGISTRY[cls.name] = cls

    if TYPE_CHECKING:

        def infer(self, *inputs: Any, **_: Any) -> Any:
            """The types of the results for inputs of these types. Raises ShapeError."""

    # Nothing is ever passed by name: `**_` tells type checkers that an override may name its own inputs.

    def weights(self, *inputs: Any, **_: Any) -> dict[str, Weight]:
        """The weights that one instance of this operation owns, by name, for inputs of these types."""
        return {}

    def initialised(self) -> dict[str, Init]:
        """The weights that the spec starts otherwise than their module of `torch.nn` does by itself."""
        return {}

    def torch(self, t: TorchContext, *inputs: Any, **_: Any) -> Code:
        """The PyTorch expression for inputs given as code; by default a call of the operation's own module."""
        return t.call(t.module, *inputs)

    def torch_module(self, t: TorchContext, *inputs: Any, **_: Any) -> str:
        """The constructor of the `torch.nn` module that owns the weights, for inputs of these types."""
        raise NotImplementedError(f"{self.name} owns no module")

    def onnx(self, g: OnnxContext, *inputs: Any, **_: Any) -> OnnxValue | tuple[OnnxValue, ...]:
        """The ONNX nodes for inputs given as values."""
        raise NotImplementedError(f"{self.name}: {self.no_onnx}")

    def splits(self, *inputs: Any, **_: Any) -> bool:
        """Whether the mean over batches of this scalar, or matrix, is not that of them all together.

        Then `tally` and `score` measure it over many batches.
        """
        return False

    def tally(self, t: TorchContext, *inputs: Any, **_: Any) -> Code:
        """What a batch adds to the measure of many.

        A tuple of tensors is summed over batches, a list of tensors joined along axis 0, a scalar averaged over
        examples.
        """
        raise NotImplementedError(f"{self.name} does not split")

    def score(self, t: TorchContext, tally: Code) -> Code:
        """The measure of all batches from what they added, a tensor or several."""
        raise NotImplementedError(f"{self.name} does not split")

    def macs(self, *inputs: Any, **_: Any) -> Dim:
        """Multiply-adds for inputs of these types."""
        return Dim.of(0)

    def steps(self, *inputs: Any, **_: Any) -> Dim:
        """How many computations must follow one another in a call."""
        return Dim.of(1)

    def keeps(self, tape: Tape, to: tuple[Tensor, ...], *inputs: Any, **_: Any) -> Kept:
        """What a call that gradients go through keeps for them, results being of the types `to`.

        An operation that does not say keeps all that it reads and gives.
        """
        return self.kept or Kept(tuple(range(len(inputs))), tuple(range(len(to))))

    def shares(self, *inputs: Any, **_: Any) -> bool:
        """Whether the results may lie in the memory of the first input."""
        return self.view

    def flow(self, to: tuple[Tensor, ...], *inputs: Any, **_: Any) -> Flow | tuple[Flow, ...]:
        """How results of the types `to` depend on inputs of these types, the same for all of them or one for each.

        An operation that does not say depends on all of all inputs. What it says must hold: claims are proved by it.
        """
        return tuple(everything(result, *inputs) for result in to)

    def flow_in_training(self, to: tuple[Tensor, ...], *inputs: Any, **_: Any) -> Flow | tuple[Flow, ...]:
        """The same in training, where that is otherwise."""
        return self.flow(to, *inputs)

    def known(self, to: Tensor, *operands: Any, **_: Any) -> Known | None:
        """What is known of the elements of a result of the type `to`, if it is made element by element, or of nothing.

        `operands` speak of positions in the result.
        """
        return None

    @classmethod
    @cache
    def signature(cls) -> Signature:
        """The tensor parameters, read from `infer`, and the static ones, from the fields."""
        tensors: list[TensorParameter] = []
        for parameter in list(inspect.signature(cls.infer).parameters.values())[1:]:
            kinds = {kind.strip() for kind in str(parameter.annotation).split("|")}
            tensors.append(
                TensorParameter(
                    parameter.name,
                    optional=parameter.default is None,
                    variadic=parameter.kind is parameter.VAR_POSITIONAL,
                    scalar="Operand" in kinds,
                    tensor=bool(kinds & {"Operand", "Tensor"}),
                    model="Model" in kinds,
                )
            )
        statics = tuple(
            StaticParameter(
                name,
                field.required,
                field.default,
                name == cls.variadic,
            )
            for name, field in cls.fields().items()
        )
        return Signature(tuple(tensors), statics, cls.keywords)

    @classmethod
    def operands(cls, inputs: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
        """Each input beside the name of its tensor parameter."""
        parameters = cls.signature().tensors
        for position, value in enumerate(inputs):
            yield parameters[min(position, len(parameters) - 1)].name, value

    def results(self, *inputs: Operand | None) -> tuple[Tensor, ...]:
        """The types of the results, always as a tuple. Raises ShapeError."""
        given: Any = self.infer(*inputs)
        return tuple(given) if _is_sequence(given) else (given,)


_REGISTRY: dict[str, type[Op]] = {}


def operations() -> dict[str, type[Op]]:
    """Every operation by its name, those written as operators too."""
    import_module("dlc.compiler.ops")  # defining an operation registers it
    return _REGISTRY
