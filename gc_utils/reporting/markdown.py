"""Markdown of a notebook as HTML that shows formulas without a network or a script."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# What a formula may consist of. Anything else (a link, a style, an image) would be a way for the
# text of a formula to do more than be read.
_ATTRIBUTES = frozenset(
    "accent columnalign columnlines columnspacing depth display displaystyle fence form height "
    "linethickness lspace mathvariant maxsize minsize movablelimits rowlines rowspacing rspace "
    "scriptlevel separator stretchy symmetric voffset width".split()
)
_ELEMENTS = frozenset(
    "math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow "
    "mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none".split()
)


def markdown_to_html(text: str) -> str:
    r"""A cell's Markdown as HTML.

    Paragraphs, lists, tables, emphasis and links become their elements, formulas (`$…$`, `$$…$$`)
    MathML. HTML in the text is shown as text, a link to anything but http, https, mailto or a
    place in the page as its words, an image as its description.

    Args:
        text: Markdown, as in a notebook's cell.

    Returns:
        HTML of block elements, without scripts and without anything to load.
    """
    return MarkdownWithMath(renderer=_Renderer()).render(text).strip()


def formula(latex: str, display: bool = False) -> str:
    """A LaTeX formula as MathML; one that cannot be converted as `<code>`.

    Args:
        latex: the formula without its dollars.
        display: whether it stands on a line of its own.
    """
    try:
        return _mathml(latex, "block" if display else "inline")
    except Exception:  # noqa: BLE001 - the converter raises what it likes; the reader gets LaTeX
        return f"<code>{html.escape(latex.strip())}</code>"


def _mathml(latex: str, display: str) -> str:
    from latex2mathml.converter import convert_to_element

    root = convert_to_element(latex, display=display)
    for element in root.iter():
        if element.tag not in _ELEMENTS or set(element.attrib) - _ATTRIBUTES - {"xmlns"}:
            raise ValueError(f"{element.tag} {element.attrib}")
        # The converter writes letters as entities and leaves them, and what was in the formula,
        # to be read as markup; here they are letters, and are escaped once, below.
        element.text = html.unescape(element.text) if element.text else element.text
        if element.tag == "mi" and re.match(r"\\[A-Za-z]", element.text or ""):
            raise ValueError(f"{element.text} is not a command")
    return ElementTree.tostring(root, encoding="unicode")


class _Renderer(IPythonRenderer):
    """HTML of Markdown in which formulas are MathML and nothing is loaded."""

    def __init__(self):
        super().__init__(escape=True, allow_harmful_protocols=False, exclude_anchor_links=True)

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if re.match(r"(https?://|mailto:|#)", url, re.IGNORECASE):
            return super().link(text, url, title)
        return text

    def block_math(self, body: str) -> str:
        return formula(body, display=True)

    def inline_math(self, body: str) -> str:
        return formula(body)

    def latex_environment(self, name: str, body: str) -> str:
        return formula(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    def paragraph(self, text: str) -> str:
        # The parser makes a paragraph of its own of a display formula, which is a block already.
        if re.fullmatch(r"\s*<math[^>]* display=\"block\".*</math>\s*", text, re.DOTALL):
            return text.strip() + "\n"
        return super().paragraph(text)

    def heading(self, text: str, level: int, **attrs) -> str:
        # The page has its own outline; a cell's headings stand below a section's.
        return super().heading(text, min(level + 2, 6))

    def block_mermaidjs(self, code: str) -> str:
        return f"<pre><code>{html.escape(code)}</code></pre>\n"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return html.escape(html.unescape(text))
