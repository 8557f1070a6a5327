"""Settings of a classifier of point patterns: the one source of help texts, the recipes' schema and the reference."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, get_args

from intertwine.training.settings import TrainingSettings, check_fields

__all__ = ["PRODUCT_NAMES", "DataSettings", "ModelSettings", "ProductName", "TetrisRecipe"]

ProductName = Literal["clebsch_gordan", "gaunt", "gaunt_complete", "vector_spherical", "matrix_parity"]
PRODUCT_NAMES: tuple[str, ...] = get_args(ProductName)


@dataclass(frozen=True)
class DataSettings:
    """Which point sets to learn from, and what they are called there."""

    train: str | None = None
    """File of point sets (`.csv` or `.xyz`) with their classes; empty takes the eight shapes of four cubes."""
    validation: str | None = None
    """File of validation sets; empty holds out a part of the training file (or turns the eight shapes)."""
    validation_fraction: float = 0.2
    """Part of the training file held out for validation when no validation file is given."""
    test: Mapping[str, str] = field(default_factory=dict)
    """Test files by name; empty tests the eight shapes, turned."""
    label_key: str = "shape"
    """The column (`.csv`), or the key of the header (`.xyz`), that names the class of a point set."""
    classes: tuple[str, ...] = ()
    """Classes in the order of the outputs; empty takes those of the training sets as they first appear."""
    mirror_pairs: tuple[tuple[str, str], ...] = ()
    """Pairs of classes that are mirror images of each other; all other classes are their own mirror images."""
    rotate: bool = True
    """Turn every point set at random in every training step."""
    turns: int = 4
    """Orientations in which each of the eight shapes is validated and tested."""
    steps_per_epoch: int = 1
    """Optimiser steps of an epoch where one batch holds all training sets; every step then sees all of them."""
    split_seed: int = 1
    """Seed of the split into training and validation sets, and of the orientations to validate and test in."""

    def __post_init__(self) -> None:
        paired = list(chain.from_iterable(self.mirror_pairs))
        check_fields(
            self,
            validation_fraction=(0 < self.validation_fraction < 1, "between 0 and 1"),
            label_key=(bool(self.label_key.strip()), "a name"),
            classes=(len(set(self.classes)) == len(self.classes) != 1, "at least two names, each once, or empty"),
            mirror_pairs=(len(set(paired)) == len(paired), "classes that are in one pair only"),
            turns=(self.turns >= 1, "at least 1"),
            steps_per_epoch=(self.steps_per_epoch >= 1, "at least 1"),
        )


@dataclass(frozen=True)
class ModelSettings:
    """The network: its tensor product and its sizes."""

    product: ProductName = "clebsch_gordan"
    """How features meet the harmonics of an edge: every path (`clebsch_gordan`), the product of functions on the sphere
    (`gaunt`), the same with the couplings that it loses (`gaunt_complete`), the cross product of vector fields on the
    sphere (`vector_spherical`), products of matrices of even and of odd features (`matrix_parity`)."""
    lmax: int = 1
    """Largest degree of the hidden features."""
    harmonics_lmax: int = 2
    """Largest degree of the spherical harmonics of the edges."""
    layers: int = 3
    """Number of message-passing layers; mirror images are told apart from three on (a triple product of vectors)."""
    multiplicity: int = 8
    """Copies of the hidden block: four scalars of either parity, and one irrep of either parity for each degree."""
    embedding: int = 16
    """Scalars in which the type of a point is embedded."""
    product_channels: int = 4
    """Channels of every product but `clebsch_gordan`, which takes the features as they are."""
    cutoff: float = 1.1
    """Distance within which points see each other, in the unit of the coordinates."""
    radial_size: int = 0
    """Number of Bessel functions of the distance that the radial network gets; 0 gives it the distance itself."""
    radial_width: int = 32
    """Hidden width of the network that turns a distance into one factor for each irrep of a message."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            lmax=(1 <= self.lmax <= 8, "from 1 to 8"),
            harmonics_lmax=(1 <= self.harmonics_lmax <= 8, "from 1 to 8"),
            layers=(self.layers >= 1, "at least 1"),
            multiplicity=(self.multiplicity >= 1, "at least 1"),
            embedding=(self.embedding >= 1, "at least 1"),
            product_channels=(self.product_channels >= 1, "at least 1"),
            cutoff=(0 < self.cutoff < float("inf"), "more than 0"),
            radial_size=(self.radial_size >= 0, "at least 0"),
            radial_width=(self.radial_width >= 1, "at least 1"),
        )


@dataclass(frozen=True)
class TetrisRecipe:
    """A classifier of point patterns: everything that fixes the result."""

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 0
    """Seed of the initial weights, of the order of the data and of the random rotations."""
