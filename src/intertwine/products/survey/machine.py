"""What the machine at hand can do at best: operations a second in a matrix product, bytes a second in an addition.

The two bound every product (the roofline): a product of arithmetic intensity I (operations a byte) runs at most at
``min(peak, I * bandwidth)``. Both are measured, never looked up.
"""

import time
from dataclasses import dataclass

import torch

__all__ = ["MachineLimits", "measure_machine"]

_CPU_SIZE, _CUDA_SIZE = 1024, 8192
_ARRAY_BYTES = 128 * 2**20


@dataclass(frozen=True)
class MachineLimits:
    """Limits of a machine for one dtype and the present number of threads.

    Args:
        peak_flops_s: operations a second of a large square matrix product (a multiply-add counts as two).
        bandwidth_bytes_s: bytes a second, two read and one written, of adding arrays larger than the caches.
    """

    peak_flops_s: float
    bandwidth_bytes_s: float

    def attainable(self, intensity: float) -> float:
        """Return the operations a second that a given arithmetic intensity allows."""
        return min(self.peak_flops_s, intensity * self.bandwidth_bytes_s)


def measure_machine(
    dtype: torch.dtype = torch.float32, device: "torch.device | str" = "cpu", *, repetitions: int = 8
) -> MachineLimits:
    """Measure the limits; the best of the repetitions counts, as nothing else can make a machine too fast.

    Takes about a second and 400 MB on a CPU.
    """
    device = torch.device(device)
    size = _CUDA_SIZE if device.type == "cuda" else _CPU_SIZE
    rng = torch.Generator(device=device).manual_seed(0)
    a = torch.randn(size, size, generator=rng, device=device, dtype=torch.float32).to(dtype)
    product = torch.empty_like(a)
    seconds = _best(lambda: torch.mm(a, a, out=product), device, repetitions)
    peak = 2 * size**3 / seconds
    count = _ARRAY_BYTES // dtype.itemsize
    x, y = torch.ones(count, dtype=dtype, device=device), torch.ones(count, dtype=dtype, device=device)
    total = torch.empty_like(x)
    seconds = _best(lambda: torch.add(x, y, out=total), device, repetitions)
    return MachineLimits(peak, 3 * count * dtype.itemsize / seconds)


def _best(call, device: torch.device, repetitions: int) -> float:
    best = float("inf")
    for _ in range(repetitions + 2):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return best
