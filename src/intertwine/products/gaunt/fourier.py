"""The Gaunt product in the Fourier basis of the torus: convolution of coefficients, direct or by fast transforms.

This is the way of the paper that introduced the product. The grid on the sphere does the same with half the points and
in real numbers, and is faster. (Luo, Chen, Krishnapriyan, "Gaunt Tensor Products", ICLR 2024.)
"""

from abc import abstractmethod
from math import ceil, log2
from typing import ClassVar, final

from jaxtyping import Complex, Float
from torch import Tensor

from intertwine.products.gaunt.fourier_series import FromFourier, ToFourier, convolve, convolve_fft, fast_size
from intertwine.products.gaunt.grid import GauntProduct

__all__ = ["GauntFourier", "GauntFourierFFT"]


class _GauntFourier(GauntProduct):
    """What both ways share: transforms to and from the Fourier basis.

    Args:
        irreps_in1: irreps of the first input, multiplicity 1 each, of parity p (-1)^l with one p.
        irreps_in2: irreps of the second input, likewise.
        irreps_out: what to write; None writes everything, up to the sum of the largest degrees.
        normalization: ``integral`` or ``component``, as for `GauntGrid`.

    Raises:
        RepresentationError: if parities are mixed, an output cannot be written, or the normalization is unknown.
    """

    def _add_tables(self) -> None:
        self.bandwidth = self.irreps_in1.lmax + self.irreps_in2.lmax
        self.to_fourier1, self.to_fourier2 = ToFourier(self.irreps_in1), ToFourier(self.irreps_in2)
        self.from_fourier = FromFourier(self.irreps_out, self.bandwidth, self._scales)

    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return the product; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """
        self.check_inputs(x, y)
        return self.from_fourier(self._convolve(self.to_fourier1(x), self.to_fourier2(y), self.irreps_out.lmax))

    @staticmethod
    @abstractmethod
    def _convolve(
        f: Complex[Tensor, "*batch _ _"], g: Complex[Tensor, "*batch _ _"], orders: int
    ) -> Complex[Tensor, "*batch _ _"]:
        """Return the coefficients of the product up to the order v = ``orders``."""

    def _transforms(self) -> int:
        """Operations of the transforms: a sign a component, and a matrix product with a table of u an order."""
        inputs = sum(irreps.dim * (2 * (2 * irreps.lmax + 1) + 1) for irreps in (self.irreps_in1, self.irreps_in2))
        return inputs + self.irreps_out.dim * (2 * (self.bandwidth + 1) + 1)

    def _coefficients(self) -> int:
        """Numbers that the coefficients of both inputs and of the product take."""
        widths = [(2 * irreps.lmax + 1) * (irreps.lmax + 1) for irreps in (self.irreps_in1, self.irreps_in2)]
        return 2 * (sum(widths) + (2 * self.bandwidth + 1) * (self.irreps_out.lmax + 1))

    def _series(self) -> list[tuple[int, int]]:
        """Frequencies and orders, of both signs, of both inputs; then frequencies and orders v >= 0 of the product."""
        widths = [2 * irreps.lmax + 1 for irreps in (self.irreps_in1, self.irreps_in2)]
        return [*((width, width) for width in widths), (2 * self.bandwidth + 1, self.irreps_out.lmax + 1)]


@final
class GauntFourier(_GauntFourier):
    """The Gaunt product by direct convolution of Fourier coefficients.

    Arguments and numbers are those of `GauntGrid`. Half of the plane, v >= 0, is computed: the other follows.

    Example:
        >>> GauntFourier("0e + 1o", "1o").irreps_out
        Irreps('1x0e + 1x1o + 1x2e')
    """

    name: ClassVar[str] = "gaunt_fourier"

    @staticmethod
    def _convolve(
        f: Complex[Tensor, "*batch _ _"], g: Complex[Tensor, "*batch _ _"], orders: int
    ) -> Complex[Tensor, "*batch _ _"]:
        return convolve(f, g, orders)

    def flops(self) -> int:
        """Return the operations of the transforms, and of the convolution: 8 a complex term, 2 a complex sum."""
        (u1, v1), (u2, _), (_, v3) = self._series()
        return self._transforms() + u1 * u2 * v3 * (8 * v1 + 2)

    def traffic(self) -> int:
        """Return the numbers read and written: inputs, output, and coefficients, shifted rows and terms twice."""
        (u1, v1), (u2, v2), (u3, v3) = self._series()
        numbers = 2 * (u1 * v1 + u2 * v2 + u3 * v3) + 2 * u2 * v3 * (u1 + v1)
        return self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim + 2 * numbers


@final
class GauntFourierFFT(_GauntFourier):
    """The Gaunt product by fast Fourier transforms: values on a grid of the torus, which covers the sphere twice.

    Arguments and numbers are those of `GauntGrid`. Transforms are real ones, of a length that factorises well.

    Example:
        >>> GauntFourierFFT("0e + 1o", "1o").irreps_out
        Irreps('1x0e + 1x1o + 1x2e')
    """

    name: ClassVar[str] = "gaunt_fourier_fft"

    @staticmethod
    def _convolve(
        f: Complex[Tensor, "*batch _ _"], g: Complex[Tensor, "*batch _ _"], orders: int
    ) -> Complex[Tensor, "*batch _ _"]:
        return convolve_fft(f, g, orders)

    @property
    def torus_shape(self) -> tuple[int, int]:
        """The points of the grid in theta and in phi."""
        return fast_size(2 * self.bandwidth + 1), fast_size(self.bandwidth + self.irreps_out.lmax + 1)

    def flops(self) -> int:
        """Return the operations of the harmonic transforms, of three real transforms (2.5 N log2 N), and of values."""
        points = self.torus_shape[0] * self.torus_shape[1]
        return self._transforms() + ceil(7.5 * points * log2(points)) + points

    def traffic(self) -> int:
        """Return the numbers read and written: inputs, output, and coefficients and values of each twice."""
        points = self.torus_shape[0] * self.torus_shape[1]
        numbers = 2 * sum(u * v for u, v in self._series()) + 3 * points
        return self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim + 2 * numbers
