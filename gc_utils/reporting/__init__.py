"""What a run leaves for readers: its report, the page of claims, the tables of the README."""

from gc_utils.reporting.badges import write_badges
from gc_utils.reporting.claims import write_claims
from gc_utils.reporting.gallery import refresh_gallery, write_gallery
from gc_utils.reporting.markdown import formula, markdown_to_html
from gc_utils.reporting.publish import Published, publish, published_state
from gc_utils.reporting.readme import Updated, update_readme
from gc_utils.reporting.report import write_report
from gc_utils.reporting.site import write_site

__all__ = [
    "Published",
    "Updated",
    "formula",
    "markdown_to_html",
    "publish",
    "published_state",
    "refresh_gallery",
    "update_readme",
    "write_badges",
    "write_claims",
    "write_gallery",
    "write_report",
    "write_site",
]
