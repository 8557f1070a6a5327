"""Settings of the task of graphs: its data, its networks, and how often frames are drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from intertwine.training.settings import check_fields

__all__ = ["GraphDataSettings", "GraphModelSettings", "GraphsTask"]


@dataclass(frozen=True)
class GraphDataSettings:
    """Files of graphs with labels: `.npz` archives, graph6, GraphML or edge lists.

    `file@start:stop` takes those graphs of a file, as in `graphs.npz@400:1200`.
    """

    train: str = "fa_graphs/exp_planar_sat.npz@400:1200"
    """File of training graphs."""
    validation: str | None = None
    """File of validation graphs; empty holds out a part of the training graphs."""
    validation_fraction: float = 0.2
    """Part of the training graphs held out where no validation file is given."""
    test: Mapping[str, str] = field(default_factory=dict)
    """Test files by name."""
    classes: tuple[str, ...] = ()
    """Classes in the order of the outputs; empty takes the labels of the training graphs in their order."""
    split_seed: int = 1
    """Seed of the split into training and validation graphs."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            train=(bool(self.train), "a file of graphs"),
            validation=(self.validation != "", "a file of graphs, or empty"),
            validation_fraction=(0 < self.validation_fraction < 1, "between 0 and 1"),
            classes=(len(set(self.classes)) == len(self.classes) != 1, "at least two names, each once, or empty"),
        )


@dataclass(frozen=True)
class GraphModelSettings:
    """The network, and the frames it is averaged over."""

    network: Literal["mlp", "gin"] = "mlp"
    """A perceptron on the whole adjacency matrix, or a graph isomorphism network."""
    frame: Literal["laplacian", "minimal", "group", "none"] = "laplacian"
    """Orders of the nodes: those that sort the signatures of the Laplacian, canonical labellings (`minimal`), any
    order (`group`, which averages over all permutations), or the order of the file (`none`)."""
    samples: int = 1
    """Elements of a frame that are drawn for each graph in each call."""
    use_features: bool = True
    """Whether frames also sort by the features of the nodes."""
    node_ids: bool = False
    """Whether nodes of a `gin` know their place in the drawn order, without which the order changes nothing."""
    node_inputs: bool = True
    """Whether an `mlp` sees the features and degrees of the nodes beside the adjacency matrix."""
    max_nodes: int | None = None
    """Nodes of the largest graph that an `mlp`, or node_ids, can take; empty takes that of the training graphs."""
    widths: tuple[int, ...] = (2048, 4096, 2048)
    """Widths of the hidden layers: of the perceptron, or of the graph convolutions."""
    embedding: int = 10
    """Numbers in which a graph is embedded, before the output."""
    activation: Literal["relu", "tanh"] = "relu"
    """After every layer but the output."""
    pooling: Literal["mean", "sum"] = "mean"
    """How a `gin` makes numbers of a graph from those of its nodes."""
    average: Literal["hidden", "embedding"] = "hidden"
    """Where the mean over drawn elements is taken: of the last hidden layer, or of the embedding."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            samples=(self.samples >= 1, "at least 1"),
            node_ids=(
                not self.node_ids or (self.network == "gin" and self.frame != "none"),
                "false: places in the order are inputs of a gin with a frame",
            ),
            frame=(
                self.network == "mlp" or self.node_ids or self.frame == "none",
                "none, or node_ids true: without them a gin does not see the order of the nodes",
            ),
            max_nodes=(self.max_nodes is None or self.max_nodes >= 1, "at least 1, or empty"),
            widths=(bool(self.widths) and min(self.widths) >= 1, "at least one width of at least 1"),
            embedding=(self.embedding >= 1, "at least 1"),
        )

    @property
    def bounded(self) -> bool:
        """Whether the network has inputs for a certain number of nodes."""
        return self.network == "mlp" or self.node_ids


@dataclass(frozen=True)
class GraphsTask:
    """Graphs: which class each belongs to."""

    data: GraphDataSettings = field(default_factory=GraphDataSettings)
    model: GraphModelSettings = field(default_factory=GraphModelSettings)
    draws: int = 10
    """How often frames are drawn when a run is evaluated or predicts; a prediction is the mean over them."""

    def __post_init__(self) -> None:
        check_fields(self, draws=(self.draws >= 1, "at least 1"))
