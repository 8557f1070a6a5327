"""Settings of APEN: the one source of help texts, the recipes' schema and the reference page."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from intertwine.training.settings import check_fields

__all__ = ["ModelSettings"]

Initial = Literal["voronoi_fps", "kmeans", "knn_patches", "uniform_random", "singletons", "whole"]


@dataclass(frozen=True)
class ModelSettings:
    """The network: how it divides a cloud into parts, and its sizes. No published code exists: sizes are ours."""

    task: Literal["segment", "classify"] = "segment"
    """A class for each point, or one for each cloud."""
    classes: int = 14
    """Number of classes."""
    sigma: tuple[float, ...] = (0.02, 0.05, 0.08, 0.12)
    """Widths of the mixtures that divide the votes of each layer, in the unit of length; growing, fine to coarse."""
    merge_distance: float = 1.0
    """Centres closer than this times `sigma` become one; 0 merges none."""
    repulsion: float = 0.0
    """Weight tau of the repulsion of centres in the energy of the mixture."""
    em_iterations: int = 30
    """Most steps of expectation and maximisation in each layer."""
    variant: Literal["hard", "soft", "sample"] = "hard"
    """Parts: the most probable one (phi_III of the paper), all with their probabilities (phi_I), or draws (phi_II)."""
    draws: int = 4
    """Partitions drawn in each layer (`sample`)."""
    initial: Initial = "voronoi_fps"
    """The first, finest partition."""
    cells: int | None = None
    """Parts of the first partition; empty takes a quarter of the points."""
    vary_cells: bool = True
    """Whether training draws the number of cells (an eighth to a half of the points) and where they begin."""
    partition: Literal["predicted", "fixed", "oracle"] = "predicted"
    """Partitions of the later layers: predicted from votes, the first one throughout, or the true parts throughout."""
    coarsen_only: bool = True
    """Whether cells move as wholes, so that each partition is coarser than the one before."""
    implicit: Literal["observed", "complete", "none"] = "observed"
    """How centres are differentiated by votes, where parts are soft or learnt."""
    group: Literal["E(3)", "SE(3)"] = "E(3)"
    """Motions that each part may make; E(3) cannot tell a part from its mirror image."""
    scalars: int = 64
    """Invariant features of each point."""
    vectors: int = 16
    """Vector features of each point."""
    widths: tuple[int, ...] = (64, 64, 128)
    """Widths of the network that each part is seen by, before its maximum is taken."""
    hidden: int = 128
    """Width of that network after the maximum."""
    head: tuple[int, ...] = (256, 128)
    """Widths of the layers between features and classes."""
    context: int = 0
    """Features of where parts lie to each other, which follow common motions only; 0 keeps the network strict."""
    norm: Literal["layer", "batch", "none"] = "layer"
    """Normalisation of hidden features."""
    activation: Literal["silu", "relu"] = "silu"
    """Nonlinearity of hidden features."""

    def __post_init__(self) -> None:
        grow = all(a <= b for a, b in pairwise(self.sigma)) and min(self.sigma, default=0) > 0
        check_fields(
            self,
            classes=(self.classes >= 2, "at least 2"),
            sigma=(grow, "one number or more, positive, that do not fall"),
            merge_distance=(self.merge_distance >= 0, "at least 0"),
            repulsion=(self.repulsion >= 0, "at least 0"),
            em_iterations=(self.em_iterations >= 1, "at least 1"),
            draws=(self.draws >= 1, "at least 1"),
            cells=(self.cells is None or self.cells >= 1, "at least 1, or empty"),
            scalars=(self.scalars >= 1, "at least 1"),
            vectors=(self.vectors >= 0, "at least 0"),
            widths=(bool(self.widths) and min(self.widths, default=0) >= 1, "one number or more, each at least 1"),
            hidden=(self.hidden >= 1, "at least 1"),
            head=(min(self.head, default=1) >= 1, "numbers of at least 1"),
            context=(self.context >= 0, "at least 0"),
            variant=(
                self.variant == "hard" or self.partition == "predicted",
                "hard where partitions are not predicted",
            ),
        )

    @property
    def layers(self) -> int:
        """Number of layers that each divide the cloud: one for each width of the mixtures."""
        return len(self.sigma)
