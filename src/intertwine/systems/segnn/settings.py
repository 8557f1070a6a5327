"""Settings of steerable graph networks: the one source of help texts, the recipes' schema and the reference page."""

from dataclasses import dataclass, field
from typing import Literal

from intertwine.particles.settings import ParticleDataSettings
from intertwine.training.settings import TrainingSettings, check_fields

__all__ = ["ModelSettings", "SegnnRecipe"]


@dataclass(frozen=True)
class ModelSettings:
    """The network: its product and its sizes."""

    product: Literal["clebsch_gordan", "gaunt", "gaunt_complete"] = "clebsch_gordan"
    """The product of features with attributes: `gaunt` has the couplings of even l1+l2+l3, `gaunt_complete` all."""
    layers: int = 4
    """Number of message-passing layers."""
    hidden: int = 64
    """Width of a layer of scalars; the hidden irreps have the number of channels that needs as many weights."""
    hidden_lmax: int = 1
    """Largest degree of the hidden features."""
    attribute_lmax: int = 1
    """Largest degree of the attributes of edges and nodes."""
    parity: Literal["natural", "all"] | None = None
    """Parities of the hidden irreps: (-1)^l, or both of every degree; empty takes those that the product writes."""
    product_channels: int | None = None
    """Channels in which a Gaunt product multiplies; empty takes those of the hidden irreps."""
    backend: Literal["grid", "separable", "fourier", "fourier_fft", "dense"] = "grid"
    """How a Gaunt product is computed; the numbers are the same."""

    def __post_init__(self) -> None:
        complete = self.product == "gaunt_complete"
        written = {"gaunt": "natural", "gaunt_complete": "all"}.get(self.product, self.parity)
        check_fields(
            self,
            parity=(
                self.parity in (None, written),
                f"{written} with {self.product}: its couplings of {'any' if complete else 'even'} sum write those",
            ),
            layers=(self.layers >= 1, "at least 1"),
            hidden=(self.hidden >= 1, "at least 1"),
            hidden_lmax=(1 <= self.hidden_lmax <= 8, "from 1 (positions are vectors) to 8"),
            attribute_lmax=(1 <= self.attribute_lmax <= 8, "from 1 to 8"),
            product_channels=(self.product_channels is None or self.product_channels >= 1, "at least 1, or empty"),
            backend=(
                not complete or self.backend == "grid",
                "grid with gaunt_complete, which has no other",
            ),
        )

    @property
    def unnatural(self) -> bool:
        """Whether hidden features have irreps of unnatural parity, such as pseudovectors."""
        return self.parity == "all" or self.product == "gaunt_complete"


@dataclass(frozen=True)
class SegnnRecipe:
    """A network that predicts positions of charged particles: everything that fixes the result."""

    data: ParticleDataSettings = field(default_factory=ParticleDataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 0
    """Seed of the initial weights and of the order of the data."""
