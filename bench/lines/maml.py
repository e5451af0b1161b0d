"""Model-agnostic meta-learning in PyTorch: what tests/examples/maml.dl says."""

import math

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.func import functional_call

TASKS, EPOCHS, ACCUMULATE, WIDTH = 9500, 2, 4, 40


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, WIDTH)
        self.linear_2 = nn.Linear(WIDTH, WIDTH)
        self.linear_3 = nn.Linear(WIDTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear_3(F.relu(self.linear_2(F.relu(self.linear(x)))))


def task() -> tuple[torch.Tensor, ...]:
    amplitude, phase = 0.1 + 4.9 * torch.rand(()), math.pi * torch.rand(())
    x = torch.empty(2, 10, 1).uniform_(-5, 5)
    return *x, *(amplitude * torch.sin(x - phase))


def main() -> None:
    torch.manual_seed(0)
    tasks = [task() for _ in range(TASKS)]
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    before = after = 0.0
    for epoch in range(EPOCHS):
        for count, index in enumerate(torch.randperm(TASKS).tolist(), start=1):
            support_x, query_x, support_y, query_y = tasks[index]
            fast = dict(net.named_parameters())
            for _ in range(5):
                inner = F.mse_loss(functional_call(net, fast, (support_x,)), support_y)
                grads = torch.autograd.grad(inner, list(fast.values()), create_graph=True)
                fast = {name: w - 0.01 * g for (name, w), g in zip(fast.items(), grads, strict=True)}
            loss = F.mse_loss(functional_call(net, fast, (query_x,)), query_y)
            (loss / ACCUMULATE).backward()
            if count % ACCUMULATE == 0 or count == TASKS:
                optimizer.step()
                optimizer.zero_grad()
            with torch.no_grad():
                before += F.mse_loss(net(query_x), query_y).item() / TASKS
            after += loss.item() / TASKS
        print(f"epoch {epoch + 1}: before {before:.3f}, after {after:.3f}")
        before = after = 0.0
    save_file(net.state_dict(), "maml.safetensors")
    batch = torch.export.Dim("N")
    torch.onnx.export(net, (torch.zeros(2, 1),), "maml.onnx", dynamic_shapes=({0: batch},), dynamo=True)


if __name__ == "__main__":
    main()
