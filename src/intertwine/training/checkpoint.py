"""Whole training states on disk, without pickle: ``state.json`` and ``tensors.safetensors`` in one folder.

A new checkpoint replaces the old one only when it is complete and flushed to the disk. Reading one runs no
code.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from intertwine.errors import CheckpointError
from intertwine.training.atomic import recover, write_folder
from intertwine.training.codec import decode, encode
from intertwine.training.tensor_file import read_tensors, write_tensors
from intertwine.training.versions import code_version, convention_version, upgrade

__all__ = ["FORMAT_VERSION", "load_checkpoint", "save_checkpoint", "writing"]

FORMAT_VERSION = 1
"""Version of the layout; raise it together with a registered upgrade."""


def save_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write nested data with tensors as a checkpoint folder.

    Raises:
        CheckpointError: if it cannot be written (the previous one is kept), or holds what cannot be stored.
    """
    tree, tensors = encode(content)

    def fill(folder: Path) -> None:
        digest = write_tensors(tensors, folder / "tensors.safetensors")
        state = {
            "format": FORMAT_VERSION,
            "code": code_version(),
            "convention": convention_version(),
            "sha256": digest,
            "content": tree,
        }
        (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")

    with writing("the checkpoint", path):
        write_folder(path, fill)


@contextlib.contextmanager
def writing(what: str, path: Path) -> Iterator[None]:
    """Turn a failure of the disk, while a file of a run is written, into an error that says how to go on.

    Args:
        what: is written, as the subject of the error's sentence.
        path: where.

    Raises:
        CheckpointError: if the block raises an OSError, such as that of a full disk.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{what} could not be written: {error.strerror or error}",
            got=path,
            expected="room on a disk that can be written to",
            fix="the previous checkpoint is kept; make room, then resume the run",
            code="E601",
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return what `save_checkpoint` was given; tensors are on the CPU.

    Raises:
        CheckpointError: if it is missing, damaged, or of a version that cannot be upgraded.
    """
    recover(path)
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        stored, tree, digest = int(state["format"]), state["content"], state["sha256"]
        convention = int(state["convention"])
    except FileNotFoundError as error:
        raise CheckpointError("there is no checkpoint here", got=path, expected="state.json in it") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "the checkpoint's state.json is damaged", got=path, fix="use another checkpoint of this run"
        ) from error
    if convention != convention_version():
        # Moments of the optimiser depend on the conventions as well, so a training state is never converted.
        raise CheckpointError(
            "this training state was written under other conventions and cannot be continued",
            got=f"convention version {convention}, written by intertwine {state.get('code')}",
            expected=f"convention version {convention_version()}",
            fix="use that version of the package, or start from the run's `model/`, which may be upgraded",
            code="E602",
        )
    content = decode(tree, read_tensors(path / "tensors.safetensors", digest))
    return upgrade("checkpoint", content, stored, FORMAT_VERSION, source=path)
