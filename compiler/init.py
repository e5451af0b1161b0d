"""How a weight starts: distributions, written after `~` or as `init=`, with a lowering for both targets.

Each is registered under its name in the language by being defined. Shapes are PyTorch's: axis 0 is what comes out,
axis 1 what goes in, the rest is the receptive field.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from dlc.compiler.checked import Checked
from dlc.compiler.dim import Dim
from dlc.compiler.validation import Bounds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_REGISTRY: dict[str, type[Init]] = {}


class Init(Checked):
    """A distribution that a weight is drawn from, or a value that it starts at."""

    name: ClassVar[str]
    least_rank: ClassVar[int] = 0  # of the weights that it can fill: what counts inputs and outputs needs two axes

    def __init_subclass__(cls, name: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = name
        if not name:  # a start that some operation has by default, and that a spec cannot ask for
            return
        if name in _REGISTRY:
            raise TypeError(f"two initialisations are called {name}")
        _REGISTRY[name] = cls

    def torch(self, tensor: str) -> str:
        """The statement that fills `tensor` in place."""
        raise NotImplementedError

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Values of that distribution, for a weight that no run has trained."""
        raise NotImplementedError


def initialisations() -> dict[str, type[Init]]:
    """Every initialisation by its name in the language."""
    return dict(_REGISTRY)


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """The number of inputs and of outputs that one output and one input of a weight see, as PyTorch counts them."""
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


class Constant(Init, name="fill"):
    """Every element starts at `value`."""

    value: float = 0.0

    def torch(self, tensor: str) -> str:
        return f"nn.init.constant_({tensor}, {self.value!r})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        import numpy as np

        return np.full(shape, self.value)


class Zeros(Init, name="zeros"):
    """Every element starts at 0."""

    def torch(self, tensor: str) -> str:
        return f"nn.init.zeros_({tensor})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        import numpy as np

        return np.zeros(shape)


class Ones(Init, name="ones"):
    """Every element starts at 1."""

    def torch(self, tensor: str) -> str:
        return f"nn.init.ones_({tensor})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        import numpy as np

        return np.ones(shape)


class Normal(Init, name="normal"):
    """The normal distribution."""

    mean: float = 0.0
    std: Annotated[float, Bounds(ge=0)] = 1.0

    def torch(self, tensor: str) -> str:
        return f"nn.init.normal_({tensor}, {self.mean!r}, {self.std!r})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return random.normal(self.mean, self.std, shape)


class TruncatedNormal(Init, name="truncated_normal"):
    """The normal distribution around 0, drawn again where it lies more than 2 standard deviations out."""

    std: Annotated[float, Bounds(gt=0)] = 1.0

    def torch(self, tensor: str) -> str:
        return f"nn.init.trunc_normal_({tensor}, std={self.std!r}, a={-2 * self.std!r}, b={2 * self.std!r})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        import numpy as np

        values = random.normal(0.0, 1.0, shape)
        while (far := np.abs(values) > 2).any():
            values[far] = random.normal(0.0, 1.0, int(far.sum()))
        return values * self.std


class Uniform(Init, name="uniform"):
    """The uniform distribution between `low` and `high`."""

    low: float = -1.0
    high: float = 1.0

    def torch(self, tensor: str) -> str:
        return f"nn.init.uniform_({tensor}, {self.low!r}, {self.high!r})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return random.uniform(self.low, self.high, shape)


class XavierUniform(Init, name="xavier_uniform"):
    """Glorot and Bengio, 2010: uniform, keeps the variance of activations and gradients alike."""

    least_rank: ClassVar[int] = 2
    gain: Annotated[float, Bounds(gt=0)] = 1.0

    def torch(self, tensor: str) -> str:
        return f"nn.init.xavier_uniform_({tensor}{_gain(self.gain)})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        bound = self.gain * math.sqrt(6 / sum(_fans(shape)))
        return random.uniform(-bound, bound, shape)


class XavierNormal(Init, name="xavier_normal"):
    """Glorot and Bengio, 2010: normal, keeps the variance of activations and gradients alike."""

    least_rank: ClassVar[int] = 2
    gain: Annotated[float, Bounds(gt=0)] = 1.0

    def torch(self, tensor: str) -> str:
        return f"nn.init.xavier_normal_({tensor}{_gain(self.gain)})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return random.normal(0.0, self.gain * math.sqrt(2 / sum(_fans(shape))), shape)


class KaimingUniform(Init, name="kaiming_uniform"):
    """He et al., 2015: uniform, keeps the variance of activations through ReLU (`gain` is the square root of 2)."""

    least_rank: ClassVar[int] = 2
    gain: Annotated[float, Bounds(gt=0, le=math.sqrt(2))] = math.sqrt(2)

    def torch(self, tensor: str) -> str:
        return f"nn.init.kaiming_uniform_({tensor}, {_slope(self.gain)})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        bound = self.gain * math.sqrt(3 / _fans(shape)[0])
        return random.uniform(-bound, bound, shape)


class KaimingNormal(Init, name="kaiming_normal"):
    """He et al., 2015: normal, keeps the variance of activations through ReLU (`gain` is the square root of 2)."""

    least_rank: ClassVar[int] = 2
    gain: Annotated[float, Bounds(gt=0, le=math.sqrt(2))] = math.sqrt(2)

    def torch(self, tensor: str) -> str:
        return f"nn.init.kaiming_normal_({tensor}, {_slope(self.gain)})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return random.normal(0.0, self.gain / math.sqrt(_fans(shape)[0]), shape)


class Orthogonal(Init, name="orthogonal"):
    """Saxe et al., 2013: a random matrix whose rows, or columns where there are fewer, are orthonormal."""

    least_rank: ClassVar[int] = 2
    gain: Annotated[float, Bounds(gt=0)] = 1.0

    def torch(self, tensor: str) -> str:
        return f"nn.init.orthogonal_({tensor}{_gain(self.gain)})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        import numpy as np

        rows, columns = shape[0], math.prod(shape[1:])
        q, r = np.linalg.qr(random.normal(size=(max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


class Identity(Init, name="identity"):
    """The identity matrix, times `gain`."""

    least_rank: ClassVar[int] = 2
    gain: float = 1.0

    def torch(self, tensor: str) -> str:
        scale = "" if self.gain == 1 else f"\nwith torch.no_grad():\n    {tensor}.mul_({self.gain!r})"
        return f"nn.init.eye_({tensor}){scale}"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        import numpy as np

        return self.gain * np.eye(shape[0], shape[1])


class FanUniform(Init):
    """Uniform within 1/sqrt(fan): how PyTorch starts the weights and biases of its linear and recurrent layers."""

    fan: Dim

    def torch(self, tensor: str) -> str:
        bound = 1 / math.sqrt(max(1, int(self.fan)))
        return f"nn.init.uniform_({tensor}, {-bound!r}, {bound!r})"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        bound = 1 / math.sqrt(max(1, int(self.fan)))
        return random.uniform(-bound, bound, shape)


class Computed(Init):
    """The value of an expression, which the target computes: a graph without inputs and with one output."""

    graph: Any


class PaddedNormal(Init):
    """The standard normal distribution, except for one row that is 0: an embedding with a padding index."""

    padding: int

    def torch(self, tensor: str) -> str:
        return f"nn.init.normal_({tensor})\nnn.init.zeros_({tensor}[{self.padding}])"

    def draw(self, random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
        values = random.normal(size=shape)
        values[self.padding] = 0
        return values


def _gain(gain: float) -> str:
    return "" if gain == 1 else f", {gain!r}"


def _slope(gain: float) -> str:
    """PyTorch scales He's initialisation by a leaky ReLU's negative slope a, as gain = sqrt(2 / (1 + a^2))."""
    if gain == math.sqrt(2):
        return 'nonlinearity="relu"'
    return f"a={math.sqrt(2 / gain**2 - 1)!r}"
