"""From settings dataclasses to texts and checks: field docs, JSON schema, conversion of plain data.

Supported types are those of recipes: ``bool``, ``int``, ``float``, ``str``, ``Path``, ``None``, ``Literal``,
``list``, ``tuple``, ``dict`` with text keys, unions of these, and nested frozen dataclasses.
"""

import ast
import functools
import inspect
import itertools
import textwrap
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from intertwine.errors import ConfigError
from intertwine.training.words import nearest

__all__ = ["Problem", "convert", "describe", "field_docs", "json_schema", "plain", "section_type"]

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with plain data: where (keys from the top), and what."""

    keys: Keys
    text: str


@functools.cache
def field_docs(cls: type) -> dict[str, str]:
    """Return the help text of each field: the string literal written under it, in the class or its bases."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not is_dataclass(base):
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        except (OSError, TypeError):  # no source: made at run time
            continue
        for statement, following in itertools.pairwise(body):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                docs[statement.target.id] = " ".join(following.value.value.split())
    return docs


def json_schema(cls: type) -> dict[str, Any]:
    """Return the JSON schema of a settings dataclass, with descriptions and defaults, for editors."""
    schema = _schema_of(cls)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": cls.__name__, **schema}


def _schema_of(annotation: Any) -> dict[str, Any]:
    if is_dataclass(annotation):
        hints, docs = get_type_hints(annotation), field_docs(annotation)
        properties, required = {}, []
        for item in fields(annotation):
            entry = _schema_of(hints[item.name])
            if item.name in docs:
                entry["description"] = docs[item.name]
            if item.default is not MISSING:
                entry["default"] = plain(item.default)
            elif item.default_factory is not MISSING:
                entry["default"] = plain(item.default_factory())
            else:
                required.append(item.name)
            properties[item.name] = entry
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema_of(a) for a in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple and Ellipsis not in arguments:
        count = len(arguments)
        items = [_schema_of(a) for a in arguments]
        return {"type": "array", "prefixItems": items, "minItems": count, "maxItems": count}
    if origin in (list, tuple, Sequence):
        return {"type": "array", "items": _schema_of(arguments[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema_of(arguments[1])}
    names = {
        bool: "boolean",
        int: "integer",
        float: "number",
        str: "string",
        Path: "string",
        types.NoneType: "null",
    }
    return {"type": names[annotation]} if annotation in names else {}


def plain(value: Any) -> Any:
    """Return settings as plain data (dicts, lists, numbers, text) that YAML and JSON hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def section_type(annotation: Any) -> type | None:
    """Return the dataclass that an annotation means (also of an optional one), or None."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return next((o for o in options if isinstance(o, type) and is_dataclass(o)), None)


def describe(annotation: Any) -> str:
    """Return what an annotation accepts, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in (None, types.NoneType):
        return "empty"
    if origin in (Union, types.UnionType):
        return " or ".join(describe(a) for a in arguments)
    if origin is Literal:
        return "one of " + ", ".join(_quoted(a) for a in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"{len(arguments)} values ({', '.join(describe(a) for a in arguments)})"
    if origin in (list, tuple, Sequence):
        return f"a list, each {describe(arguments[0])}"
    if origin in (dict, Mapping):
        return f"names, each with {describe(arguments[1])}"
    if is_dataclass(annotation):
        return "a section with keys"
    words = {bool: "true or false", int: "an integer", float: "a number", str: "text", Path: "a path"}
    return words.get(annotation, str(annotation))


def convert(value: Any, annotation: Any, keys: Keys = ()) -> tuple[Any, list[Problem]]:
    """Return ``value`` as the annotated type, and every problem met (then the value means nothing)."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    wrong = [Problem(keys, f"got {_quoted(value)}, expected {describe(annotation)}")]
    if annotation is Any:
        return value, []
    if isinstance(annotation, type) and is_dataclass(annotation):
        if isinstance(value, annotation):
            return value, []
        return _section(value, annotation, keys) if isinstance(value, Mapping) else (None, wrong)
    if origin in (Union, types.UnionType):
        tried = [convert(value, option, keys) for option in arguments]
        exact = next((t for t in tried if not t[1] and type(t[0]) is type(value)), None)
        deepest = max((t for t in tried), key=lambda t: max((len(p.keys) for p in t[1]), default=0))
        good = exact or next((t for t in tried if not t[1]), None)
        nested = isinstance(value, Mapping) and section_type(annotation) is not None
        return good or (deepest if nested else (None, wrong))
    if origin is Literal:
        match = [a for a in arguments if a == value and type(a) is type(value)]
        match = match or [
            a for a in arguments if isinstance(a, str) and not isinstance(value, bool) and a == str(value)
        ]
        return (match[0], []) if match else (None, wrong)
    if origin in (list, tuple, Sequence):
        return _sequence(value, origin, arguments, keys) or (None, wrong)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            return None, wrong
        parts = {key: convert(item, arguments[1], (*keys, key)) for key, item in value.items()}
        return {key: part[0] for key, part in parts.items()}, [p for part in parts.values() for p in part[1]]
    return _scalar(value, annotation, wrong)


def _scalar(value: Any, annotation: Any, wrong: list[Problem]) -> tuple[Any, list[Problem]]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    rules: dict[Any, tuple[bool, Callable[[Any], Any]]] = {
        bool: (isinstance(value, bool), bool),
        int: (number and float(value).is_integer(), int),
        float: (number, float),
        str: (isinstance(value, (str, Path)), str),
        Path: (isinstance(value, (str, Path)), Path),
        types.NoneType: (value is None, lambda empty: empty),
    }
    if annotation not in rules:
        raise ConfigError("recipes cannot hold fields of this type", got=annotation, expected="see the module's page")
    holds, make = rules[annotation]
    return (make(value), []) if holds else (None, wrong)


def _sequence(value: Any, origin: Any, arguments: tuple, keys: Keys) -> tuple[Any, list[Problem]] | None:
    if not isinstance(value, (list, tuple)):
        return None
    fixed = origin is tuple and Ellipsis not in arguments
    if fixed and len(value) != len(arguments):
        return None
    types_of_items = arguments if fixed else [arguments[0]] * len(value)
    parts = [
        convert(item, kind, (*keys, str(place)))
        for place, (item, kind) in enumerate(zip(value, types_of_items, strict=True))
    ]
    items = [part[0] for part in parts]
    return tuple(items) if origin is tuple else items, [p for part in parts for p in part[1]]


def _section(value: Mapping, cls: type, keys: Keys) -> tuple[Any, list[Problem]]:
    hints = get_type_hints(cls)
    known = {item.name: item for item in fields(cls)}
    problems = [
        Problem((*keys, str(key)), f"unknown key; {nearest(str(key), known) or 'known: ' + ', '.join(known)}")
        for key in value
        if key not in known
    ]
    arguments = {}
    for name, item in known.items():
        if name in value:
            arguments[name], found = convert(value[name], hints[name], (*keys, name))
            problems += found
        elif item.default is MISSING and item.default_factory is MISSING:
            problems.append(Problem((*keys, name), f"missing; expected {describe(hints[name])}"))
    if problems:
        return None, problems
    try:
        return cls(**arguments), []
    except ConfigError as error:
        return None, _located(error, keys)


def _located(error: ConfigError, keys: Keys) -> list[Problem]:
    """Return one problem per field that a dataclass refused (see `check_fields`), or its message as one."""
    if isinstance(error.got, Mapping) and isinstance(error.expected, Mapping):
        return [
            Problem((*keys, name), f"got {_quoted(value)}, expected {error.expected.get(name, 'another value')}")
            for name, value in error.got.items()
        ]
    rest = [f"expected {error.expected}" if error.expected else "", error.fix or ""]
    return [Problem(keys, "; ".join(part for part in (error.message, *rest) if part))]


def _quoted(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
