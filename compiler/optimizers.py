"""The optimisers of the language: what each takes, within which bounds. What they do is the runtime's business."""

from __future__ import annotations

from typing import Annotated, ClassVar

from dlc.compiler.choice import Choice
from dlc.compiler.op import Float, Positive, PositiveFloat
from dlc.compiler.validation import Bounds

Share = Annotated[Float, Bounds(ge=0, lt=1)]
Decay = Annotated[Float, Bounds(ge=0)]


class Optimizer(Choice):
    """How weights follow their gradients."""

    lr: PositiveFloat
    fused: ClassVar[bool] = False  # whether PyTorch updates all weights by one kernel, without memory in between

    def remembers(self, axes: int) -> int:
        """The numbers that are kept from step to step for each number of a weight with so many axes."""
        return 0


class SGD(Optimizer, name="sgd"):
    """Gradient descent, with momentum and Nesterov's lookahead if asked for."""

    lr: PositiveFloat = 0.01
    momentum: Share = 0.0
    nesterov: bool = False
    weight_decay: Decay = 0.0
    fused = True

    def cross_check(self) -> None:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov looks ahead along the momentum, so it needs momentum above 0")

    def remembers(self, axes: int) -> int:
        return int(self.momentum > 0)


class Adagrad(Optimizer, name="adagrad"):
    """Each weight's rate falls with the squares of all its gradients so far. Duchi, Hazan and Singer, 2011."""

    lr: PositiveFloat = 0.01
    eps: PositiveFloat = 1e-10
    weight_decay: Decay = 0.0

    def remembers(self, axes: int) -> int:
        return 1


class RMSprop(Optimizer, name="rmsprop"):
    """Gradients divided by a running root mean square of theirs. Hinton, 2012; Graves, 2013, where `centered`."""

    lr: PositiveFloat = 0.01
    decay: Share = 0.99
    eps: PositiveFloat = 1e-8
    momentum: Share = 0.0
    centered: bool = False
    weight_decay: Decay = 0.0

    def remembers(self, axes: int) -> int:
        return 1 + (self.momentum > 0) + self.centered


class Adam(Optimizer, name="adam"):
    """Kingma and Ba, 2014."""

    lr: PositiveFloat = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: Decay = 0.0
    fused = True

    def remembers(self, axes: int) -> int:
        return 2


class AdamW(Optimizer, name="adamw"):
    """Adam with decoupled weight decay. Loshchilov and Hutter, 2017."""

    lr: PositiveFloat = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: Decay = 0.01
    fused = True

    def remembers(self, axes: int) -> int:
        return 2


class NAdam(Optimizer, name="nadam"):
    """Adam with Nesterov's momentum. Dozat, 2016."""

    lr: PositiveFloat = 2e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: Decay = 0.0

    def remembers(self, axes: int) -> int:
        return 2


class RAdam(Optimizer, name="radam"):
    """Adam whose first steps are held back as long as their variance is not known. Liu and others, 2019."""

    lr: PositiveFloat = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: Decay = 0.0

    def remembers(self, axes: int) -> int:
        return 2


class Lion(Optimizer, name="lion"):
    """The sign of a momentum, with decoupled weight decay. Chen and others, 2023. Its rate is a third to a tenth of
    Adam's."""

    lr: PositiveFloat = 1e-4
    betas: tuple[Share, Share] = (0.9, 0.99)
    weight_decay: Decay = 0.0

    def remembers(self, axes: int) -> int:
        return 1


class LBFGS(Optimizer, name="lbfgs"):
    """Quasi-Newton steps with a line search after strong Wolfe conditions. Liu and Nocedal, 1989.

    Each step evaluates its loss up to 1.25 `iterations` times, so it is meant for `batch = all`.
    """

    lr: PositiveFloat = 1.0
    iterations: Positive = 20
    history: Positive = 100
    tolerance: PositiveFloat = 1e-9

    def remembers(self, axes: int) -> int:
        return 2 * self.history + 3  # steps and changes of the gradient; the last direction and two gradients


class Muon(Optimizer, name="muon"):
    """A momentum made orthogonal, for weights with two axes; all others are left to adamw at the same rate. Jordan and
    others, 2024, scaled as in Liu and others, 2025, so that a rate for adamw fits."""

    lr: PositiveFloat = 1e-3
    momentum: Share = 0.95
    nesterov: bool = True
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: Decay = 0.1

    def remembers(self, axes: int) -> int:
        return 1 if axes == 2 else 2
