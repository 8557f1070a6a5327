"""Nested Python data with tensors, as a JSON tree and a flat dictionary of tensors; types come back exactly.

Plain JSON values stand for themselves. Everything else is an object with the key ``$``: tensors (stored
apart, by the path at which they were found), tuples, sets, ordered dictionaries, and dictionaries whose keys
are not all text.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from intertwine.errors import CheckpointError

__all__ = ["decode", "encode"]


def encode(content: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return the JSON tree and the tensors of nested data.

    Raises:
        CheckpointError: naming the path of a value that cannot be stored without running code to read it.
    """
    tensors: dict[str, Tensor] = {}
    return _encode(content, "", tensors), tensors


def decode(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return what `encode` was given.

    Raises:
        CheckpointError: if a tensor is missing or the tree holds an unknown mark.
    """
    if isinstance(tree, list):
        return [decode(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    kind = tree.get("$")
    if kind is None:
        return {key: decode(item, tensors) for key, item in tree.items()}
    if kind == "tensor":
        if tree["at"] not in tensors:
            raise CheckpointError(
                "tensors and JSON of this checkpoint do not fit", got="no tensor", expected=tree["at"]
            )
        return tensors[tree["at"]]
    if kind == "float":
        return float(tree["value"])
    if kind in _SEQUENCES:
        return _SEQUENCES[kind](decode(item, tensors) for item in tree["items"])
    if kind in _MAPPINGS:
        return _MAPPINGS[kind]((decode(key, tensors), decode(item, tensors)) for key, item in tree["items"])
    raise CheckpointError("this checkpoint holds a value of an unknown kind", got=kind, fix="update this package")


_SEQUENCES: dict[str, Any] = {"tuple": tuple, "set": set}
_MAPPINGS: dict[str, Any] = {"dict": dict, "ordered": OrderedDict}


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"$": "float", "value": repr(value)}
    if isinstance(value, Tensor):
        name = path or "value"
        while name in tensors:
            name += "'"
        # A copy of its own: several tensors may share memory, and a view may be a small part of a large one.
        tensors[name] = torch.clone(value.detach().cpu(), memory_format=torch.contiguous_format)
        return {"$": "tensor", "at": name}
    if kind is list:
        return [_encode(item, _join(path, place), tensors) for place, item in enumerate(value)]
    for name, sequence in _SEQUENCES.items():
        if kind is sequence:
            ordered = sorted(value, key=repr) if sequence is set else value
            return {"$": name, "items": [_encode(v, _join(path, n), tensors) for n, v in enumerate(ordered)]}
    if kind is dict and all(type(key) is str for key in value) and "$" not in value:
        return {key: _encode(item, _join(path, key), tensors) for key, item in value.items()}
    for name, mapping in _MAPPINGS.items():
        if kind is mapping:
            items = [
                [_encode(key, _join(path, "key"), tensors), _encode(item, _join(path, key), tensors)]
                for key, item in value.items()
            ]
            return {"$": name, "items": items}
    raise CheckpointError(
        "a checkpoint cannot hold this value",
        got=f"{kind.__module__}.{kind.__qualname__} at {path or 'the top'}",
        expected="tensors, numbers, text, None, and dict, list, tuple, set of them",
        fix="store its parts, and rebuild it when loading",
    )


def _join(path: str, key: Any) -> str:
    return f"{path}/{key}" if path else str(key)
