"""Frame averaging: any network made invariant or equivariant, on particles, surfaces and graphs."""

from intertwine.training.system import RecipeInfo, System

__all__ = ["SYSTEM"]

_CHARGED = ("nbody_charged5",)

SYSTEM = System(
    name="frame_averaging",
    package=__name__,
    summary="Any network made equivariant by frames: particles, normals of surfaces, classes of graphs",
    recipe=".settings:FrameAveragingRecipe",
    data=".tasks:make_data",
    module=".tasks:make_module",
    evaluate=".tasks:evaluate",
    check=".tasks:check",
    predict=".tasks:predict_files",
    report=".tasks:sections",
    reproduce=".tasks:reproduce",
    models=(".model.gnn:GNN", ".model.egnn:EGNN", ".model.radial_field:RadialField", ".model.linear:StraightLine"),
    recipes={
        "particles-fa-gnn": RecipeInfo("Five charged particles: a graph network with frames between its layers"),
        "particles-gnn": RecipeInfo("The same without frames"),
        "particles-egnn": RecipeInfo("The same task, EGNN"),
        "particles-rf": RecipeInfo("The same task, radial field"),
        "particles-mfa-gnn": RecipeInfo("The same task, one minimal frame"),
        "particles-learned-gnn": RecipeInfo("The same task, one frame that a network learns"),
    },
    paper="Puny et al., Frame Averaging for Invariant and Equivariant Network Design, ICLR 2022",
)
