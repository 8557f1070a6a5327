"""APEN: a network for clouds whose parts move on their own, and are not known.

Each layer sees the parts of a partition one at a time, in their own frames, and lets every point vote for the centre of
its part; what votes together is one part of the next, coarser partition.

Source: Atzmon, Huang, Williams, Litany, Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024. No code was
published: widths, schedules and details of the mixture are this library's.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intertwine.errors import ConfigError, ShapeError
from intertwine.frames import Memberships, PCAFrame, PiecewiseFrameAverage
from intertwine.groups import SE, E
from intertwine.nn.perceptron import perceptron
from intertwine.partitions import compact_ids, drawn_parts, given, initial_partition
from intertwine.points import check_clouds, cloud_sizes
from intertwine.representations import Invariant, Point
from intertwine.symmetry import Symmetry
from intertwine.systems.apen.model.contact import Contact, near_points
from intertwine.systems.apen.model.context import PartContext
from intertwine.systems.apen.model.pieces import PieceReport, measure_pieces
from intertwine.systems.apen.model.prediction import Prediction, predict_partition
from intertwine.systems.apen.model.set_network import ACTIVATIONS, segment_max, set_network
from intertwine.systems.apen.settings import ModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["APEN"]


class APEN(Pretrained, nn.Module):
    """Classifies the points of clouds, or clouds, by parts that it finds.

    Law: under a motion of a whole cloud logits, partitions and certainties are invariant and votes move with it. Under
    motions of the parts the same holds up to an error that the partitions bound: by the probability that the first one
    mixes parts, and by the uncertainty of the predicted ones. This bound is of the strict network: with ``contact`` it
    holds for motions that change no contact, and with ``context`` not at all.

    Partitions that are drawn are drawn anew in each call while training, and are always the same in evaluation.

    Args:
        settings: of the network.
        rng: generator of the initial weights.

    Example:
        >>> network = APEN(ModelSettings(sigma=(0.1, 0.2), classes=3))
        >>> network(torch.randn(40, 3))["logits"].shape
        torch.Size([40, 3])
    """

    def __init__(self, settings: ModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleList(self._layer(place, rng) for place in range(settings.layers))
        self.contacts = nn.ModuleList(
            Contact(
                settings.scalars, settings.contact_rounds, norm=settings.norm, activation=settings.activation, rng=rng
            )
            for _ in self.layers
            if settings.contact
        )
        width = settings.scalars * (settings.layers + 1)
        self.context = (
            PartContext(settings.scalars, settings.context, settings.group, rng=rng) if settings.context else None
        )
        sizes = (width + settings.context, *settings.head, settings.classes)
        self.head = perceptron(sizes, activation=ACTIVATIONS[settings.activation], rng=rng)

    @property
    def symmetry(self) -> Symmetry:
        """The motions of whole clouds; those of parts hold approximately, see `equivariance_report`."""
        group = E(3) if self.settings.group == "E(3)" else SE(3)
        output = {"logits": Invariant(), "votes": Point(), "certainty": Invariant()}
        return Symmetry(group, inputs={"positions": Point()}, output=output)

    def forward(
        self,
        positions: Float[Tensor, "points 3"],
        batch: Int64[Tensor, " points"] | None = None,
        true_part: Int64[Tensor, " points"] | None = None,
        first_part: Int64[Tensor, " points"] | None = None,
    ) -> dict[str, Tensor]:
        """Return what the network finds.

        Args:
            positions: points of all clouds; one of fewer points than ``contact`` asks for has contacts with all others.
            batch: the cloud of each; one cloud where not given.
            true_part: for the settings that are given the true parts.
            first_part: replaces the first partition.

        Returns:
            ``logits`` (points or clouds, classes); ``votes`` (layers, points, 3); ``parts`` (layers + 1, points), the
            partition before the first layer and after each; ``certainty`` (layers, points), the probability of the
            most probable part of each point.

        Raises:
            ShapeError: if arguments do not fit each other.
            NumericsError: if a coordinate is not finite.
            ConfigError: if true parts are needed and not given.
        """
        found, _ = self._trace(positions, batch, true_part, first_part)
        return found

    @property
    def divides(self) -> bool:
        """Whether its layers predict partitions, so that votes matter."""
        return self.settings.partition == "predicted"

    def divide(
        self,
        positions: Float[Tensor, "points 3"],
        batch: Int64[Tensor, " points"] | None = None,
        first_part: Int64[Tensor, " points"] | None = None,
    ) -> list[Prediction]:
        """Return the partitions that the layers predict, with their mixtures, differentiable by the weights."""
        _, predictions = self._trace(positions, batch, None, first_part)
        return predictions

    def equivariance_report(
        self,
        positions: Float[Tensor, "points 3"],
        batch: Int64[Tensor, " points"] | None = None,
        *,
        true_part: Int64[Tensor, " points"],
        first_part: Int64[Tensor, " points"] | None = None,
        trials: int = 2,
        shift: float = 1.0,
        rng: torch.Generator,
    ) -> PieceReport:
        """Return how far the network is from the law of pieces on some clouds, and how its partitions mix true parts.

        All true parts are moved at random, each on its own. What the network finds must not depend on draws: measure in
        evaluation mode.

        Args:
            positions: points of all clouds.
            batch: the cloud of each; one cloud where not given.
            true_part: by any number; the same number in two clouds means two parts.
            first_part: replaces the first partition.
            trials: motions drawn.
            shift: standard deviation of the translations.
            rng: source of the motions.

        Raises:
            ShapeError: if arguments do not fit each other, or there is no point.
            ConfigError: if the network is in training mode.
        """
        if self.training:
            raise ConfigError("draws of training would be measured", got="training mode", expected="network.eval()")
        if trials < 1:
            raise ConfigError("errors are means over motions", got=f"{trials} trials", expected="at least 1")
        batch = torch.zeros(len(positions), dtype=torch.int64, device=positions.device) if batch is None else batch
        check_clouds("positions", positions, batch)
        if true_part.shape != batch.shape or not len(batch):
            raise ShapeError(
                "the law of pieces needs the true part of each point",
                got={"positions": tuple(positions.shape), "true_part": tuple(true_part.shape)},
                expected="at least one point, and one whole number for each",
            )
        true = compact_ids(true_part, batch)
        return measure_pieces(self, positions, batch, true, first_part=first_part, trials=trials, shift=shift, rng=rng)

    def _trace(
        self, positions: Tensor, batch: Tensor | None, true_part: Tensor | None, first_part: Tensor | None
    ) -> tuple[dict[str, Tensor], list[Prediction]]:
        batch = torch.zeros(len(positions), dtype=torch.int64, device=positions.device) if batch is None else batch
        check_clouds("positions", positions, batch)
        part = self._first(positions, batch, true_part, first_part)
        predictions = []
        rng = self._generator(1) if self.settings.variant == "sample" else None
        members = Memberships.of(part)
        vectors = positions.new_zeros(len(positions), 0, 3)
        scalars = positions.new_ones(len(positions), 1)
        kept, votes, parts, certainty = [], [], [part], []
        near = near_points(positions, self.settings.contact + 1, batch) if self.settings.contact else None
        for place, (sigma, layer) in enumerate(zip(self.settings.sigma, self.layers, strict=True)):
            found = layer(members, positions=positions, vectors=vectors, scalars=scalars)
            same = found["scalars"].shape == scalars.shape
            vectors, scalars = found["vectors"], found["scalars"] + scalars if same else found["scalars"]
            if self.settings.partition == "predicted":
                prediction = predict_partition(found["votes"], batch, part, sigma, self.settings, rng=rng)
                predictions.append(prediction)
                part, members = prediction.part, prediction.members
                certainty.append(prediction.top)
            else:
                certainty.append(torch.ones_like(scalars[:, 0]))
            if near is not None:
                scalars = self.contacts[place](scalars, part, near)
            kept.append(scalars)
            votes.append(found["votes"])
            parts.append(part)
        logits = self.head(self._features(kept, votes[-1], part, batch))
        found = {
            "logits": logits,
            "votes": torch.stack(votes),
            "parts": torch.stack(parts),
            "certainty": torch.stack(certainty),
        }
        return found, predictions

    def _features(self, kept: list[Tensor], votes: Tensor, part: Tensor, batch: Tensor) -> Tensor:
        parts = int(part.max()) + 1 if len(part) else 0
        features = [*kept, segment_max(kept[-1], part, parts).index_select(0, part)]
        if self.context is not None:
            features.append(self.context(votes, kept[-1], part, batch))
        joined = torch.cat(features, dim=1)
        return joined if self.settings.task == "segment" else segment_max(joined, batch, len(cloud_sizes(batch)))

    def _first(self, positions: Tensor, batch: Tensor, true_part: Tensor | None, first: Tensor | None) -> Tensor:
        if self.settings.partition == "oracle":
            if true_part is None:
                raise ConfigError(
                    "this network is given the true parts",
                    got="no true_part",
                    expected="the part of each point",
                    fix='model.partition = "predicted" finds parts itself',
                )
            first = true_part
        if first is not None:
            if first.shape != batch.shape:
                raise ShapeError(
                    "parts do not fit the points", got=tuple(first.shape), expected=f"({len(batch)},), one for each"
                )
            return given(first, batch)
        rng, cells = None, self.settings.cells
        drawn: int | Tensor | None = cells
        if self.settings.initial == "uniform_random" or (self.training and self.settings.vary_cells):
            rng = self._generator(0)
        if self.training and self.settings.vary_cells and cells is None:
            drawn = drawn_parts(cloud_sizes(batch), rng)  # pyright: ignore[reportArgumentType] - it is there
        return compact_ids(initial_partition(self.settings.initial, positions, batch, drawn, rng=rng), batch)

    def _generator(self, purpose: int) -> torch.Generator:
        """Return a source of draws: that of torch decides while training, as for dropout; evaluation repeats itself."""
        return torch.Generator().manual_seed(int(torch.randint(2**31, ())) if self.training else purpose)

    def _layer(self, place: int, rng: torch.Generator | None) -> PiecewiseFrameAverage:
        settings = self.settings
        network = set_network(settings, place, length=settings.length, rng=rng)
        kinds = {"vectors": "vector", "scalars": "scalar"}
        frame = PCAFrame(settings.group, degenerate="ignore")
        return PiecewiseFrameAverage(
            network, frame, inputs={"positions": "point", **kinds}, outputs={"votes": "point", **kinds}
        )
