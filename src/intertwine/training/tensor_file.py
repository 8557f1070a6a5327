"""Tensors in one safetensors file, with a digest so that a damaged file is never read as good numbers."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from intertwine.errors import CheckpointError

__all__ = ["read_tensors", "write_tensors"]


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Write tensors (contiguous, sharing no memory) and return the SHA-256 of the file."""
    from safetensors.torch import save

    data = save(dict(tensors), metadata={"format": "pt"})
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: Path, digest: str | None = None) -> dict[str, Tensor]:
    """Read the tensors of a file onto the CPU.

    Raises:
        CheckpointError: if the file is missing, cut short, or differs from its digest.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = path.read_bytes()
        if digest is not None and hashlib.sha256(data).hexdigest() != digest:
            raise CheckpointError(
                f"{path.name} is damaged: it is not the file that was written",
                got=f"{len(data)} bytes with another SHA-256 in {path.parent}",
                expected=f"SHA-256 {digest[:16]}...",
                fix="copy it again from where it came, or use another checkpoint",
            )
        return load(data)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no {path.name} in {path.parent}", got=path) from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path.name} is damaged or cut short",
            got=f"{path} ({error})",
            fix="copy it again from where it came, or use another checkpoint",
        ) from error
