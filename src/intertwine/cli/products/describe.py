"""``intertwine products list`` and ``explain``: what there is, and whether a path is possible."""

from rich.console import Console

from intertwine.cli.parsing import command_parser
from intertwine.cli.products.options import one_of
from intertwine.cli.tables import make_table

__all__ = ["explain_path", "list_all"]

_COUPLES = {
    "even": "those with l1 + l2 + l3 even",
    "odd": "those with l1 + l2 + l3 odd",
    "all but 6j zeros": "all but accidental zeros of a 6j symbol, the first at degrees 3, 5, 6",
}


def list_all(words: list[str], console: Console) -> int:
    """List the products, or all that is known about one."""
    parser = command_parser("products list", "List the products, or all that is known about one")
    parser.add_argument("product", nargs="?", help="Name of one.")
    parser.add_argument("--kind", type=str, help="Only product, convolution or many_body.")
    args = parser.parse_args(words)
    one_of("kind", args.kind, (None, "product", "convolution", "many_body"))
    from intertwine.products.survey.registry import find_product, list_products

    if args.product is not None:
        entry = find_product(args.product)
        facts = {
            "what it is": entry.summary,
            "also called": ", ".join(entry.aliases),
            "kind": entry.kind.replace("_", "-"),
            "couplings": _COUPLES.get(entry.couples, entry.couples),
            "strengths": "tied: the weights of couplings multiply" if entry.tied else "free: one a coupling",
            "loses": entry.loses,
            "group": entry.group,
            "cost": f"{entry.cost} with all degrees up to L",
            "class": entry.path,
            "paper": entry.source,
        }
        console.print(entry.name, style="bold", highlight=False)
        for label, text in facts.items():
            if text:
                console.print(f"  {label:<12}{text}", highlight=False, soft_wrap=True)
        return 0
    table = make_table("product", "couplings", "cost", "what it is", whole=3)
    for entry in list_products(args.kind):
        few = "almost all" if entry.couples.startswith("all but") else entry.couples
        strengths = "tied" if entry.tied else "free"
        only = "" if entry.group == "O(3)" else f"; {entry.group} only"
        table.add_row(entry.name, f"{few}, {strengths}", entry.cost, entry.summary + only)
    console.print(table)
    console.print(
        "couplings: by the sum l1 + l2 + l3, with free or with tied strengths; cost: with all degrees up to L\n"
        "more about one: intertwine products list NAME",
        style="dim",
        highlight=False,
    )
    return 0


def explain_path(words: list[str], console: Console) -> int:
    """Say whether a product can compute a path; status 1 if it cannot, or if none can."""
    parser = command_parser("products explain", "Say whether a product can compute a path, and which can if it cannot")
    parser.add_argument("path", help='Two irreps and one, such as "2o x 2o -> 1e".')
    parser.add_argument("--product", type=str, help="Name of a product (default: all).")
    args = parser.parse_args(words)
    from intertwine.products.survey.registry import explain, list_products, parse_path

    if args.product is not None:
        found = explain(args.path, args.product)
        console.print(found.text, highlight=False, soft_wrap=True)
        return 0 if found.possible else 1
    a, b, c = parse_path(args.path)
    if c not in a * b:
        series = ", ".join(map(str, a * b))
        text = f"{a} x {b} -> {c}: impossible, the product of {a} and {b} contains only {series}, whatever computes it"
        console.print(text, highlight=False, soft_wrap=True)
        return 1
    table = make_table("product", "", "constant", "why", whole=3)
    for entry in list_products():
        found = explain(args.path, entry.name)
        constant = "" if found.constant is None else f"{found.constant:.6g}"
        table.add_row(entry.name, "possible" if found.possible else "impossible", constant, found.reason)
    console.print(table)
    return 0
