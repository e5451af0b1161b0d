"""Kalman, compiled from kalman.dl."""

import torch
from torch import Tensor, nn


class Kalman(nn.Module):
    """The Kalman filter: a linear state-space model, its state estimated from noisy readings."""

    def forward(self, y: Tensor, A: Tensor, C: Tensor, Q: Tensor, R: Tensor) -> Tensor:
        n = A.shape[0]
        x = torch.zeros(n, dtype=y.dtype, device=y.device)
        P = torch.eye(n, dtype=y.dtype, device=y.device)
        A_T = A.T
        C_T = C.T
        eye = torch.eye(n, dtype=y.dtype, device=y.device)
        xs = []
        for y_t in y:
            x = A @ x
            P = A @ P @ A_T + Q
            K = P @ C_T @ torch.linalg.inv(C @ P @ C_T + R)
            x = x + K @ (y_t - C @ x)
            P = (eye - K @ C) @ P
            xs.append(x)
        xs = torch.stack(xs) if xs else x.new_zeros(0, n)
        return xs
