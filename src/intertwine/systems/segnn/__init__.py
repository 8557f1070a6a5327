"""Steerable E(3) graph networks: where charged particles will be, from where they are and how they move."""

from intertwine.training.system import RecipeInfo, System

__all__ = ["SYSTEM"]

SYSTEM = System(
    name="segnn",
    package=__name__,
    summary="Charged particles: future positions, by steerable E(3) message passing",
    recipe=".settings:SegnnRecipe",
    data=".data:make_data",
    module=".training:make_module",
    evaluate=".evaluate:evaluate",
    check=".evaluate:check",
    predict=".predict:predict_files",
    report=".report:sections",
    reproduce=".reproduce:reproduce",
    models=(".model:SEGNN",),
    recipes={
        "charged5-l1": RecipeInfo("Five charged particles, simulated; attributes of degree 1"),
        "charged5-l2": RecipeInfo("The same, with attributes of degree 2"),
    },
    paper="Brandstetter et al., SEGNN, ICLR 2022; Luo, Chen, Krishnapriyan, Gaunt tensor products, ICLR 2024",
)
