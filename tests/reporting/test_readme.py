"""The README's tables, made from a run's findings."""

from __future__ import annotations

import pytest

from gc_utils.errors import UserError
from gc_utils.evidence import Findings, load_findings
from gc_utils.reporting.readme import markdown_table, papers_table, update_readme
from gc_utils.reporting.report import html_table


def test_tables_of_claims(tmp_path, record):
    record(Findings(tmp_path, "03_cluster"), why="a|b & <c>")
    found = load_findings(tmp_path)
    markdown = markdown_table(found)
    assert markdown.splitlines()[2].startswith("| GC1 | features cluster into families | Gorton")
    assert r"a\|b" in markdown
    assert "a|b &amp; &lt;c&gt;" in html_table(found)
    readme = tmp_path / "README.md"
    readme.write_text(
        "<!-- papers -->\n<!-- /papers -->\nbefore\n<!-- claims -->\nold\n<!-- /claims -->\nafter\n"
    )
    update_readme(readme, tmp_path)
    papers = papers_table(load_findings(tmp_path))
    assert readme.read_text() == (
        f"<!-- papers -->\n{papers}<!-- /papers -->\nbefore\n<!-- claims -->\n{markdown}"
        "<!-- /claims -->\nafter\n"
    )
    readme.write_text("no marks")
    with pytest.raises(UserError, match="marks"):
        update_readme(readme, tmp_path)
