"""MAML, compiled from maml.dl."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def unflatten(model: nn.Module, vector: Tensor) -> dict[str, Tensor]:
    """The parts of a vector in the place of a model's parameters, by their names."""
    parameters = dict(model.named_parameters())
    parts = vector.split([parameter.numel() for parameter in parameters.values()])
    return {
        name: part.view_as(parameter)
        for (name, parameter), part in zip(parameters.items(), parts, strict=True)
    }


class Net(nn.Module):
    """Model-agnostic meta-learning (Finn et al., 2017): each example is a task, and the loss
    looks through the inner steps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 40)
        self.linear_2 = nn.Linear(40, 40)
        self.linear_3 = nn.Linear(40, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.linear_2(F.relu(self.linear(x))))
        return self.linear_3(x)


def build() -> dict[str, nn.Module]:
    return {"f": Net()}


@torch.enable_grad()
def step(
    f: nn.Module,
    minimize: Callable[..., None],
    amplitude: Tensor,
    phase: Tensor,
    support_x: Tensor,
    support_y: Tensor,
    query_x: Tensor,
    query_y: Tensor,
) -> dict[str, Tensor]:
    fast = nn.utils.parameters_to_vector(f.parameters())
    for _ in range(5):
        h = torch.func.functional_call(f, unflatten(f, fast), (support_x,))
        h = 0.01 * torch.autograd.grad(F.mse_loss(h, support_y), fast, create_graph=True)[0]
        fast = fast - h
    before = F.mse_loss(f(query_x), query_y)
    after = F.mse_loss(torch.func.functional_call(f, unflatten(f, fast), (query_x,)), query_y)
    loss = F.mse_loss(torch.func.functional_call(f, unflatten(f, fast), (query_x,)), query_y)
    minimize(loss, over=[f])
    return {"before": before, "after": after}
