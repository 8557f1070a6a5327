"""The text of the message-passing kernels.

    value:     z[d, k u] = sum over edges e into d, paths p, and i, k of  M_p[i, k] w[e, p u] x[s(e), i u]
    M_p[i, k] = sum over j of  C_p[i, j, k] y[e, j]

A kernel takes one chunk of paths, and one program of it one node and one block of channels; it walks over the edges of
its node. The value walks over the edges that end there, the gradient over those that begin there:

    s_i = sum_k M[i, k] g_k,   dx_i += w s_i,   dw = sum_i x_i s_i,   dy_j = sum over i, k, u of  C[i, j, k] w x_i g_k

A tangent replaces each product by the sum of the products in which one factor is replaced by its tangent. Numbers
named by a place, such as ``x12``, are the row that begins there; ``t`` marks tangents and ``d`` derivatives.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from intertwine.kernels.gpu.channelwise_paths import PathTerms, Row
from intertwine.kernels.gpu.source import indent, number, total

__all__ = ["Frame", "gradient_source", "value_source"]


@dataclass(frozen=True)
class Frame:
    """What a kernel is made for, besides its paths.

    Args:
        dims: lengths of the rows of x, y, z and w.
        lanes: channels of a program.
        number: what it computes with.
        grouped: whether a program walks over edges; otherwise its node is the edge.
        gathered: whether the other end of an edge is given by an index; otherwise it is the edge.
        along: which of the tangents of x, y and w are given, as letters.
    """

    dims: tuple[int, int, int, int]
    lanes: int
    number: str
    grouped: bool
    gathered: bool
    along: str = ""

    def load(self, pointer: str, row: Row, full: bool) -> str:
        """Return the lanes of a row."""
        mask = "" if full else ", mask=inside, other=0.0"
        return f"tl.load({pointer} + {row.address}{mask}).to({self.number})"

    def scalar(self, pointer: str, place: int) -> str:
        """Return one number."""
        return f"tl.load({pointer} + {place}).to({self.number})"

    def zeros(self) -> str:
        """Return a block of zeros."""
        return f"tl.zeros([{self.lanes}], {self.number})"

    def arguments(self, *names: str) -> list[str]:
        """Return the names of a kernel's arguments: its own, the tangents given, and the index that it follows."""
        tangents = [f"t{name}" for name in self.along]
        return [*names, *tangents, *(["order", "begin"] if self.grouped else []), *(["other"] if self.gathered else [])]

    def head(self, name: str, arguments: Sequence[str]) -> list[str]:
        """Return the first lines of a kernel."""
        lines = [
            f"def {name}({', '.join(arguments)}):",
            "    node = tl.program_id(0).to(tl.int64)",
            f"    lane = tl.program_id(1) * {self.lanes} + tl.arange(0, {self.lanes})",
        ]
        if self.grouped:
            lines += ["    first = tl.load(begin + node)", "    last = tl.load(begin + node + 1)"]
        return lines

    def walk(self, body: Iterable[str]) -> list[str]:
        """Return the body for every edge ``e`` of the node; ``far`` is the node at its other end."""
        far = ["far = tl.load(other + e)" if self.gathered else "far = e"]
        if not self.grouped:
            return ["e = node", *far, *body]
        inner = ["e = tl.load(order + place)", *far, *body]
        return ["for place in range(first, last):", *indent(inner)]

    def loads_y(self, paths: Sequence[PathTerms]) -> list[str]:
        """Return the lines that read the harmonics of an edge."""
        places = sorted(set().union(*(path.places_y() for path in paths)))
        names = ["y", *(["ty"] if "y" in self.along else [])]
        return [f"{name}{j} = {self.scalar(f'{name} + e * {self.dims[1]}', j)}" for name in names for j in places]

    def loads_w(self, path: PathTerms, full: bool) -> list[str]:
        """Return the lines that read the weights of a path."""
        names = ["w", *(["tw"] if "w" in self.along else [])]
        return [f"{name}{path.w} = {self.load(f'{name} + e * {self.dims[3]}', Row(path.w), full)}" for name in names]


def value_source(frame: Frame, paths: Sequence[PathTerms]) -> list[str]:
    """Return the text of ``value``, or of its tangent if tangents are given, for one chunk of paths."""
    full = paths[0].channels % frame.lanes == 0
    rows = _distinct(row for path in paths for row in path.z)
    body, seen = frame.loads_y(paths), set[Row]()
    for path in paths:
        body += frame.loads_w(path, full)
        body += _loads_x(frame, path, "far", full, seen)
        body += _weighted(frame, path, moving=True)
        body += _adds(frame, path)
    inner = [
        *([] if full else [f"inside = lane < {paths[0].channels}"]),
        *(f"z{row.name} = {frame.zeros()}" for row in rows),
        *frame.walk(body),
        *(_store(f"z + node * {frame.dims[2]}", row, "z", full) for row in rows),
    ]
    return [*frame.head("value", frame.arguments("z", "x", "y", "w")), *indent(inner)]


def gradient_source(frame: Frame, paths: Sequence[PathTerms], wanted: str) -> list[str]:
    """Return the text of ``gradient``, or of its tangent, for one chunk of paths.

    The derivative by y is written in parts, (part, edge, place), because each program sees only its own paths and
    channels; this chunk's begin at ``part``.

    Args:
        frame: what the kernel is made for.
        paths: the chunk.
        wanted: which of the derivatives by x, y and w, as letters.
    """
    full = paths[0].channels % frame.lanes == 0
    rows = _distinct(row for path in paths for row in path.x)
    begin, seen = list[str](), set[Row]()
    for path in paths:
        begin += _loads_x(frame, path, "node", full, seen)
    if "x" in wanted:
        begin += [f"dx{row.name} = {frame.zeros()}" for row in rows]
    inner = [
        *([] if full else [f"inside = lane < {paths[0].channels}"]),
        *begin,
        *frame.walk(_gradient_of_edge(frame, paths, wanted, full)),
    ]
    if "x" in wanted:
        inner += [_store(f"dx + node * {frame.dims[0]}", row, "dx", full) for row in rows]
    outputs = [f"d{name}" for name in wanted]
    arguments = [*frame.arguments(*outputs, "g", "x", "y", "w"), "edges", "part"]
    return [*frame.head("gradient", arguments), *indent(inner)]


def _gradient_of_edge(frame: Frame, paths: Sequence[PathTerms], wanted: str, full: bool) -> list[str]:
    body, loaded, written = frame.loads_y(paths), set[Row](), set[int]()
    sums: dict[int, list[str]] = {}
    for path in paths:
        body += frame.loads_w(path, full)
        for row in (path.z[k] for k in sorted({k for _, k, _ in path.terms})):
            if row not in loaded:
                body.append(f"g{row.name} = {frame.load(f'g + far * {frame.dims[2]}', row, full)}")
            loaded.add(row)
        if "x" in wanted or "w" in wanted:
            body += _contracted(frame, path)
        moving = frame.along != ""
        if "x" in wanted:
            for i in path.used:
                parts = _products(frame, f"w{path.w}", f"s{i}", "w", "y") if moving else [f"w{path.w} * s{i}"]
                body.append(f"dx{path.x[i].name} = {total(parts, f'dx{path.x[i].name}')}")
        if "w" in wanted:
            parts = []
            for i in path.used:
                x = f"x{path.x[i].name}"
                parts += _products(frame, x, f"s{i}", "x", "y") if moving else [f"{x} * s{i}"]
            before = f"dw{path.w}" if path.w in written else None
            body.append(f"dw{path.w} = {total(parts, before) or frame.zeros()}")
            written.add(path.w)
        if "y" in wanted:
            body += _weighted(frame, path, moving=moving)
            body += _outer(path, "b" if moving else "a", sums)
    body += [_store(f"dw + e * {frame.dims[3]}", Row(place), "dw", full) for place in sorted(written)]
    if "y" in wanted:
        body.append(f"steps = dy + ((tl.program_id(1) + part).to(tl.int64) * edges + e) * {frame.dims[1]}")
        body += [f"tl.store(steps + {j}, tl.sum({total(parts)}, axis=0))" for j, parts in sorted(sums.items())]
    return body


def _distinct(rows: Iterable[Row]) -> list[Row]:
    return sorted(set(rows), key=lambda row: (row.place, row.stride))


def _loads_x(frame: Frame, path: PathTerms, node: str, full: bool, seen: set[Row]) -> list[str]:
    names = ["x", *(["tx"] if "x" in frame.along else [])]
    rows = [row for row in path.x if row not in seen]
    seen.update(rows)
    return [
        f"{name}{row.name} = {frame.load(f'{name} + {node} * {frame.dims[0]}', row, full)}"
        for row in rows
        for name in names
    ]


def _products(frame: Frame, one: str, two: str, letter_one: str, letter_two: str) -> list[str]:
    """Return the parts of the tangent of a product of two numbers whose tangents may be missing."""
    parts = [f"{one} * t{two}"] if letter_two in frame.along else []
    return parts + ([f"t{one} * {two}"] if letter_one in frame.along else [])


def _weighted(frame: Frame, path: PathTerms, moving: bool) -> list[str]:
    """Return a_i = w x_i, and b_i, its tangent."""
    lines = []
    for i in path.used:
        x, w = f"x{path.x[i].name}", f"w{path.w}"
        lines.append(f"a{i} = {w} * {x}")
        parts = _products(frame, w, x, "w", "x")
        if moving and parts:
            lines.append(f"b{i} = {total(parts)}")
    return lines


def _matrix(pairs: Sequence[tuple[int, float]], y: str) -> str:
    """Return an entry of M as text."""
    return f"({total(f'{number(value)} * {y}{place}' for place, value in pairs)})"


def _adds(frame: Frame, path: PathTerms) -> list[str]:
    """Return the lines that add a path to the rows of z."""
    lines = []
    for k, row in enumerate(path.z):
        parts = []
        for i, _, pairs in (term for term in path.terms if term[1] == k):
            if not frame.along:
                parts.append(f"{_matrix(pairs, 'y')} * a{i}")
            if "x" in frame.along or "w" in frame.along:
                parts.append(f"{_matrix(pairs, 'y')} * b{i}")
            if "y" in frame.along:
                parts.append(f"{_matrix(pairs, 'ty')} * a{i}")
        if parts:
            lines.append(f"z{row.name} = {total(parts, f'z{row.name}')}")
    return lines


def _contracted(frame: Frame, path: PathTerms) -> list[str]:
    """Return s_i = sum_k M[i, k] g_k, and its tangent."""
    lines = []
    for name, y in (("s", "y"), *([("ts", "ty")] if "y" in frame.along else [])):
        for i in path.used:
            terms = [term for term in path.terms if term[0] == i]
            parts = (f"{_matrix(pairs, y)} * g{path.z[k].name}" for _, k, pairs in terms)
            lines.append(f"{name}{i} = {total(parts)}")
    return lines


def _outer(path: PathTerms, left: str, sums: dict[int, list[str]]) -> list[str]:
    """Return the lines that add C[i, j, k] a_i g_k for each lane; ``sums`` keeps a running total a place of y."""
    lines, parts = [], {}
    for i, k, pairs in path.terms:
        lines.append(f"p{i}_{k} = {left}{i} * g{path.z[k].name}")
        for place, value in pairs:
            parts.setdefault(place, []).append(f"{number(value)} * p{i}_{k}")
    for place, products in sorted(parts.items()):
        lines.append(f"q{place} = {total(products, sums[place][0] if place in sums else None)}")
        sums[place] = [f"q{place}"]
    return lines


def _store(pointer: str, row: Row, name: str, full: bool) -> str:
    return f"tl.store({pointer} + {row.address}, {name}{row.name}{'' if full else ', mask=inside'})"
