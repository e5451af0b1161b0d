"""A Hopfield network in PyTorch: what specs/energy/hopfield.dl says."""

import torch
from safetensors.torch import save_file
from torch import nn

NEURONS, PATTERNS, SWEEPS = 120, 12, 5


class Hopfield(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.zeros(NEURONS, NEURONS))

    def forward(self, probe: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        state, energies = probe, []
        for _ in range(SWEEPS):
            for i in range(NEURONS):
                field = state @ self.W[:, i]
                here = torch.arange(NEURONS) == i
                state = torch.where(here, torch.where(field >= 0, 1.0, -1.0)[:, None], state)
            energies.append(-0.5 * (state @ self.W * state).sum(1))
        return state, torch.stack(energies)


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    pattern = torch.where(torch.rand(PATTERNS, NEURONS) < 0.5, 1.0, -1.0)
    net = Hopfield()
    net.W.copy_(pattern.T @ pattern * (1 - torch.eye(NEURONS)))
    noisy = pattern * torch.where(torch.rand(PATTERNS, NEURONS) < 0.1, -1.0, 1.0)
    state, energy = net(noisy)
    recall = ((state * pattern).mean(1) > 0.95).float().mean()
    print(f"recall {recall:.3f}, overlap {(state * pattern).mean():.3f}, rise {(energy[1:] - energy[:-1]).max():.3g}")
    save_file(net.state_dict(), "hopfield.safetensors")
    batch = torch.export.Dim("N")
    torch.onnx.export(net, (noisy[:2],), "hopfield.onnx", dynamic_shapes=({0: batch},), dynamo=True)


if __name__ == "__main__":
    main()
