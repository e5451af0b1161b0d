"""The settings of a `train` block: what may be set, within which bounds. What they do is the runtime's business."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import BeforeValidator, Field

from dlc.compiler.checked import Checked
from dlc.compiler.op import Float, NonNegative, Positive, PositiveFloat

Share = Annotated[Float, Field(ge=0, lt=1)]


class Choice(Checked):
    """A call such as `adamw(lr=1e-3)`, chosen from a family by its name."""

    name: ClassVar[str]
    families: ClassVar[dict[str, dict[str, type[Choice]]]] = {}

    def __init_subclass__(cls, name: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = name
        family = next((base.__name__ for base in cls.__mro__[1:] if base.__name__ in Choice.families), None)
        if family is None:
            Choice.families[cls.__name__] = {}
        else:
            Choice.families[family][name] = cls

    @classmethod
    def choices(cls) -> dict[str, type[Self]]:
        """The members of this family by their names in the language."""
        return cast("dict[str, type[Self]]", Choice.families[cls.__name__])


class Optimizer(Choice):
    """How weights follow their gradients."""

    lr: PositiveFloat


class SGD(Optimizer, name="sgd"):
    """Gradient descent, with momentum and Nesterov's lookahead if asked for."""

    lr: PositiveFloat = 0.01
    momentum: Share = 0.0
    nesterov: bool = False
    weight_decay: Annotated[Float, Field(ge=0)] = 0.0

    def cross_check(self) -> None:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov looks ahead along the momentum, so it needs momentum above 0")


class Adam(Optimizer, name="adam"):
    """Kingma and Ba, 2014."""

    lr: PositiveFloat = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: Annotated[Float, Field(ge=0)] = 0.0


class AdamW(Optimizer, name="adamw"):
    """Adam with decoupled weight decay. Loshchilov and Hutter, 2017."""

    lr: PositiveFloat = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: Annotated[Float, Field(ge=0)] = 0.01


class Schedule(Choice):
    """How the learning rate changes; `warmup` steps lead linearly up to it."""

    warmup: NonNegative = 0


class ConstantRate(Schedule, name="constant"):
    """The learning rate stays as it is."""


class Cosine(Schedule, name="cosine"):
    """Half a cosine down to `final` times the learning rate. Loshchilov and Hutter, 2016."""

    final: Annotated[Float, Field(ge=0, le=1)] = 0.0


def _all_or_count(value: Any) -> Any:
    from dlc.compiler.dim import Dim

    return value.constant if isinstance(value, Dim) else value


class Settings(Checked):
    """The settings of a `train` block."""

    batch: Annotated[Literal["all"] | Positive, BeforeValidator(_all_or_count)] = 32
    epochs: Positive | None = None
    steps: Positive | None = None
    optimizer: Optimizer = Field(default_factory=AdamW)
    schedule: Schedule = Field(default_factory=ConstantRate)
    seed: NonNegative = 0

    def cross_check(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a training lasts a number of epochs or a number of steps: set one of the two")
