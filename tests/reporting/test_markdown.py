"""Markdown of a notebook as HTML: all of it, with formulas, and nothing that runs or loads."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from gc_utils.pipeline.notebooks import read_notebook
from gc_utils.reporting import formula, markdown_to_html

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
MATHML = "{http://www.w3.org/1998/Math/MathML}"


def test_paragraphs_lists_and_formulas_are_all_there():
    page = markdown_to_html(
        "One *line*,\nand more\n\n$$x_n^2 < y$$\n\nwhere $n$ counts:\n\n"
        "1. **first**\n2. `second`\n\n- see [the paper](https://arxiv.org/abs/2410.24184)"
    )
    assert page.startswith("<p>One <em>line</em>,\nand more</p>\n<math ")
    assert page.count("<math ") == page.count("</math>") == 2
    assert page.count('display="block"') == 1
    assert "<ol>\n<li><strong>first</strong></li>\n<li><code>second</code></li>\n</ol>" in page
    assert '<a href="https://arxiv.org/abs/2410.24184">the paper</a>' in page
    assert "$" not in page


def test_a_formula_is_mathml():
    root = ElementTree.fromstring(formula(r"\frac{a}{b} < \rho", display=True))
    assert root.tag == MATHML.rstrip("}") + "}math"
    assert root.get("display") == "block"
    (fraction,) = root.iter(f"{MATHML}mfrac")
    assert ["".join(part.itertext()) for part in fraction] == ["a", "b"]
    assert "".join(root.itertext()) == "ab<ρ"


@pytest.mark.parametrize("latex", [r"\notacommand{x} < 1", r"\href{javascript:a()}{x}", " ", "x^"])
def test_a_formula_that_cannot_be_converted_is_shown_as_it_was_written(latex):
    shown = formula(latex)
    written = latex.strip().replace("<", "&lt;")
    assert shown == f"<code>{written}</code>"


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <b onclick='alert(1)'>b</b>",
        "<img src=http://a.b/c.png onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "[a](other.ipynb)",
        "![a <b> picture](https://a.b/c.png)",
        r"$\text{<script>alert(1)</script>}$",
        r"$\text{&lt;script&gt;alert(1)&lt;/script&gt;}$",
        r"$\style{background:url(http://a.b/c)}{x}$",
        "```mermaid\n<script>\n```",
        "```html\n<script>\n```",
    ],
)
def test_nothing_in_a_text_runs_or_loads(text):
    page = markdown_to_html(text)
    tags = set(re.findall(r"<([a-zA-Z]\w*)", page))
    assert tags <= {"p", "code", "pre", "div", "span", "math", "mrow", "mtext", "mi"}
    assert not re.search(r"<[^>]*\s(?:href|src|style|on\w+)=", page)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_introduction_of_a_notebook_is_shown_whole(path):
    source = next(c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
    lead = read_notebook(path).lead
    assert source.source.strip().endswith(lead)
    assert lead.count("\n\n") == source.source.strip().count("\n\n") - 1, "less the heading"
    page = markdown_to_html(lead)
    formulas = len(re.findall(r"\$\$.+?\$\$|\$.+?\$", lead, re.DOTALL))
    assert page.count("<math ") == formulas, "each formula could be converted"
    assert "$" not in page
    shown = ElementTree.fromstring(f"<div>{page}</div>")
    words = re.sub(r"\s+", " ", "".join(shown.itertext()))
    last = re.sub(r"\$.*?\$|\(https[^)]*\)|[*`\[\]]", "", lead.split("\n\n")[-1]).split()
    assert words.strip().endswith(" ".join(last[-3:])), "its last words are there"
