"""The settings of a `train` block: what may be set, within which bounds. What they do is the runtime's business."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from dlc.compiler.checked import Checked
from dlc.compiler.choice import Choice
from dlc.compiler.op import Float, NonNegative, Positive, PositiveFloat
from dlc.compiler.optimizers import AdamW, Optimizer, Share
from dlc.compiler.schedules import ConstantRate, Schedule
from dlc.compiler.validation import Before, Bounds


def _as_share(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError("a share of the training, from 0 up and less than 1")
    return float(value)


class Average(Choice):
    """Weights averaged over the training: these are measured and exported, while training goes on with its own."""


class EMA(Average, name="ema"):
    """An exponential average over the updates, in which each older one counts `decay` times as much.

    The shares of the updates sum to 1 from the first on, as in Adam, so that it never leans to the initial weights.
    """

    decay: Share


class SWA(Average, name="swa"):
    """The mean of the weights after each update, from a share `start` of the training on. Izmailov and others, 2018."""

    start: Annotated[float, Before(_as_share)] = 0.75


class StopEarly(Checked):
    """Training ends when what is watched has been no better for `patience` epochs.

    on: a part of the data and what is measured there. better: whether less or more of it is. least: the change that
    counts as better.
    """

    patience: Positive
    on: str = "valid loss"
    better: Literal["less", "more"] = "less"
    least: Annotated[Float, Bounds(ge=0)] = 0.0


class CheckpointInterval(Checked):
    """When a checkpoint is written, and how many are kept. Without an interval: at the end of an epoch that took a
    second or more since the last, and every half minute within longer ones."""

    epochs: Positive | None = None
    steps: Positive | None = None
    minutes: PositiveFloat | None = None
    keep: Positive = 2

    def cross_check(self) -> None:
        if sum(value is not None for value in (self.epochs, self.steps, self.minutes)) > 1:
            raise ValueError("an interval is a number of epochs, of steps or of minutes: set one of them")


def _all_or_count(value: Any) -> Any:
    from dlc.compiler.dim import Dim

    return value.constant if isinstance(value, Dim) else value


class Settings(Checked):
    """The settings of a `train` block.

    rates: factors of the learning rate by the paths of parts; for a weight the longest path counts. clip_norm: of the
    gradient of all that a `minimize` updates. clip_value: of each number of it. accumulate: so many steps make one
    update, of the mean gradient over their examples. recompute: the block whose activations are computed again for
    gradients.
    """

    batch: Annotated[Literal["all"] | Positive, Before(_all_or_count)] = 32
    epochs: Positive | None = None
    steps: Positive | None = None
    optimizer: Optimizer = AdamW()
    rates: tuple[tuple[str, Annotated[Float, Bounds(ge=0)]], ...] = ()
    schedule: Schedule = ConstantRate()
    clip_norm: PositiveFloat | None = None
    clip_value: PositiveFloat | None = None
    accumulate: Positive = 1
    average: Average | None = None
    stop_early: StopEarly | None = None
    shuffle: bool = True
    seed: NonNegative = 0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    checkpoint: CheckpointInterval = CheckpointInterval()
    bucket: str | None = None
    recompute: str | None = None
    plan: Literal["auto", "plain"] = "auto"

    def cross_check(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a training lasts a number of epochs or a number of steps: set one of the two")
