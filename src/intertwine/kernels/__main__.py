"""``python -m intertwine.kernels``: build all kernels of this machine, check them, and say which run."""

import sys
import warnings

import torch

from intertwine.kernels import channelwise, grid_product, harmonics, symmetric_polynomials

FAMILIES = (channelwise, symmetric_polynomials, harmonics, grid_product)


def main() -> int:
    """Print one line a kernel; return 0, also where references run: they are slower, not wrong."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reasons are printed below
        for family in FAMILIES:
            for device in devices:
                for dtype in (torch.float32, torch.float64):
                    state = family.state(device, dtype)
                    name = str(dtype).removeprefix("torch.")
                    sys.stdout.write(f"{family.name:<24} {device:<6} {name:<9} {state}\n")
                    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
