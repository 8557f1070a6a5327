"""Reading YAML together with the line of every key.

Numbers such as ``1e-3`` are numbers (plain YAML 1.1 reads them as text), and only ``true`` and ``false`` are
booleans.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from intertwine.errors import ConfigError

__all__ = ["Place", "parse_scalar", "read_yaml"]


class Place(NamedTuple):
    """Where a key stands: the file and its line, counted from 1."""

    file: str
    line: int


class _Loader(yaml.SafeLoader):
    """The safe loader with the two changes that the module's page states."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag not in _CHANGED]
    for _CHANGED in [("tag:yaml.org,2002:float", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false|True|False)$"), list("tfTF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)|\d+\.\d*|\.\d+|\.(?:inf|Inf|nan|NaN))$"),
    list("-+.0123456789"),
)


def parse_scalar(text: str) -> Any:
    """Return the value that a piece of YAML text means, for example of a command-line option."""
    return yaml.load(text, Loader=_Loader)


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[tuple[str, ...], Place]]:
    """Return the data of a YAML file, and the place of every key (and of the items of lists).

    Raises:
        ConfigError: if the file is missing, is not YAML, has a key twice, or is not a mapping at the top.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("cannot read this recipe", got=path, expected="a YAML file", fix=str(error)) from error
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        places: dict[tuple[str, ...], Place] = {}
        data = {} if node is None else _value(loader, node, (), path.name, places)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(
            f"{path.name} line {line} is not YAML: {error.problem}",
            got=path,
            fix="check indentation and quotes there",
        ) from error
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name} is not a recipe", got=type(data).__name__, expected="keys with values")
    return data, places


def _value(loader: _Loader, node: yaml.Node, keys: tuple[str, ...], file: str, places: dict) -> Any:
    places.setdefault(keys, Place(file, node.start_mark.line + 1))
    if isinstance(node, yaml.MappingNode):
        data = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            line = key_node.start_mark.line + 1
            if key in data:
                raise ConfigError(
                    f"{file} line {line} has the key `{key}` a second time",
                    got=key,
                    fix="remove one of the two",
                )
            places[(*keys, key)] = Place(file, line)
            data[key] = _value(loader, value_node, (*keys, key), file, places)
        return data
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*keys, str(n)), file, places) for n, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)
