"""Saving and loading models without training code: ``config.json`` and ``model.safetensors`` in one folder.

The layout is that of the Hugging Face Hub. ``config.json`` names the class and how it was constructed; only
classes of this package and of registered systems are ever built from it.
"""

import inspect
import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Self, get_type_hints

import torch
from torch import Tensor, nn

from intertwine.errors import CheckpointError
from intertwine.training.atomic import write_folder
from intertwine.training.registry import get_system, system_names
from intertwine.training.schema import convert, plain
from intertwine.training.system import load_name
from intertwine.training.tensor_file import read_tensors, write_tensors
from intertwine.training.versions import code_version, convention_version, upgrade

__all__ = ["Pretrained", "load_pretrained", "save_pretrained"]


class Pretrained:
    """Mixin for a network, before `torch.nn.Module` in the bases: saves, and loads itself from, a folder.

    The constructor's arguments are kept from the call, so they must be settings dataclasses, numbers, text,
    tensors, or lists, tuples and dictionaries of them, and be annotated; an argument called ``rng`` is not
    kept.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments of the constructor."""
        self = super().__new__(cls)
        object.__setattr__(self, "_arguments", (args, kwargs))
        return self

    def config(self) -> dict[str, Any]:
        """Return how this model was constructed, as plain data."""
        args, kwargs = self._arguments  # type: ignore[attr-defined]
        bound = inspect.signature(type(self)).bind(*args, **kwargs)
        bound.apply_defaults()
        return {name: _plain(value) for name, value in bound.arguments.items() if name != "rng"}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write this model to a folder; an existing one is replaced when the new one is complete."""
        save_pretrained(self, folder, self.config())  # type: ignore[arg-type]

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Return the model of a folder, in evaluation mode, on the CPU.

        Raises:
            CheckpointError: if it is missing, damaged, of another class, or of a version that cannot be
                upgraded.
        """
        model = load_pretrained(folder)
        if not isinstance(model, cls):
            raise CheckpointError(
                "this folder holds a model of another class",
                got=type(model).__qualname__,
                expected=cls.__qualname__,
            )
        return model


def save_pretrained(model: nn.Module, folder: str | Path, config: Mapping[str, Any]) -> None:
    """Write weights and configuration of a model.

    Args:
        model: the network; its class is found again by its import path.
        folder: where to write.
        config: keyword arguments of its constructor, as plain data.

    Raises:
        CheckpointError: if it cannot be written; an existing folder is kept.
    """
    folder = Path(folder)
    tensors = {
        name: torch.clone(value.detach().cpu(), memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    floating = [t.dtype for t in tensors.values() if t.is_floating_point()]

    def fill(place: Path) -> None:
        digest = write_tensors(tensors, place / "model.safetensors")
        content = {
            "class": f"{type(model).__module__}:{type(model).__qualname__}",
            "arguments": dict(config),
            "dtype": _dtype_name(max(floating, key=lambda d: d.itemsize, default=torch.float32)),
            "code_version": code_version(),
            "convention_version": convention_version(),
            "sha256": digest,
        }
        (place / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    try:
        write_folder(folder, fill)
    except OSError as error:
        raise CheckpointError(
            f"the model could not be written: {error.strerror or error}", got=folder, code="E601"
        ) from error


def load_pretrained(folder: str | Path) -> nn.Module:
    """Return the model of a folder, in evaluation mode, on the CPU, in the dtype it was saved in.

    Raises:
        CheckpointError: saying what is missing, damaged, not allowed, or of a version that cannot be
            upgraded.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        name, arguments = config["class"], config["arguments"]
        dtype = getattr(torch, config["dtype"])
        convention = int(config["convention_version"])
    except FileNotFoundError as error:
        raise CheckpointError(
            "there is no saved model here",
            got=folder,
            expected="a folder with config.json and model.safetensors",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            "config.json is damaged", got=f"{folder} ({error!r})", fix="copy it again from where it came"
        ) from error
    tensors = read_tensors(folder / "model.safetensors", config.get("sha256"))
    arguments, tensors = upgrade("conventions", (arguments, tensors), convention, convention_version(), source=folder)
    cls = _allowed_class(name)
    model = cls(**_typed(cls, arguments, folder)).to(dtype)
    _fill(model, tensors, folder)
    return model.eval()


def _allowed_class(name: str) -> type[nn.Module]:
    """Import a class of this package or of a registered system: a file must not name any code to run."""
    allowed = {cls for system in map(get_system, system_names()) for cls in system.model_names()}
    if not (name.startswith("intertwine.") or name in allowed):
        raise CheckpointError(
            "config.json names a class that may not be built from a file",
            got=name,
            expected="a class of intertwine, or of a system registered with `register_system`",
        )
    found = load_name(name)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise CheckpointError("config.json names something that is not a network", got=name)
    return found


def _typed(cls: type, arguments: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    hints = get_type_hints(cls.__init__)
    typed, problems = {}, []
    for name, value in arguments.items():
        annotation = hints.get(name, Any)
        if annotation is Tensor:
            typed[name] = torch.tensor(value["values"], dtype=getattr(torch, value["dtype"]))
            continue
        typed[name], found = convert(value, annotation, (name,))
        problems += found
    unknown = [name for name in arguments if name not in inspect.signature(cls).parameters]
    if problems or unknown:
        raise CheckpointError(
            f"the settings in config.json do not fit {cls.__qualname__}",
            got="; ".join([f"{'.'.join(p.keys)}: {p.text}" for p in problems] + [f"unknown: {n}" for n in unknown]),
            expected="the arguments of its constructor",
            fix=f"use the version of the package that wrote {folder.name}",
        )
    return typed


def _fill(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    own = model.state_dict()
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [n for n in own.keys() & tensors.keys() if own[n].shape != tensors[n].shape]
    if missing or unknown or shapes:
        parts = [("missing", missing), ("not in the model", unknown), ("of another shape", sorted(shapes))]
        raise CheckpointError(
            f"the weights in {folder.name} do not fit the model that config.json describes",
            got="; ".join(f"{label}: {', '.join(names[:8])}" for label, names in parts if names),
            expected=f"the {len(own)} tensors of {type(model).__qualname__}",
            fix="keep config.json and model.safetensors of one save together",
        )
    model.load_state_dict(dict(tensors))


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return {"values": value.tolist(), "dtype": _dtype_name(value.dtype)}
    value = plain(value)
    if is_dataclass(value) or not isinstance(value, (dict, list, str, int, float, bool, type(None))):
        raise CheckpointError(
            "a saved model cannot keep this argument of its constructor",
            got=type(value).__qualname__,
            expected="a settings dataclass, a tensor, or plain data",
        )
    return value


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
