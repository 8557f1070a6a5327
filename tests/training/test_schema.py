"""Field docs, JSON schema and conversion from the dataclasses."""

from dataclasses import fields
from typing import Literal

import pytest
from toy_system.settings import ModelSettings, ToyRecipe

from intertwine.training.schema import convert, field_docs, json_schema
from intertwine.training.settings import TrainingSettings


def test_docs_are_the_strings_under_the_fields():
    assert field_docs(ModelSettings)["width"] == "Hidden units."
    assert set(field_docs(TrainingSettings)) == {item.name for item in fields(TrainingSettings)}


def test_json_schema_names_types_defaults_and_what_is_required():
    schema = json_schema(ToyRecipe)
    assert schema["required"] == ["data"]
    model = schema["properties"]["model"]["properties"]
    assert model["width"] == {"type": "integer", "description": "Hidden units.", "default": 8}
    assert model["kind"]["enum"] == ["well", "hill"]
    assert model["radial"]["properties"]["cutoff"]["default"] == 5.0
    training = schema["properties"]["training"]["properties"]
    assert training["ema"]["anyOf"] == [{"type": "number"}, {"type": "null"}]
    assert training["betas"]["minItems"] == 2
    assert schema["properties"]["model"]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (3, float, 3.0),
        (3.0, int, 3),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, "a"], tuple[int, str], (1, "a")),
        ({"a": 1}, dict[str, float], {"a": 1.0}),
        (None, int | None, None),
        (2, int | str, 2),
        ("2", int | str, "2"),
        (2, float | int, 2),
        (32, Literal["32", "64"], "32"),
        ([[1], []], list[list[int]], [[1], []]),
    ],
)
def test_conversion(value, annotation, expected):
    got, problems = convert(value, annotation)
    assert not problems
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (True, int), (1, bool), ("1", int), (1.5, int), (None, str), ([1], tuple[int, int]), ("ab", list[str]),
        (True, Literal["True"]), ({1: 2}, dict[str, int]), ("x", int | None),
    ],
)  # fmt: skip
def test_refusal(value, annotation):
    assert len(convert(value, annotation)[1]) == 1


def test_problems_inside_an_optional_section_are_located():
    _, problems = convert({"widht": 3}, ModelSettings | None, ("model",))
    assert [p.keys for p in problems] == [("model", "widht")]
    assert "`width`" in problems[0].text
