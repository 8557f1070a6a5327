"""Two maps without any symmetry, whose averages on the golden cloud are known."""

import torch
from torch import nn


class PolynomialMean(nn.Module):
    """mean of y0^2 + 2 y1^2 + 3 y2^2 + y0 y1 y2 + y0^3 over the points."""

    def forward(self, x):
        a, b, c = x.unbind(-1)
        return (a**2 + 2 * b**2 + 3 * c**2 + a * b * c + a**3).mean(-1)


class TanhMap(nn.Module):
    """tanh(Y A + b), point by point."""

    def __init__(self):
        super().__init__()
        matrix = [[0.3, -0.2, 0.5], [0.1, 0.7, -0.4], [-0.6, 0.2, 0.1]]
        self.register_buffer("matrix", torch.tensor(matrix, dtype=torch.float64))
        self.register_buffer("shift", torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64))

    def forward(self, x):
        return torch.tanh(x @ self.matrix.to(x) + self.shift.to(x))
