"""A system of a few lines: energies and forces of points in a learned well."""

from intertwine.training.system import RecipeInfo, System, Verb

SYSTEM = System(
    name="toy",
    package=__name__,
    summary="Points in a learned well",
    recipe=".settings:ToyRecipe",
    data=".training:make_data",
    module=".training:make_module",
    evaluate=".training:evaluate",
    check=".training:check",
    predict=".training:predict",
    report=".training:report",
    reproduce=".training:reproduce",
    models=(".model:Well",),
    verbs={"wobble": Verb("Wobble the toy", ".training:add_arguments", ".training:wobble")},
    recipes={
        "well": RecipeInfo("A made-up well"),
        "absent": RecipeInfo("Needs data", ("no-such-set/a.xyz",)),
    },
)
