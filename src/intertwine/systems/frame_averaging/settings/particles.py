"""Settings of the task of charged particles: its data, its networks, and what is special to its training."""

from dataclasses import dataclass, field
from typing import Literal

from intertwine.particles.settings import ParticleDataSettings
from intertwine.systems.frame_averaging.settings.framing import FrameSettings
from intertwine.training.settings import check_fields

__all__ = ["CanonicalizationSettings", "ParticleModelSettings", "ParticlesTask"]


@dataclass(frozen=True)
class CanonicalizationSettings:
    """The network of vectors that gives learned frames."""

    features: Literal["p", "pv", "pva", "pvc", "pvac"] = "pv"
    """Vectors of a particle that it sees: p the position from the centroid, v the velocity, a their vector product, c
    the position times the charge."""
    layers: int = 4
    """Number of layers."""
    hidden: int = 16
    """Vectors in each layer."""
    dropout: float = 0.5
    """Part of the vectors that are left out in training."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            layers=(self.layers >= 1, "at least 1"),
            hidden=(self.hidden >= 1, "at least 1"),
            dropout=(0 <= self.dropout < 1, "from 0 to below 1"),
        )


@dataclass(frozen=True)
class ParticleModelSettings:
    """The network that predicts later positions."""

    network: Literal["gnn", "egnn", "radial_field", "linear"] = "gnn"
    """Messages between all pairs (`gnn`, averaged over frames if there are any), EGNN, a radial field, or a straight
    line with one learned time."""
    frame: FrameSettings = field(default_factory=FrameSettings)
    """Over which frames a `gnn` is averaged; kind `none` gives the baseline without symmetry."""
    canonicalization: CanonicalizationSettings = field(default_factory=CanonicalizationSettings)
    """The network that gives learned frames (kind `learned`)."""
    reframe: bool = True
    """Whether a `gnn` finds new frames from its hidden vectors between layers."""
    velocity_weight: float = 0.0
    """Weight with which velocities take part in the frames, as points about the centroid."""
    canonical_rotations: int = 0
    """Random rotations of what a `gnn` sees in each training step, after it is seen from the frames; each has a loss of
    its own."""
    hidden: int = 60
    """Width of the hidden features."""
    layers: int = 4
    """Number of layers."""
    distances: bool = True
    """Whether a `gnn` knows the squared distances of pairs beside the products of their charges."""
    ends: Literal["both", "difference"] = "both"
    """Messages of a `gnn` take the features of both ends, or their difference."""
    normalise: bool = False
    """Layer normalisation of the messages of a `gnn`."""
    dropout: float = 0.0
    """Part of the numbers in the messages of a `gnn` that are left out in training."""
    predicts: Literal["position", "displacement"] = "position"
    """What a `gnn` gives: positions from the centroid (from the origin without frames), or steps from the start."""

    def __post_init__(self) -> None:
        framed = self.network == "gnn" and self.frame.kind != "none"
        learned = framed and self.frame.kind == "learned"
        check_fields(
            self,
            velocity_weight=(self.velocity_weight >= 0, "at least 0"),
            hidden=(
                self.hidden >= 1 and not (framed and self.reframe and self.hidden % 3),
                "at least 1, and divisible by 3 where hidden features are seen as vectors (reframe)",
            ),
            layers=(self.layers >= 1, "at least 1"),
            dropout=(0 <= self.dropout < 1, "from 0 to below 1"),
            canonical_rotations=(
                self.canonical_rotations == 0 or (self.canonical_rotations > 0 and framed),
                "at least 0, and 0 without frames",
            ),
            reframe=(
                not (framed and self.reframe)
                or self.frame.kind in ("pca", "planar", "minimal")
                or (self.frame.kind == "weighted" and self.frame.tuples is not None),
                "false with learned frames, which see the particles only, and with weighted frames unless frame.tuples "
                "is set: those of all hidden vectors have too many elements",
            ),
            canonicalization=(
                not (learned and "a" in self.canonicalization.features and self.frame.group in ("E(3)", "O(3)")),
                f"features without vector products for {self.frame.group}, since reflections turn those the other way",
            ),
        )


@dataclass(frozen=True)
class ParticlesTask:
    """Charged particles: where they will be, from where they are and how they move."""

    data: ParticleDataSettings = field(default_factory=ParticleDataSettings)
    model: ParticleModelSettings = field(default_factory=ParticleModelSettings)
    poses: Literal["simulated", "aligned"] = "simulated"
    """How samples lie in space: as they are, without a preferred direction, or turned so that their principal axes lie
    along the coordinates, which turned test sets then undo."""
    loss: Literal["squared", "absolute"] = "squared"
    """What is minimised: the mean over coordinates of the squared, or of the absolute error."""
    augmentation: Literal["none", "rotations"] = "none"
    """Whether each training sample is turned by a new random rotation in each step."""
