"""The schedules of the learning rate: what each takes, within which bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from dlc.compiler.choice import Choice
from dlc.compiler.op import Float, NonNegative, Positive, PositiveFloat, Probability
from dlc.compiler.validation import Bounds

Factor = Annotated[Float, Bounds(gt=0, lt=1)]


class Schedule(Choice):
    """How the learning rate changes; `warmup` steps lead linearly up to it."""

    warmup: NonNegative = 0


class ConstantRate(Schedule, name="constant"):
    """The learning rate stays as it is."""


class StepRate(Schedule, name="step"):
    """Every so many epochs the learning rate is multiplied by `factor`."""

    every: Positive
    factor: Factor = 0.1


class Exponential(Schedule, name="exponential"):
    """Every epoch the learning rate is multiplied by `factor`, evenly over its steps."""

    factor: Factor


class Inverse(Schedule, name="inverse"):
    """The learning rate falls as (1 + steps / scale) ** -power, counted from the end of the warmup.

    scale: in steps; by default the warmup, which with the power 0.5 is the schedule of Vaswani and others, 2017.
    """

    scale: Positive | None = None
    power: PositiveFloat = 0.5


class Linear(Schedule, name="linear"):
    """A straight line down to `final` times the learning rate at the end."""

    final: Probability = 0.0


class Cosine(Schedule, name="cosine"):
    """Half a cosine down to `final` times the learning rate. Loshchilov and Hutter, 2016."""

    final: Probability = 0.0


class OneCycle(Schedule, name="one_cycle"):
    """Half a cosine from `initial` times the learning rate up to all of it, over a share `rise` of the training, and
    half a cosine down to `final` times. Smith and Topin, 2017."""

    rise: Factor = 0.3
    initial: Probability = 0.04
    final: Probability = 4e-6


class Plateau(Schedule, name="plateau"):
    """The learning rate is multiplied by `factor` when what is watched has been no better for more than `patience`
    epochs.

    on: a part of the data and what is measured there. better: whether less or more of it is. least: the change that
    counts as better.
    """

    factor: Factor = 0.1
    patience: NonNegative = 10
    on: str = "valid loss"
    better: Literal["less", "more"] = "less"
    least: Annotated[Float, Bounds(ge=0)] = 0.0
