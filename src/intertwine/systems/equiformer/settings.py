"""Settings of EquiformerV2: the one source of help texts, the recipes' schema and the reference page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from intertwine.training.settings import TrainingSettings, check_fields

__all__ = ["DataSettings", "EquiformerRecipe", "LossSettings", "ModelSettings", "SurfaceSettings"]


@dataclass(frozen=True)
class SurfaceSettings:
    """Surfaces made here: metal slabs with an adsorbate, labelled exactly by effective medium theory (ASE's EMT)."""

    sizes: tuple[int, int, int] = (400, 50, 100)
    """Structures for training, validation and test."""
    metals: tuple[str, ...] = ("Cu", "Pd", "Pt")
    """Elements of the slabs, among those that EMT knows: Al, Ni, Cu, Pd, Ag, Pt, Au."""
    adsorbates: tuple[str, ...] = ("H", "C", "N", "O", "CO", "NO")
    """What is put on a slab: an atom, or two of which the first is below."""
    layers: int = 3
    """Layers of 2 x 2 atoms; the lowest is fixed."""
    displacement: float = 0.12
    """Standard deviation (Å) of the displacement of every free atom."""
    seed: int = 20
    """Seed of all of it."""

    def __post_init__(self) -> None:
        metals, light = {"Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"}, {"H", "C", "N", "O", "CO", "OH", "NO", "NH", "CH"}
        check_fields(
            self,
            sizes=(min(self.sizes) >= 1, "three numbers of at least 1"),
            metals=(bool(self.metals) and set(self.metals) <= metals, f"some of {', '.join(sorted(metals))}"),
            adsorbates=(
                bool(self.adsorbates) and set(self.adsorbates) <= light,
                f"some of {', '.join(sorted(light))}",
            ),
            layers=(2 <= self.layers <= 8, "from 2 to 8"),
            displacement=(0 < self.displacement <= 0.5, "more than 0, up to 0.5"),
            seed=(self.seed >= 0, "at least 0"),
        )


@dataclass(frozen=True)
class DataSettings:
    """Which structures to learn from, and the numbers that normalise energies and forces."""

    train: str | None = None
    """Training structures: an `.lmdb` file or a folder of them (OC20), or a file that ASE reads; empty makes some."""
    validation: str | None = None
    """Validation structures; empty holds out a part of the training structures."""
    validation_fraction: float = 0.1
    """Part of the training structures held out for validation when none are named."""
    test: Mapping[str, str] = field(default_factory=dict)
    """Test sets by name, in the order in which tables show them."""
    train_limit: int | None = None
    """Use only this many training structures, after the split; empty uses all."""
    validation_limit: int | None = None
    """Use only the first validation structures; empty uses all."""
    test_limit: int | None = None
    """Use only the first structures of each test set; empty uses all."""
    energy_key: str = "energy"
    """Name of the energy (eV) in files that ASE reads."""
    forces_key: str = "forces"
    """Name of the forces (eV/Å) in files that ASE reads."""
    references: Literal["none", "least_squares"] = "none"
    """What energies are counted from: as they are (adsorption energies), or sums over elements, fitted to the data."""
    energy_mean: float | None = None
    """Energy (eV) that the network's zero stands for; empty measures it."""
    energy_std: float | None = None
    """Energy (eV) that the network's unit stands for; empty measures it."""
    force_std: float | None = None
    """Force (eV/Å) that the network's unit stands for; empty measures it."""
    mean_neighbours: float | None = None
    """Mean number of neighbours of an atom; empty measures it."""
    mean_atoms: float | None = None
    """Mean number of atoms of a structure; empty measures it."""
    statistics_limit: int = 1000
    """Training structures from which those numbers are measured."""
    in_memory: bool = True
    """Keep graphs once they are built; data sets of millions of structures build them anew in each epoch."""
    split_seed: int = 1
    """Seed of the split into training and validation structures."""
    surfaces: SurfaceSettings = field(default_factory=SurfaceSettings)
    """How structures are made where no file is named."""

    def __post_init__(self) -> None:
        limits = ("train_limit", "validation_limit", "test_limit")
        positive = ("energy_std", "force_std", "mean_neighbours", "mean_atoms")
        check_fields(
            self,
            train=(self.train != "", "a file or folder, or null to make structures"),
            validation=(self.validation != "", "a file or folder, or null"),
            validation_fraction=(0 < self.validation_fraction < 1, "between 0 and 1"),
            statistics_limit=(self.statistics_limit >= 1, "at least 1"),
            split_seed=(self.split_seed >= 0, "at least 0"),
            **{
                name: (getattr(self, name) is None or getattr(self, name) >= 1, "at least 1, or empty")
                for name in limits
            },
            **{
                name: (getattr(self, name) is None or getattr(self, name) > 0, "more than 0, or empty")
                for name in positive
            },
        )


@dataclass(frozen=True)
class ModelSettings:
    """The network: its sizes, its activations, and whether it has Gaunt self-interactions."""

    layers: int = 12
    """Number of blocks."""
    lmax: int = 6
    """Largest degree of the features."""
    mmax: int = 2
    """Largest |m| that convolutions mix in the frame of an edge."""
    channels: int = 128
    """Copies of every degree of the features."""
    heads: int = 8
    """Attention heads."""
    attention_hidden: int = 64
    """Channels of the messages before the activation."""
    attention_alpha: int = 64
    """Invariants of each head from which its weight is computed."""
    attention_value: int = 16
    """Channels of each head's values."""
    feed_forward: int = 128
    """Channels inside the feed-forward network of a block, and of the energy's."""
    cutoff: float = 12.0
    """Radius (Å) within which an atom looks for neighbours."""
    max_neighbours: int | None = 20
    """Keep the nearest neighbours of an atom only, and all others as far as the last of them; empty keeps all."""
    elements: int = 90
    """The network knows the elements with atomic numbers 1 to this one."""
    edge_channels: int = 128
    """Width of the networks of an edge, and of the embeddings of its two elements."""
    distance_basis: int = 512
    """Number of Gaussians of the distance."""
    attention_activation: Literal["separable_s2", "gate"] = "separable_s2"
    """Activation of messages: on a sphere grid with scalars apart, or gates (exactly equivariant)."""
    feed_forward_activation: Literal["separable_s2", "grid", "gate"] = "separable_s2"
    """Activation of the feed-forward network; `grid` is a small network on each point of the sphere grid."""
    grid_degree: int = 17
    """Degree of the polynomials on the sphere that the grid integrates exactly; 17 has 18 longitudes, 9 latitudes."""
    norm: Literal["separate", "joint"] = "separate"
    """Normalise scalars and higher degrees apart (`layer_norm_sh`), or together (`rms_norm_sh`)."""
    self_mix: Literal["none", "before_attention", "after_attention", "after_feed_forward"] = "none"
    """Where each block has a residual branch with the Gaunt product of its features with themselves."""
    self_mix_backend: Literal["grid", "separable", "fourier", "fourier_fft", "dense"] = "grid"
    """How that product is computed; the numbers are the same."""
    alpha_dropout: float = 0.1
    """Chance that an attention weight is dropped in training."""
    drop_path: float = 0.05
    """Chance that a residual branch is dropped for a structure in training."""

    def __post_init__(self) -> None:
        widths = ("layers", "channels", "heads", "attention_hidden", "attention_alpha", "attention_value")
        widths = (*widths, "feed_forward", "edge_channels")
        check_fields(
            self,
            lmax=(1 <= self.lmax <= 12, "from 1 (forces are vectors) to 12"),
            mmax=(0 <= self.mmax <= self.lmax, "from 0 to lmax"),
            cutoff=(0 < self.cutoff < 100, "more than 0 and less than 100"),
            max_neighbours=(self.max_neighbours is None or self.max_neighbours >= 1, "at least 1, or empty"),
            elements=(1 <= self.elements <= 118, "from 1 to 118"),
            distance_basis=(self.distance_basis >= 2, "at least 2"),
            grid_degree=(
                not self.on_grid or 2 * self.lmax <= self.grid_degree <= 100,
                "from 2 lmax (below, a function is not recovered from its values) to 100",
            ),
            alpha_dropout=(0 <= self.alpha_dropout < 1, "in [0, 1)"),
            drop_path=(0 <= self.drop_path < 1, "in [0, 1)"),
            **{name: (getattr(self, name) >= 1, "at least 1") for name in widths},
        )

    @property
    def on_grid(self) -> bool:
        """Whether there are activations on a sphere grid, which keep rotations approximately."""
        return (self.attention_activation, self.feed_forward_activation) != ("gate", "gate")


@dataclass(frozen=True)
class LossSettings:
    """Weights of the loss: mean |dE| over structures and mean |dF| over free atoms, in units of the network."""

    energy: float = 2.0
    """Weight of the mean absolute energy error, in units of `energy_std`."""
    forces: float = 100.0
    """Weight of the mean length of the force error, in units of `force_std`."""
    free_atoms_only: bool = True
    """Leave fixed atoms out of the forces' term."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            energy=(self.energy >= 0 and self.energy + self.forces > 0, "at least 0, and not both 0"),
            forces=(self.forces >= 0, "at least 0"),
        )


@dataclass(frozen=True)
class EquiformerRecipe:
    """A network that predicts energies and forces of atoms: everything that fixes the result."""

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 0
    """Seed of the initial weights and of the order of the data."""
