"""Point patterns told apart up to rotation: the eight shapes of four cubes, or sets of points from your own files."""

from intertwine.training.system import RecipeInfo, System

__all__ = ["SYSTEM"]

SYSTEM = System(
    name="tetris",
    package=__name__,
    summary="Point patterns: which shape is it, whatever its orientation, and which of two mirror images",
    recipe=".settings:TetrisRecipe",
    data=".data:make_data",
    module=".training:make_module",
    evaluate=".evaluate:evaluate",
    check=".evaluate:check",
    predict=".predict:predict_files",
    report=".report:sections",
    reproduce=".reproduce:reproduce",
    models=(".model:ShapeClassifier",),
    recipes={
        "shapes": RecipeInfo("The eight shapes of four cubes, two of them mirror images: what a tensor product loses"),
    },
    paper="Xie, Daigavane, Kotak, Smidt, The Price of Freedom, ICML 2025, arXiv 2506.13523",
)
