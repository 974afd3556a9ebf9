"""The report of a run, and the tables of the README."""

from gc_utils.reporting.markdown import formula, markdown_to_html
from gc_utils.reporting.report import write_report

__all__ = ["formula", "markdown_to_html", "write_report"]
