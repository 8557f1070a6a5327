"""Settings of the task of normals: its surfaces, its networks, and what is special to its training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from intertwine.systems.frame_averaging.settings.framing import FrameSettings
from intertwine.training.settings import check_fields

__all__ = ["NormalsDataSettings", "NormalsModelSettings", "NormalsTask"]


@dataclass(frozen=True)
class NormalsDataSettings:
    """Which surfaces to learn from, and how points are drawn from them."""

    train: str = "fa_cad/cad_procedural.npz"
    """Training meshes: a packed `.npz` file, or a folder of `.ply`, `.obj`, `.stl` or `.off` files."""
    train_names: str | None = None
    """JSON file of the names of the files of `train` to use, as published with ABC; empty uses all."""
    test: Mapping[str, str] = field(default_factory=dict)
    """Test meshes by name, as `train`; empty takes the last of each family of the training meshes."""
    test_names: Mapping[str, str] = field(default_factory=dict)
    """JSON files of the names of the files to use, by the names of `test`."""
    test_per_family: int = 4
    """Without `test`: the last meshes of each family (name in the packed file, or folder) that are held out for it."""
    train_meshes: int | None = None
    """Use only so many training meshes, spread evenly over them; empty uses all."""
    test_meshes: int | None = None
    """Use only so many meshes of each test set, spread evenly; empty uses all."""
    validation_fraction: float = 0.0
    """Part of the training meshes held out for validation; with 0, validation draws other points of the same meshes."""
    points: int = 512
    """Points drawn from each surface, uniformly by area, anew in each epoch."""
    size: Literal["rms", "max_norm", "norm_std", "none"] = "rms"
    """What is made 1 of each cloud about its centroid; `norm_std`, the published one, has no limit for spheres."""
    scale_range: tuple[float, float] = (0.8, 1.25)
    """Smallest and largest factor that training clouds are scaled with, each by its own."""
    regime: Literal["I", "SO(3)"] = "I"
    """How training clouds lie: as the files have them, or each turned by a new random rotation. Test sets are always
    measured both ways."""

    def __post_init__(self) -> None:
        low, high = self.scale_range
        check_fields(
            self,
            train=(bool(self.train), "a file or a folder"),
            test_per_family=(self.test_per_family >= 1, "at least 1"),
            train_meshes=(self.train_meshes is None or self.train_meshes >= 1, "at least 1, or empty"),
            test_meshes=(self.test_meshes is None or self.test_meshes >= 1, "at least 1, or empty"),
            test_names=(set(self.test_names) <= set(self.test), "names of test sets"),
            validation_fraction=(0 <= self.validation_fraction < 1, "from 0 to below 1"),
            points=(self.points >= 4, "at least 4"),
            scale_range=(0 < low <= high, "two positive numbers, the smaller first"),
        )


@dataclass(frozen=True)
class NormalsModelSettings:
    """The network that gives the normal at each point."""

    network: Literal["pointnet", "local_pointnet", "dgcnn", "vn_pointnet", "vn_dgcnn"] = "pointnet"
    """PointNet; PointNet on features of patches, each in frames of its own; edge convolutions; both of vector neurons.
    The first and third are averaged over frames if there are any, the second always, the last two need none."""
    frame: FrameSettings = field(default_factory=FrameSettings)
    """Over which frames a network is averaged; kind `none` gives the baseline without symmetry."""
    transforms: bool = False
    """Whether a `pointnet` has the maps of its input and of its features that it finds itself (T-nets)."""
    neighbours: int = 20
    """Neighbours of a point, itself included, in patches and edges; published are 20, and 40 for edge convolutions."""
    pool: Literal["max", "mean"] = "max"
    """Pooling of a `dgcnn` over neighbours and points: published are mean with frames, max without."""
    skip_input: bool = False
    """Whether the pooled features of a `dgcnn` also see the coordinates, as published with frames."""
    dropout: float = 0.5
    """Part of the numbers in the head of a `dgcnn` that are left out in training."""
    cross_products: bool = False
    """Whether features of an edge of vector neurons have a vector product too, so that only rotations, and not
    reflections, turn the normals; as in the published vector neurons."""
    narrower: int = 1
    """Divides all published widths."""

    def __post_init__(self) -> None:
        local = self.network == "local_pointnet"
        check_fields(
            self,
            frame=(
                not local or (self.frame.kind == "pca" and self.frame.mode == "all" and self.frame.signs == "all"),
                "kind pca, mode all and all signs with local_pointnet",
            ),
            transforms=(not self.transforms or self.network == "pointnet", "false, except with pointnet"),
            cross_products=(not self.cross_products or "vn" in self.network, "false, except with vector neurons"),
            neighbours=(self.neighbours >= 2, "at least 2"),
            dropout=(0 <= self.dropout < 1, "from 0 to below 1"),
            narrower=(1 <= self.narrower <= 16, "from 1 to 16"),
        )


@dataclass(frozen=True)
class NormalsTask:
    """Clouds of points on surfaces: the normal at each point, up to its sign."""

    data: NormalsDataSettings = field(default_factory=NormalsDataSettings)
    model: NormalsModelSettings = field(default_factory=NormalsModelSettings)
    regulariser: float = 0.001
    """Weight of the penalty on maps of features that are not orthogonal (with `transforms`)."""
    regulariser_form: Literal["orthogonal", "published"] = "orthogonal"
    """The penalty of a map T: the norm of 1 - T T^t, or that of T (T^t - 1) as in the published code."""

    def __post_init__(self) -> None:
        check_fields(self, regulariser=(self.regulariser >= 0, "at least 0"))
