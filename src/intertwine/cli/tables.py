"""Tables on the terminal: one look for all commands."""

from rich.table import Table

__all__ = ["make_table"]


def make_table(*columns: str, whole: int = 1) -> Table:
    """Return a table; its first ``whole`` columns are never broken."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place < whole)
    return table
