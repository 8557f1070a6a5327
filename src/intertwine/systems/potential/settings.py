"""Settings of an interatomic potential: the one source of help texts, the recipes' schema and the reference page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from intertwine.training.settings import TrainingSettings, check_fields

__all__ = ["DataSettings", "LossSettings", "ModelSettings", "PotentialRecipe"]


@dataclass(frozen=True)
class DataSettings:
    """Which structures to learn from, and under which names their labels stand."""

    train: str = ""
    """File of training structures (extended XYZ, or anything ASE reads)."""
    validation: str | None = None
    """File of validation structures; empty holds out a part of the training file."""
    validation_fraction: float = 0.1
    """Part of the training file held out for validation when no validation file is given."""
    train_limit: int | None = None
    """Use only this many structures after the split; empty uses all."""
    test: Mapping[str, str] = field(default_factory=dict)
    """Test files by name, in the order in which tables show them."""
    isolated_atoms: str | None = None
    """File with one isolated atom of each element; empty fits reference energies by least squares."""
    energy_key: str = "energy"
    """Name of the total energy (eV) in the files."""
    forces_key: str = "forces"
    """Name of the forces (eV/Å) in the files."""
    stress_key: str | None = None
    """Name of the stress (eV/Å³, ASE's sign) in the files; empty trains without stress."""
    split_seed: int = 1
    """Seed of the split into training and validation structures."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            train=(bool(self.train), "a file of training structures"),
            validation_fraction=(0 < self.validation_fraction < 1, "between 0 and 1"),
            train_limit=(self.train_limit is None or self.train_limit >= 1, "at least 1, or empty"),
        )


@dataclass(frozen=True)
class ModelSettings:
    """The network: its architecture and its sizes."""

    architecture: Literal["mace", "nequip"] = "mace"
    """`mace` builds many-body features by symmetric contraction; `nequip` stacks gated convolutions."""
    product: Literal["clebsch_gordan", "so2", "gaunt_grid", "gaunt_fourier"] = "clebsch_gordan"
    """Tensor product: `so2` equals `clebsch_gordan`; the Gaunt ones equal each other and lose odd couplings."""
    cutoff: float = 5.0
    """Radius (Å) within which atoms see each other."""
    layers: int = 2
    """Number of message-passing layers."""
    channels: int = 64
    """Copies of every irrep of the hidden features."""
    hidden_lmax: int = 1
    """Largest degree of the hidden features."""
    harmonics_lmax: int = 3
    """Largest degree of the spherical harmonics of the edges (and of the features that `mace` contracts)."""
    correlation: int = 3
    """Largest number of neighbours that meet in one product (`mace`); the body order is one more."""
    first_layer: Literal["residual", "mixed"] = "residual"
    """How the species of an atom enters the first layer (`mace`): as a term, or by mixing what the layer gathers."""
    odd_parity: bool = True
    """Also keep irreps of unnatural parity, such as 1e (`nequip`)."""
    radial_size: int = 8
    """Number of radial Bessel functions."""
    radial_power: int = 5
    """Power p of the polynomial cutoff."""
    radial_widths: tuple[int, ...] = (64, 64, 64)
    """Hidden widths of the network that turns a distance into weights."""
    readout_width: int = 16
    """Hidden width of the last readout."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            cutoff=(0 < self.cutoff < 100, "more than 0 and less than 100"),
            layers=(self.layers >= 1, "at least 1"),
            channels=(self.channels >= 1, "at least 1"),
            hidden_lmax=(0 <= self.hidden_lmax <= self.harmonics_lmax, "from 0 to harmonics_lmax"),
            harmonics_lmax=(0 <= self.harmonics_lmax <= 12, "from 0 to 12"),
            correlation=(self.correlation >= 1, "at least 1"),
            radial_size=(self.radial_size >= 1, "at least 1"),
            radial_widths=(min(self.radial_widths, default=1) >= 1, "widths of at least 1"),
            radial_power=(self.radial_power >= 2, "at least 2"),
            readout_width=(self.readout_width >= 1, "at least 1"),
            odd_parity=(
                not (self.odd_parity and self.architecture == "nequip" and self.product.startswith("gaunt")),
                "false: Gaunt products write natural parity only",
            ),
        )


@dataclass(frozen=True)
class LossSettings:
    """Weights of the loss: mean of dE²/N per structure, of dF² per component, of (V dS)²/N² per structure."""

    energy: float = 1.0
    """Weight of the squared energy error divided by the number of atoms (eV²)."""
    forces: float = 1000.0
    """Weight of the mean squared force component (eV²/Å²)."""
    stress: float = 0.0
    """Weight of the mean squared virial component per atom (eV²); needs `data.stress_key`."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            energy=(self.energy >= 0 and self.energy + self.forces + self.stress > 0, "at least 0, and not all 0"),
            forces=(self.forces >= 0, "at least 0"),
            stress=(self.stress >= 0, "at least 0"),
        )


@dataclass(frozen=True)
class PotentialRecipe:
    """A potential trained on quantum-chemistry data: everything that fixes the result."""

    data: DataSettings
    model: ModelSettings = field(default_factory=ModelSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 0
    """Seed of the initial weights and of the order of the data."""
