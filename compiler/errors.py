"""What can be wrong with a spec's meaning: names and calls, shapes and types, static values, training, data."""

from __future__ import annotations

from dlc.grammar.diagnostics import Diagnostic

# --- DL2: names and calls ---------------------------------------------------------------------------------------


class UnknownName(Diagnostic):
    """A name is used that nothing in scope carries: no parameter, no name bound above, no declaration of the file,
    no import and no operation. Names bind from top to bottom, so a name must be bound above its first use."""

    code = "DL2001"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    return rellu(x)\n"


class DuplicateName(Diagnostic):
    """Two declarations of one file, or two parameters of one block, carry the same name."""

    code = "DL2002"
    example = "let width = 32\nlet width = 64\n"


class UnknownParameter(Diagnostic):
    """A call names a parameter that the operation or block does not have."""

    code = "DL2003"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    return linear(x, 4, biass=false)\n"


class MissingArgument(Diagnostic):
    """A parameter without a default is given no value."""

    code = "DL2004"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    return linear(x)\n"


class TooManyArguments(Diagnostic):
    """A call gives more values than the operation or block has parameters for."""

    code = "DL2005"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    return relu(x, x)\n"


class NotALayer(Diagnostic):
    """Something is called, or piped into, that is no operation, block or layer. A pipe binds looser than every
    operator, so `x -> f + y` pipes into `f + y`: write `(x -> f) + y`."""

    code = "DL2006"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    y = x * 2\n    return x -> y\n"


class UnknownAttribute(Diagnostic):
    """A value has no part of that name. Tensors have `.T`; instances have their parts and weights; records have
    their fields."""

    code = "DL2007"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    f = linear(4)\n    y = f(x)\n    return y * f.wait\n"


class NeverApplied(Diagnostic):
    """A layer is bound to a name and never applied, so its weights would have no size and no use."""

    code = "DL2008"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    f = linear(4)\n    return relu(x)\n"


class ImportFailed(Diagnostic):
    """An import names a file that is not there, lies outside the importing file's folder, or lacks the name."""

    code = "DL2009"
    example = "from .nowhere import Block\n"


class ImportCircle(Diagnostic):
    """Two files import each other, directly or through others."""

    code = "DL2010"
    example = "from .spec import Block  # in spec.dl itself\n"


class WrongCount(Diagnostic):
    """The number of values differs from the number of names, or of declared results."""

    code = "DL2011"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    a, b, c = x -> split(2, axis=1)\n    return x\n"


class NoReturn(Diagnostic):
    """A block ends without `return`, so it has no result."""

    code = "DL2012"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    y = relu(x)\n"


class Unreachable(Diagnostic):
    """A statement stands behind a `return` and would never be reached."""

    code = "DL2013"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    return x\n    y = relu(x)\n"


class DuplicateArgument(Diagnostic):
    """One parameter is given two values in one call."""

    code = "DL2014"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    return linear(x, 4, out=4)\n"


class Misplaced(Diagnostic):
    """A statement stands where it has no meaning: `minimize` outside of a training step, `weight` within one."""

    code = "DL2015"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    minimize sum(x)\n    return x\n"


class BadDeclaration(Diagnostic):
    """A parameter's declaration does not say what the parameter is: a tensor needs its type, a static parameter its
    type or a default."""

    code = "DL2016"
    example = "model M(x) -> float[N, 4]:\n    return x\n"


# --- DL3: shapes and element types ------------------------------------------------------------------------------


class ArgumentType(Diagnostic):
    """A tensor does not have the type that the block's parameter declares. A name that stands twice in the parameters'
    types stands for one size, so both places must agree."""

    code = "DL3001"
    example = (
        "block B(x: float[N, 8]) -> float[N, 8]:\n    return relu(x)\n\n"
        "model M(x: float[N, 4]) -> float[N, 8]:\n    return B(x)\n"
    )


class ShapeMismatch(Diagnostic):
    """The shapes of an operation's operands do not fit together, or do not fit its parameters. Two sizes fit when they
    are provably the same; element by element, a size of 1 fits every other."""

    code = "DL3002"
    example = "model M(x: float[N, 4], y: float[N, 5]) -> float[N, 4]:\n    return x + y\n"


class ElementType(Diagnostic):
    """An operation is given elements of a type that it cannot use. Ints become floats where they meet them; everything
    else is converted with `cast`."""

    code = "DL3003"
    example = "model M(x: bool[N, 4]) -> float[N, 4]:\n    return relu(x)\n"


class ResultType(Diagnostic):
    """What a block returns is not of the type that its head declares. A name first met in the result type is bound by
    what is returned; every other name must agree."""

    code = "DL3004"
    example = "model M(x: float[N, 4]) -> float[N, 5]:\n    return relu(x)\n"


class TensorExpected(Diagnostic):
    """A static value stands where a tensor is due, or a tensor where a value is due that must be known at compile
    time."""

    code = "DL3005"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    return linear(x, x)\n"


class InstanceDisagrees(Diagnostic):
    """One instance is applied to inputs that need weights of different sizes. The first application fixes them. Without
    a name, each application of a layer makes weights of its own."""

    code = "DL3006"
    example = "model M(x: float[N, 4], y: float[N, 5]) -> float[N, 8]:\n    f = linear(8)\n    return f(x) + f(y)\n"


class LoopChanges(Diagnostic):
    """A name that a loop carries from turn to turn has another type after the turn than before it. One body serves
    all turns, so the types must hold."""

    code = "DL3007"
    example = (
        "model M(x: float[N, 4]) -> float[N, 4]:\n    h = x\n    loop 3:\n        h = concat(h, x, axis=1)\n"
        "    return h\n"
    )


# --- DL4: static values and limits ------------------------------------------------------------------------------


class StaticType(Diagnostic):
    """A static value is of a kind that the operator, function or parameter cannot use."""

    code = "DL4001"
    example = 'let width = 32 + "wide"\n'


class BadParameter(Diagnostic):
    """A static parameter is outside of what the operation allows."""

    code = "DL4002"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    return dropout(x, 1.5)\n"


class Undecided(Diagnostic):
    """A decision at compile time depends on a dimension that is known only when the model runs. `require` is checked
    then; `if`, `for` and sizes of weights cannot wait."""

    code = "DL4003"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    if N == 1:\n        return relu(x)\n    return x\n"


class RequireFailed(Diagnostic):
    """A condition that the spec requires does not hold."""

    code = "DL4004"
    example = 'model M(x: float[N, 5]) -> float[N, 5]:\n    require 5 % 2 == 0, "the width is halved"\n    return x\n'


class LimitReached(Diagnostic):
    """The spec expands to more than a machine should be asked for: recursion without an end, a list of millions."""

    code = "DL4005"
    example = (
        "block B(x: float[N, 4]) -> float[N, 4]:\n    return x -> B\n\n"
        "model M(x: float[N, 4]) -> float[N, 4]:\n    return x -> B\n"
    )


class DivisionByZero(Diagnostic):
    """A static number is divided by zero."""

    code = "DL4006"
    example = "let share = 1 / 0\n"


class OpenWeight(Diagnostic):
    """The size of a weight depends on a dimension that is not known in numbers when the model is built. In training,
    dimensions come from the data; a model that is compiled by itself takes them from `--set d=10`."""

    code = "DL4007"
    example = (
        "model M(x: float[N, 4]) -> float[N, N]:\n    return linear(x, N)\n\n"
        'data D:\n    source = sklearn("iris")\n    x: float[4] = data\n\n'
        "train T on D:\n    net = M()\n    settings:\n        epochs = 1\n"
        "    step:\n        minimize mean(net(x))\n"
    )


class UnknownOverride(Diagnostic):
    """`--set` names something that the spec does not have."""

    code = "DL4009"
    example = "let width = 32  # checked with --set widht=64\n"


class OutOfRange(Diagnostic):
    """An index lies outside of a list, or a number outside of what can be represented."""

    code = "DL4010"
    example = "let sizes = [1, 2]\nlet third = sizes[2]\n"


class BadClaim(Diagnostic):
    """`ensure` states something that is no claim, or one about an axis or a value that it does not have. An axis is a
    dimension's name, or a number where several axes have that size."""

    code = "DL4011"
    example = "model M(x: float[N, 4]) -> float[N, 4]:\n    y = relu(x)\n    ensure casual(y, x, N)\n    return y\n"


class ClaimRefused(Diagnostic):
    """What `ensure` claims could not be proved. The report shows a way on which the forbidden dependence travels from
    the input to the result. A claim that holds may be refused all the same, where an operation could not be seen
    through, which the report then says; one that does not hold is never accepted."""

    code = "DL4012"
    example = (
        "model M(x: float[N, T, 4]) -> float[N, T, 4]:\n    y = x - mean(x, axis=1, keep=true)\n"
        "    ensure causal(y, x, T)\n    return y\n"
    )


# --- DL5: training ----------------------------------------------------------------------------------------------


class UnknownSetting(Diagnostic):
    """`settings` has an entry of a name that is not a setting."""

    code = "DL5001"
    example = (
        "model M(x: float[N, 4]) -> float[N]:\n    return x -> linear(1) -> squeeze(1)\n\n"
        'data D:\n    source = sklearn("iris")\n    x: float[4] = data\n\n'
        "train T on D:\n    net = M()\n    settings:\n        epochs = 1\n        bach = 64\n"
        "    step:\n        minimize mean(net(x))\n"
    )


class BadSetting(Diagnostic):
    """A setting has a value that it cannot take."""

    code = "DL5002"
    example = (
        "model M(x: float[N, 4]) -> float[N]:\n    return x -> linear(1) -> squeeze(1)\n\n"
        'data D:\n    source = sklearn("iris")\n    x: float[4] = data\n\n'
        "train T on D:\n    net = M()\n    settings:\n        epochs = 0\n    step:\n        minimize mean(net(x))\n"
    )


class LossNotScalar(Diagnostic):
    """What is minimised or reported is not a single float. Reduce it, as in `mean(...)`."""

    code = "DL5003"
    example = (
        "model M(x: float[N, 4]) -> float[N, 1]:\n    return x -> linear(1)\n\n"
        'data D:\n    source = sklearn("iris")\n    x: float[4] = data\n\n'
        "train T on D:\n    net = M()\n    settings:\n        epochs = 1\n    step:\n        minimize net(x)\n"
    )


class NothingTrained(Diagnostic):
    """A `train` block has no step, or an instance that nothing trains."""

    code = "DL5004"
    example = (
        "model M(x: float[N, 4]) -> float[N, 1]:\n    return x -> linear(1)\n\n"
        'data D:\n    source = sklearn("iris")\n    x: float[4] = data\n\n'
        "train T on D:\n    net = M()\n    settings:\n        epochs = 1\n"
        "    step:\n        y = net(x)\n        minimize mean(x)\n"
    )


class Stale(Diagnostic):
    """A tensor was computed with weights that the step has changed since, and is used to learn from. Compute it again
    after the change, or cut it off with `stop`."""

    code = "DL5005"
    example = (
        "model M(x: float[N, 4]) -> float[N, 1]:\n    return x -> linear(1)\n\n"
        'data D:\n    source = sklearn("iris")\n    x: float[4] = data\n\n'
        "train T on D:\n    a = M()\n    settings:\n        epochs = 1\n    step:\n"
        "        y = a(x)\n        minimize mean(y) over a\n        minimize mean(y * y) over a\n"
    )


class NeedsOver(Diagnostic):
    """A step with several `minimize` must say of each what it updates. In a step with one, all instances are meant."""

    code = "DL5006"
    example = (
        "model M(x: float[N, 4]) -> float[N, 1]:\n    return x -> linear(1)\n\n"
        'data D:\n    source = sklearn("iris")\n    x: float[4] = data\n\n'
        "train T on D:\n    a = M()\n    b = M()\n    settings:\n        epochs = 1\n    step:\n"
        "        minimize mean(a(x))\n        minimize mean(b(x)) over b\n"
    )


class NotAveraged(Diagnostic):
    """A report averages over batches something that does not average: the F1 score of a part of the data is not the
    mean of the scores of its batches. Such a measure is exact where the step itself applies it, and the report
    computes with it and with other scalars alone."""

    code = "DL5007"
    example = (
        "model M(x: float[N, 4]) -> float[N, 3]:\n    return x -> linear(3)\n\n"
        'data D:\n    source = sklearn("iris")\n    x: float[4] = data\n    y: int[] < 3 = target\n\n'
        "block Score(logits: float[N, 3], y: int[N] < 3) -> float[]:\n    return f1(logits, y)\n\n"
        "train T on D:\n    net = M()\n    settings:\n        epochs = 1\n    step:\n"
        "        minimize cross_entropy(net(x), y)\n        report score = Score(net(x), y)\n"
    )


# --- DL65: data, as far as the compiler sees it -----------------------------------------------------------------


class FieldType(Diagnostic):
    """A field's expression does not give the type that the field declares for one example."""

    code = "DL6501"
    example = 'data D:\n    source = sklearn("iris")\n    x: float[5] = data\n'


class BadData(Diagnostic):
    """A `data` block lacks its source, or has an entry that is none."""

    code = "DL6502"
    example = "data D:\n    x: float[4] = data\n"
