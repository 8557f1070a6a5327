"""APEN: clouds made of parts that move on their own, which the network finds; classes of points, or of clouds."""

from intertwine.training.system import RecipeInfo, System

__all__ = ["SYSTEM"]

SYSTEM = System(
    name="apen",
    package=__name__,
    summary="Clouds of moving parts: body parts, objects of rooms, subjects; equivariant by pieces",
    recipe=".settings:ApenRecipe",
    data=".data:make_data",
    module=".training:make_module",
    evaluate=".evaluate:evaluate",
    check=".evaluate:check",
    predict=".predict:predict_files",
    report=".report:sections",
    reproduce=".reproduce:reproduce",
    models=(".model:APEN", ".model:PointNet", ".model:DGCNN", ".model:VNPointNet"),
    recipes={
        "human-parts": RecipeInfo("Body parts of moving bodies, left and right as one", ("apen_human",)),
        "human-parts-22": RecipeInfo("Body parts of moving bodies, left and right apart", ("apen_human",)),
        "human-subjects": RecipeInfo("Who a moving body is", ("apen_human",)),
        "rooms": RecipeInfo("Objects of a room, learnt from one scan of it", ("apen_rooms/rooms.npz",)),
    },
    paper="Atzmon, Huang, Williams, Litany, Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024",
)
