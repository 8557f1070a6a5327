"""A network of vector neurons on sets of points: the one that gives the axes of learned frames.

Source: Kaba et al., Equivariance with Learned Canonicalization Functions, ICML 2023 (N-body experiment), after Deng et
al., Vector Neurons, ICCV 2021. Unlike the published code no linear map of vectors has a bias, and dropout leaves out
whole vectors: both would break the law.
"""

from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.errors import ConfigError, ShapeError
from intertwine.groups import SO, O, SymmetricGroup
from intertwine.nn.vector_neurons import VNLeakyReLU, VNLinear, VNMeanPool
from intertwine.representations import Permuted, Vector
from intertwine.symmetry import Symmetry

__all__ = ["VectorDeepSets", "VectorFeatures"]

VectorFeatures = Literal["p", "pv", "pva", "pvc", "pvac"]
"""Vectors of each point: position p, velocity v, their vector product a, and c, the position times the charge."""


class VectorDeepSets(nn.Module):
    """Vectors of a cloud, from its points in any order.

    Law: the vectors turn with the points, under O(3); under SO(3) only with vector products among the features, which
    reflections turn the other way. They do not depend on the order of the points.

    Each layer adds a linear map of the vectors of a point to one of their mean over the points, and bends the result;
    from the second layer on that is added to what comes in. The means over the points are mapped to the output.

    Args:
        features: which vectors of a point go in, see `VectorFeatures`; points must be seen from their centroid where
            translations should not matter, as `LearnedFrame` does for E(3).
        vectors: how many come out.
        layers, hidden: number of layers, and of vectors in them.
        dropout: share of vectors that are left out in training, whole.
        rng: generator of the initial weights.

    Example:
        >>> VectorDeepSets("pv", vectors=3)(torch.randn(2, 5, 3), velocities=torch.randn(2, 5, 3)).shape
        torch.Size([2, 3, 3])
    """

    def __init__(
        self,
        features: VectorFeatures = "p",
        *,
        vectors: int = 4,
        layers: int = 4,
        hidden: int = 16,
        dropout: float = 0.5,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if features not in get_args(VectorFeatures):
            raise ConfigError("unknown features", got=repr(features), expected=", ".join(get_args(VectorFeatures)))
        if layers < 1 or hidden < 1 or vectors < 1 or not 0 <= dropout < 1:
            raise ConfigError(
                "VectorDeepSets cannot be built so",
                got={"layers": layers, "hidden": hidden, "vectors": vectors, "dropout": dropout},
                expected="at least 1 each, and a dropout from 0 to below 1",
            )
        self.features = features
        sizes = [len(features), *[hidden] * layers]
        self.own = nn.ModuleList(VNLinear(a, b, rng=rng) for a, b in pairwise(sizes))
        self.shared = nn.ModuleList(VNLinear(a, b, rng=rng) for a, b in pairwise(sizes))
        self.bends = nn.ModuleList(VNLeakyReLU(hidden, rng=rng) for _ in range(layers))
        self.output = VNLinear(hidden, vectors, rng=rng)
        self.pool = VNMeanPool()
        self.dropout = dropout

    @property
    def symmetry(self) -> Symmetry:
        """O(3), or SO(3) with vector products, acts on points, velocities and vectors, and S_n on the points."""
        group = SO(3) if "a" in self.features else O(3)
        vectors = Permuted((1,), Vector())
        inputs = {"points": vectors, "mask": Permuted((1,))}
        inputs |= {name: vectors if name == "velocities" else Permuted((1,)) for name in self.reads}
        return Symmetry(group * SymmetricGroup(None), inputs=inputs, output=Vector())

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the inputs that the features need beside the points."""
        return ("velocities",) * ("v" in self.features) + ("charges",) * ("c" in self.features)

    def forward(
        self,
        points: Float[Tensor, "batch n 3"],
        mask: Bool[Tensor, "batch n"] | None = None,
        velocities: Float[Tensor, "batch n 3"] | None = None,
        charges: Float[Tensor, "batch n"] | None = None,
    ) -> Float[Tensor, "batch vectors 3"]:
        """Return vectors of each cloud.

        Args:
            points: seen from their centroid, or from an origin that means something.
            mask: which points a cloud has; the vectors of a cloud without points are zero.
            velocities, charges: of each point, as far as the features need them.

        Raises:
            ShapeError: if a feature is missing or does not fit the points.
        """
        x = self._vectors(points, velocities, charges)
        mask = torch.ones(points.shape[:2], dtype=torch.bool, device=points.device) if mask is None else mask
        x = torch.where(mask[:, :, None, None], x, 0.0)
        for number, (own, shared, bend) in enumerate(zip(self.own, self.shared, self.bends, strict=True)):
            new = self._dropped(bend(own(x) + shared(self.pool(x, mask)).unsqueeze(1)))
            x = x + new if number else new
        return self.output(self.pool(x, mask)).mT

    def _vectors(self, points: Tensor, velocities: Tensor | None, charges: Tensor | None) -> Tensor:
        given = {"velocities": velocities, "charges": charges}
        expected = {"velocities": points.shape, "charges": points.shape[:2]}
        for name in self.reads:
            value = given[name]
            if value is None or value.shape != expected[name]:
                raise ShapeError(
                    f"features {self.features!r} need {name}",
                    got="none" if value is None else tuple(value.shape),
                    expected=tuple(expected[name]),
                )
        vectors = [points]
        if velocities is not None and "v" in self.features:
            vectors.append(velocities)
            if "a" in self.features:
                vectors.append(torch.linalg.cross(points, velocities))
        if charges is not None and "c" in self.features:
            vectors.append(charges.unsqueeze(-1) * points)
        return torch.stack(vectors, dim=-1)

    def _dropped(self, x: Float[Tensor, "batch n 3 channels"]) -> Float[Tensor, "batch n 3 channels"]:
        """Leave out whole vectors: single components would break the law."""
        if not self.training or not self.dropout:
            return x
        return x * nn.functional.dropout(torch.ones_like(x[..., :1, :]), self.dropout)
