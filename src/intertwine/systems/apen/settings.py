"""Settings of APEN: the one source of help texts, the recipes' schema and the reference page."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from intertwine.training.settings import TrainingSettings, check_fields

__all__ = ["ApenRecipe", "DataSettings", "LossSettings", "ModelSettings"]

Initial = Literal["voronoi_fps", "kmeans", "knn_patches", "uniform_random", "singletons", "whole"]


@dataclass(frozen=True)
class ModelSettings:
    """The network: how it divides a cloud into parts, and its sizes. No published code exists: sizes are ours."""

    network: Literal["apen", "fa_pointnet", "pointnet", "dgcnn", "vn_pointnet"] = "apen"
    """APEN, or what it is compared with: a PointNet averaged over the frames of the whole cloud, one without, edge
    convolutions, and a PointNet of vector neurons."""
    task: Literal["segment", "classify"] = "segment"
    """A class for each point, or one for each cloud."""
    classes: int = 14
    """Number of classes."""
    sigma: tuple[float, ...] = (0.02, 0.05, 0.08, 0.12)
    """Widths of the mixtures that divide the votes of each layer, in the unit of length; growing, fine to coarse."""
    length: float = 0.1
    """Typical size of a part: coordinates inside of parts are divided by it before the network sees them."""
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
    neighbours: int = 20
    """Points that edges of a point lead to, itself among them (dgcnn, vn_pointnet)."""
    contact: int = 0
    """Nearest points by which parts touch and tell each other what they look like; 0 keeps the network strict."""
    contact_rounds: int = 2
    """How far that goes in each layer: from a part to the next, and so on."""
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
            length=(self.length > 0, "more than 0"),
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
            contact=(self.contact >= 0, "at least 0"),
            contact_rounds=(self.contact_rounds >= 0, "at least 0"),
            neighbours=(self.neighbours >= 1, "at least 1"),
            variant=(
                self.variant == "hard" or self.partition == "predicted",
                "hard where partitions are not predicted",
            ),
        )

    @property
    def layers(self) -> int:
        """Number of layers that each divide the cloud: one for each width of the mixtures."""
        return len(self.sigma)


@dataclass(frozen=True)
class DataSettings:
    """Clouds to learn from, and which of them are kept for the test."""

    source: Literal["human", "rooms", "files", "dynlab", "multibody"] = "human"
    """Posed human bodies; scans of generated rooms; your own labelled clouds; DynLab scans; MultiBodySync folders."""
    path: str | None = None
    """File or folder of the source; empty takes `apen_human`, `apen_rooms/rooms.npz`, `dynlab` or `multibody`."""
    points: int | None = 2048
    """Points drawn from each cloud; empty takes all that a scan has."""
    test_points: int | None = None
    """Points of each cloud when validating and testing; as `points` when empty."""
    train_clouds: int | None = None
    """Clouds to train on, drawn from those that the split allows; empty takes all."""
    test_clouds: int | None = None
    """Clouds to test on, drawn from those that the split allows; empty takes all."""
    draws: int = 1
    """How often points of each training cloud are drawn anew in one epoch."""
    validation_fraction: float = 0.1
    """Part of the training clouds held out for validation; a single scan validates on other points of itself."""
    seed: int = 0
    """Seed of the split."""
    labels: Literal[14, 22] = 14
    """Body parts that are told apart (human): 22, or 14 with left and right as one."""
    pose: Literal["smooth", "rigid"] = "smooth"
    """How bodies follow their joints (human): skin that bends, or parts that are exactly rigid."""
    split: Literal["random", "unseen_sequence", "unseen_random_sequence"] = "unseen_sequence"
    """What the test holds (human): a tenth of all bodies; `test_sequences` of all; one drawn sequence of each body."""
    train_sequences: tuple[str, ...] = ()
    """Motions to use (human), or to train on with `unseen_sequence`; empty takes all that are not tested."""
    test_sequences: tuple[str, ...] = ("02_03", "02_05", "01_04")
    """Motions to test on (human, `unseen_sequence`)."""
    scene: int | str = 0
    """Scene to learn (rooms: its number; dynlab: its name)."""
    configuration: int = 0
    """The one scan of the scene to train on (rooms, dynlab); the others are the test."""
    train: tuple[str, ...] = ()
    """Files and folders of labelled clouds to train on (files); of its splits (multibody), such as `train`."""
    test: tuple[str, ...] = ()
    """Files and folders of labelled clouds to test on (files); of its splits (multibody), such as `test`."""
    remove_floor: bool = False
    """Whether networks see scans of rooms without their floor; its points count in scores as class 0, the background.
    APEN needs no such help."""
    floor_distance: float = 0.02
    """How far points of the floor are from its plane at most, in the unit of length."""
    up: Literal["x", "y", "z"] = "z"
    """The coordinate of scans that grows upward, where a floor is sought."""
    augmentation: Literal["none", "rotations", "piecewise"] = "none"
    """Random motions of each training cloud, or of each of its parts: what networks without symmetry need."""
    axis: Literal["any", "x", "y", "z"] = "any"
    """Axis of their turns: any, or only the vertical one, which is y for bodies and z for rooms."""
    shift: float = 0.0
    """Standard deviation of the shifts that go with them, in the unit of length."""

    def __post_init__(self) -> None:
        counts = {"points": self.points, "test_points": self.test_points}
        counts |= {"train_clouds": self.train_clouds, "test_clouds": self.test_clouds}
        named = self.source not in ("files", "multibody") or bool(self.train)
        floors = self.source in ("rooms", "dynlab", "files")
        check_fields(
            self,
            **{name: (count is None or count >= 1, "at least 1, or empty") for name, count in counts.items()},
            draws=(self.draws >= 1, "at least 1"),
            validation_fraction=(0 < self.validation_fraction < 1, "between 0 and 1"),
            configuration=(self.configuration >= 0, "at least 0"),
            train=(named, f"names to train on, which {self.source} needs"),
            shift=(self.shift >= 0, "at least 0"),
            remove_floor=(not self.remove_floor or floors, "false, unless the source is rooms, dynlab or files"),
            floor_distance=(self.floor_distance > 0, "more than 0"),
        )
        if self.source == "human" and self.points is None:
            check_fields(self, points=(False, "a number: a body is a surface, of which points are drawn"))

    @property
    def evaluation_points(self) -> int | None:
        """Points of each cloud when nothing is learnt: `test_points`, or `points` where that is empty."""
        return self.points if self.test_points is None else self.test_points


@dataclass(frozen=True)
class LossSettings:
    """What is minimised: the cross-entropy of classes, and what partitions are learnt from."""

    votes: float = 1.0
    """Weight of the distance between votes and the true centres, summed over layers (loss_A)."""
    instances: float = 0.0
    """Weight of the cross-entropy between predicted partitions and the true parts (loss_Q)."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            votes=(self.votes >= 0, "at least 0"),
            instances=(self.instances >= 0, "at least 0"),
        )


@dataclass(frozen=True)
class ApenRecipe:
    """A network for clouds of parts that move on their own: everything that fixes the result."""

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 0
    """Seed of the initial weights, of the order of the data, and of the points that are drawn."""
