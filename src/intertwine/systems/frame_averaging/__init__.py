"""Frame averaging: any network made invariant or equivariant, on particles, surfaces and graphs."""

from intertwine.training.system import RecipeInfo, System

__all__ = ["SYSTEM"]

_EXP = ("fa_graphs/exp_planar_sat.npz",)
_MNIST = ("mnist/train-images-idx3-ubyte.gz",)
_CHARGED = ("nbody_charged5",)
_ABC = ("abc/10k", "abc/splits/abc_512_10k")

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
    models=(
        ".model.gnn:GNN",
        ".model.egnn:EGNN",
        ".model.radial_field:RadialField",
        ".model.linear:StraightLine",
        ".model.graph_classifier:GraphClassifier",
        ".model.set_classifier:SetClassifier",
        ".model.pointnet:PointNetNormals",
        ".model.local_pointnet:LocalPointNetNormals",
        ".model.dgcnn:DGCNNNormals",
        ".model.vn_pointnet:VNPointNetNormals",
        ".model.vn_dgcnn:VNDGCNNNormals",
    ),
    recipes={
        "particles-fa-gnn": RecipeInfo("Five charged particles: a graph network with frames between its layers"),
        "particles-gnn": RecipeInfo("The same without frames"),
        "particles-egnn": RecipeInfo("The same task, EGNN"),
        "particles-rf": RecipeInfo("The same task, radial field"),
        "particles-mfa-gnn": RecipeInfo("The same task, one minimal frame"),
        "particles-learned-gnn": RecipeInfo("The same task, one frame that a network learns"),
        "exp-fa-mlp": RecipeInfo("Graphs of EXP: a perceptron, averaged over frames of the Laplacian", _EXP),
        "exp-fa-gin": RecipeInfo("The same task, a graph isomorphism network that knows the order of the nodes", _EXP),
        "exp-gin": RecipeInfo("The same without frames: no better than chance", _EXP),
        "exp-ga-mlp": RecipeInfo("The perceptron, averaged over all permutations: no better than chance", _EXP),
        "digits": RecipeInfo("Digits as sets of points: a perceptron, averaged over orders of the points", _MNIST),
        "normals-fa-pointnet": RecipeInfo("Normals of CAD models: PointNet averaged over frames", data=_ABC),
        "normals-pointnet": RecipeInfo("The same task, PointNet with T-nets", data=_ABC),
        "normals-fa-local-pointnet": RecipeInfo("The same task, PointNet on features of framed patches", data=_ABC),
        "normals-fa-dgcnn": RecipeInfo("The same task, DGCNN averaged over frames", data=_ABC),
        "normals-dgcnn": RecipeInfo("The same task, DGCNN", data=_ABC),
        "normals-vn-pointnet": RecipeInfo("The same task, PointNet of vector neurons", data=_ABC),
        "normals-vn-dgcnn": RecipeInfo("The same task, DGCNN of vector neurons", data=_ABC),
    },
    paper="Puny et al., Frame Averaging for Invariant and Equivariant Network Design, ICLR 2022",
)
