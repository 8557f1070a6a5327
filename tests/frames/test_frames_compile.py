"""Frames under ``torch.compile``: one graph, the same numbers, low ranks included."""

import pytest
import torch

from intertwine.frames import (
    FiniteFrame,
    FrameAverage,
    LearnedFiniteFrame,
    LearnedFrame,
    LorentzFrame,
    MinimalFrame,
    OrbitScores,
    PCAFrame,
    PlanarFrame,
    WeightedFrame,
)
from intertwine.nn import VectorDeepSets


class Uneven(torch.nn.Module):
    def forward(self, x):
        return torch.tanh(x + 0.3).cumsum(-2)


class Score(torch.nn.Module):
    def forward(self, x):
        return torch.tanh(x + 0.3).sum((-2, -1))


FRAMES = {
    "minimal": lambda: MinimalFrame("E(3)"),
    "minimal of SU": lambda: MinimalFrame("SU(2)"),
    "minimal of SL": lambda: MinimalFrame("SL(3)"),
    "Lorentz": lambda: LorentzFrame("SO(1,3)"),
    "weighted": lambda: WeightedFrame("SE(3)"),
    "planar": lambda: PlanarFrame(PCAFrame("E(2)", degenerate="ignore")),
    "finite": lambda: FiniteFrame("D_4"),
    "learned": lambda: LearnedFrame(VectorDeepSets(dropout=0.0, rng=torch.Generator().manual_seed(0)).double(), "E(3)"),
    "learned, finite": lambda: LearnedFiniteFrame(OrbitScores(Score(), "C_4"), "C_4"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_compiles_without_graph_breaks(name, rng):
    frame = FRAMES[name]()
    network = FrameAverage(Uneven(), frame, inputs={"x": "vector"}, output="vector")
    points = torch.randn(2, 6, frame.dim, generator=rng, dtype=torch.float64)
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(points), network(points), rtol=0, atol=1e-12)
    line = points.clone()
    line[1] = line[1, :1] * torch.arange(1.0, 7).unsqueeze(-1)
    torch.testing.assert_close(compiled(line), network(line), rtol=0, atol=1e-12)
