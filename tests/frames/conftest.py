"""The golden cloud of the specification, and a cube."""

import pytest
import torch
from golden_maps import PolynomialMean, TanhMap


@pytest.fixture
def golden():
    i = torch.arange(6, dtype=torch.float64).unsqueeze(1)
    j = torch.arange(3, dtype=torch.float64)
    return torch.cos((i + 1) * (j + 2) * 0.9) + 0.06 * i * j


@pytest.fixture
def polynomial():
    return PolynomialMean()


@pytest.fixture
def tanh_map():
    return TanhMap()


@pytest.fixture
def cube():
    sides = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    return torch.cartesian_prod(sides, sides, sides)
