"""What a reader sees of a run: results files, tables rendered from them, figures, and the one-file HTML page.

`plots` and `molecule` make figures, `tables` renders documents; all three are imported by name when needed,
and plotly and jinja2 only when a figure or a page is made.
"""

from intertwine.reporting.evaluation import Evaluation, EvaluationRow
from intertwine.reporting.page import Fact, Picture, Section, Table, run_details, write_page
from intertwine.reporting.provenance import collect_versions, current_commit, describe_hardware
from intertwine.reporting.results import PaperFigure, ResultFile, ResultRow, Target

__all__ = [
    "Evaluation",
    "EvaluationRow",
    "Fact",
    "PaperFigure",
    "Picture",
    "ResultFile",
    "ResultRow",
    "Section",
    "Table",
    "Target",
    "collect_versions",
    "current_commit",
    "describe_hardware",
    "run_details",
    "write_page",
]
