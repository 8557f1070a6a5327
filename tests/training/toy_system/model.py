import torch
from torch import nn

from intertwine.training.pretrained import Pretrained

from .settings import ModelSettings


class Well(Pretrained, nn.Module):
    def __init__(
        self,
        settings: ModelSettings,
        *,
        shift: float = 0.0,
        species: tuple[int, ...] = (1, 6),
        rng: torch.Generator | None = None,
    ):
        super().__init__()
        self.settings = settings
        self.species = species
        self.register_buffer("shift", torch.tensor(shift))
        self.inner = nn.Linear(3, settings.width)
        self.outer = nn.Linear(settings.width, 1)
        self.drop = nn.Dropout(settings.dropout)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.5)

    def forward(self, positions):
        with torch.enable_grad():
            positions = positions.detach().requires_grad_(True)
            energy = self.outer(self.drop(torch.tanh(self.inner(positions)))).squeeze(-1) + self.shift
            (slope,) = torch.autograd.grad(energy.sum(), positions, create_graph=True)
        return {"energy": energy, "forces": -slope}
