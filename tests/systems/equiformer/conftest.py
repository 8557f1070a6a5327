"""Surfaces to try things on, and the published file layout written with stand-ins for torch_geometric's classes."""

import pickle
import sys
import types

import pytest
from equiformer_samples import SMALL, graph_fields, make_surface

from intertwine.systems.equiformer.data import collate_surfaces, make_graph


@pytest.fixture
def small():
    """Settings of a network of milliseconds."""
    return SMALL


@pytest.fixture
def surface():
    return make_surface


@pytest.fixture
def batch_of():
    def build(structures, settings=SMALL):
        return collate_surfaces(
            [make_graph(s, settings.cutoff, settings.max_neighbours, settings.elements) for s in structures]
        )

    return build


@pytest.fixture
def geometric(monkeypatch):
    """Classes that pickle under torch_geometric's names: ``old(**fields)`` and ``new(**fields)`` give the bytes.

    The library itself is not there when a file is read: the names are taken out again.
    """

    def module(name):
        made = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    def dumped(build, protocol):
        with monkeypatch.context():
            for name in ("torch_geometric", "torch_geometric.data"):
                module(name)
            data, storage = module("torch_geometric.data.data"), module("torch_geometric.data.storage")
            data.Data = type("Data", (), {"__module__": data.__name__})
            data.DataEdgeAttr = type("DataEdgeAttr", (), {"__module__": data.__name__})
            storage.GlobalStorage = type("GlobalStorage", (), {"__module__": storage.__name__})
            content = pickle.dumps(build(data, storage), protocol=protocol)
        for name in [name for name in sys.modules if name.startswith("torch_geometric")]:
            monkeypatch.delitem(sys.modules, name)
        return content

    def old(protocol=pickle.HIGHEST_PROTOCOL, **fields):
        def build(data, storage):
            graph = data.Data()
            vars(graph).update({"x": None, "edge_attr": None, "__num_nodes__": None} | fields)
            return graph

        return dumped(build, protocol)

    def new(protocol=pickle.HIGHEST_PROTOCOL, **fields):
        def build(data, storage):
            graph, store = data.Data(), storage.GlobalStorage()
            vars(store).update({"_mapping": fields, "_parent": graph})
            vars(graph).update({"_edge_attr_cls": data.DataEdgeAttr, "_store": store})
            return graph

        return dumped(build, protocol)

    return types.SimpleNamespace(old=old, new=new)


@pytest.fixture
def write_lmdb():
    """``write_lmdb(path, contents, length=...)`` writes pickles in the published layout."""

    def write(path, contents, length="count"):
        import lmdb

        # as the published preprocessing opens it, but for the size of the map
        with lmdb.open(str(path), map_size=1 << 26, subdir=False, meminit=False, map_async=True) as environment:
            with environment.begin(write=True) as transaction:
                for number, content in enumerate(contents):
                    transaction.put(f"{number}".encode("ascii"), content)
                if length is not None:
                    count = len(contents) if length == "count" else length
                    transaction.put(b"length", pickle.dumps(count, protocol=-1))
            environment.sync()
        return path

    return write


@pytest.fixture
def fields_of():
    return graph_fields
