"""The templates of what is written for readers: the report, the page of claims, tables."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("gc_utils.reporting"),
        autoescape=lambda name: bool(name) and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )


def render(template: str, **values: Any) -> str:
    """A template of `reporting/templates/` with its values filled in.

    Args:
        template: The template's file name; what goes into one that ends in `.html` is escaped,
            unless it is marked as HTML.
        values: Everything that the template names.

    Raises:
        jinja2.UndefinedError: The template names something that was not given.
    """
    return _environment().get_template(template).render(**values)
