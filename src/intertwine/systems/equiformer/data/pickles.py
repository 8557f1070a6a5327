"""Graphs out of pickles, without running what a pickle asks for: the published OC20 files are pickles."""

from typing import Any

from intertwine.errors import DataError
from intertwine.training.pickles import Record, unpickle

__all__ = ["unpickle_graph"]

_RECORDS = {
    ("torch_geometric.data.data", "Data"),
    ("torch_geometric.data.data", "DataEdgeAttr"),
    ("torch_geometric.data.data", "DataTensorAttr"),
    ("torch_geometric.data.storage", "GlobalStorage"),
}
"""Classes that hold named values; what they are called differs between versions of torch_geometric."""

_WHAT = "tensors, numpy arrays and graphs of torch_geometric, with pos, atomic_numbers and cell"


def unpickle_graph(content: bytes, where: str) -> Any:
    """Return what a pickle holds: mappings, numbers, tensors and arrays.

    An object of torch_geometric becomes the mapping of its values.

    Args:
        content: the pickle.
        where: names it in errors.

    Raises:
        DataError: if it is damaged, or asks for anything that a graph does not need.
    """
    found = unpickle(content, where, records=_RECORDS, what=_WHAT)
    try:
        return _plain(found)
    except (TypeError, AttributeError) as error:
        raise DataError(f"{where} is damaged", got=str(error), expected=_WHAT) from error


def _plain(value: Any) -> Any:
    """Return the mapping that a record stands for: old ones hold the values, new ones a storage that does."""
    if not isinstance(value, Record):
        return value
    values = value.values
    store = values.get("_store")
    if isinstance(store, Record):
        mapping = store.values.get("_mapping")
        if not isinstance(mapping, dict):
            raise TypeError("the storage of a graph has no mapping")
        return dict(mapping)
    return {name: item for name, item in values.items() if not name.startswith("_")}
