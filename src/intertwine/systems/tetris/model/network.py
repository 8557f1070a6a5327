"""A network that says which shape a set of points has, whatever its orientation.

Spherical harmonics of the edges meet the features of the neighbours in a tensor product of choice; means over the
neighbours pass a gate, and join what was there before. The features of all points are read out as scalars of both
parities, summed, and turned into one score for each class: (o e, -o e) for two mirror images, e for any other.
(Tetris experiment of Xie, Daigavane, Kotak, Smidt, "The Price of Freedom", ICML 2025.) Differences from it, all of them
so that features keep unit variance: harmonics have unit variance a component where there they have unit norm, weights
are divided by the root of their fan-in at use, and activations have unit second moment.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.errors import ConfigError, ShapeError
from intertwine.graphs import segment_sum
from intertwine.groups import E, O, SymmetricGroup
from intertwine.nn import BesselBasis, Gate, Linear, RadialNetwork
from intertwine.representations import Irrep, Irreps, SphericalHarmonics
from intertwine.representations.actions import IrrepsTensor, NodeIndices, Permuted, Point
from intertwine.symmetry import Symmetry
from intertwine.systems.tetris.model.classes import ClassTable, MirroredClasses
from intertwine.systems.tetris.model.messages import LAYOUT, make_messages
from intertwine.systems.tetris.settings import ModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["ShapeClassifier"]


class ShapeClassifier(Pretrained, nn.Module):
    """Scores of the classes of point sets, to be saved, loaded and called on batches of sets.

    Law: scores are invariant under rotations, translations and renaming of points; a reflection swaps the scores of the
    two classes of a mirror pair.

    Mirror images are told apart from three layers on, and never with the product ``gaunt`` (see `sees_handedness`).

    Args:
        settings: product and sizes.
        classes: names of the classes, in the order of the outputs.
        mirror_pairs: pairs of classes that are mirror images; all others are their own.
        point_types: names of the types of points the model knows.
        rng: generator of the initial weights.

    Example:
        >>> model = ShapeClassifier(ModelSettings(multiplicity=1), classes=("cube", "left", "right"),
        ...                         mirror_pairs=(("left", "right"),))
        >>> model.table.mirror
        (0, 2, 1)
    """

    order: Tensor

    def __init__(
        self,
        settings: ModelSettings,
        *,
        classes: tuple[str, ...],
        mirror_pairs: tuple[tuple[str, str], ...] = (),
        point_types: tuple[str, ...] = ("X",),
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not point_types:
            raise ConfigError("a classifier needs the types of its points", got=point_types, expected='such as ("X",)')
        self.settings, self.table = settings, ClassTable(tuple(classes), tuple(mirror_pairs))
        self.point_types = tuple(point_types)
        self.irreps_sh = Irreps.spherical_harmonics(settings.harmonics_lmax)
        self.harmonics = SphericalHarmonics(self.irreps_sh, normalize=False, normalization="component")
        self.basis = BesselBasis(settings.cutoff, settings.radial_size) if settings.radial_size else None
        self.embedding = nn.Parameter(torch.randn(len(point_types), settings.embedding, generator=rng))
        irreps = Irreps([(settings.embedding, Irrep(0, 1))])
        layers = []
        for _ in range(settings.layers):
            layers.append(_Layer(irreps, self.irreps_sh, settings, rng))
            irreps = layers[-1].irreps_out
        self.layers = nn.ModuleList(layers)
        self.readout = _Readout(irreps, self.table, rng)
        self.register_buffer("order", torch.tensor(self.table.order()), persistent=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs."""
        return self.table.names

    @property
    def cutoff(self) -> float:
        """Distance of the neighbour list that a call needs, in the unit of the coordinates."""
        return self.settings.cutoff

    @property
    def sees_handedness(self) -> bool:
        """Whether the features hold a pseudo-scalar; without, the scores of mirror images are equal for any weights."""
        return self.readout.odd is not None

    @property
    def symmetry(self) -> Symmetry:
        """E(3) acts on space, S_n on the names of the points."""
        return Symmetry(
            E(3) * SymmetricGroup(None),
            inputs={
                "positions": Permuted((0,), Point()),
                "types": Permuted((0,)),
                "edge_index": NodeIndices(),
                "graph_index": Permuted((0,)),
            },
            output=MirroredClasses(self.table.mirror),
        )

    def forward(
        self,
        positions: Float[Tensor, "points 3"],
        types: Int[Tensor, " points"],
        edge_index: Int[Tensor, "2 edges"],
        graph_index: Int[Tensor, " points"],
        num_points: Int[Tensor, " sets"],
    ) -> Float[Tensor, "sets classes"]:
        """Return one score for each class.

        Args:
            positions: in the unit of the cutoff.
            types: places in ``point_types``.
            edge_index: sources and destinations of all pairs nearer than the cutoff.
            graph_index: the set of each point.
            num_points: the number of points of each set.

        Raises:
            ShapeError: if the arrays do not fit together.
        """
        if positions.shape != (*types.shape, 3) or graph_index.shape != types.shape:
            raise ShapeError(
                "a classifier needs one row for each point",
                got={"positions": tuple(positions.shape), "types": tuple(types.shape)},
                expected="(points, 3), (points,), and (points,) for graph_index",
            )
        source, destination = edge_index
        vectors = positions.index_select(0, source) - positions.index_select(0, destination)
        # no edge has length zero (the neighbour list refuses coincident points), so the root is smooth
        distance = vectors.square().sum(-1).sqrt()
        harmonics = self.harmonics(vectors / distance.unsqueeze(-1))
        radial = (distance / self.cutoff).unsqueeze(-1) if self.basis is None else self.basis(distance)
        neighbours = segment_sum(torch.ones_like(distance), destination, len(types))
        share = neighbours.clamp(min=1).reciprocal().unsqueeze(-1)
        features = self.embedding.index_select(0, types)
        for layer in self.layers:
            features = layer(features, harmonics, radial, share, edge_index)
        even, odd = self.readout(features)
        even, odd = (segment_sum(part, graph_index, len(num_points)) for part in (even, odd))
        chiral = odd * even[:, : odd.shape[1]]
        return torch.cat([chiral, -chiral, even[:, odd.shape[1] :]], dim=-1).index_select(-1, self.order)


class _Layer(nn.Module):
    """Messages, their mean, linear, gate, joined with the features that came in, linear."""

    def __init__(
        self, irreps_in: Irreps, irreps_sh: Irreps, settings: ModelSettings, rng: torch.Generator | None
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_sh = irreps_in, irreps_sh
        hidden = _hidden_irreps(settings.multiplicity, settings.lmax)
        self.messages = make_messages(settings, irreps_in, irreps_sh, rng)
        self.radial = RadialNetwork(
            [max(settings.radial_size, 1), settings.radial_width, self.messages.weight_numel], rng
        )
        self.gate = Gate(hidden.filter(self.messages.irreps_out), gate="sigmoid", layout=LAYOUT)
        self.mix = Linear(self.messages.irreps_out, self.gate.irreps_in, LAYOUT, rng)
        joined = self.gate.irreps_out + irreps_in
        # what neither the messages nor the features hold cannot be written: it is left out, not set to zero
        self.irreps_out = hidden.filter(joined)
        self.update = Linear(joined, self.irreps_out, LAYOUT, rng)

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on features and harmonics by their irreps."""
        return Symmetry(
            O(3),
            inputs={
                "features": IrrepsTensor(self.irreps_in, LAYOUT),
                "harmonics": IrrepsTensor(self.irreps_sh, LAYOUT),
            },
            output=IrrepsTensor(self.irreps_out, LAYOUT),
        )

    def forward(self, features: Tensor, harmonics: Tensor, radial: Tensor, share: Tensor, edge_index: Tensor) -> Tensor:
        mean = self.messages(features, harmonics, self.radial(radial), edge_index) * share
        return self.update(torch.cat([self.gate(self.mix(mean)), features], dim=-1))


class _Readout(nn.Module):
    """Even scalars, one for each pair and each other class, and odd scalars, one for each pair."""

    def __init__(self, irreps_in: Irreps, table: ClassTable, rng: torch.Generator | None) -> None:
        super().__init__()
        self.pairs = len(table.pairs)
        self.even = Linear(irreps_in, f"{self.pairs + len(table.achiral)}x0e", LAYOUT, rng)
        # without an odd scalar in the features the scores of mirror images stay equal
        has_odd = self.pairs > 0 and Irrep(0, -1) in irreps_in
        self.odd = Linear(irreps_in, f"{self.pairs}x0o", LAYOUT, rng) if has_odd else None

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        odd = features.new_zeros(len(features), self.pairs) if self.odd is None else self.odd(features)
        return self.even(features), odd


def _hidden_irreps(multiplicity: int, lmax: int) -> Irreps:
    """The irreps of the hidden features: four scalars of either parity a copy, and every other irrep once a copy."""
    scalars = [(4 * multiplicity, Irrep(0, parity)) for parity in (1, -1)]
    others = [
        (multiplicity, Irrep(degree, parity * (-1) ** degree)) for degree in range(1, lmax + 1) for parity in (1, -1)
    ]
    return Irreps([*scalars, *others])
