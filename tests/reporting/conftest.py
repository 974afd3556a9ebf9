"""A browser for the pages that a run leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def opened(chromium) -> Iterator[Callable]:
    """Open a page from disk at a width; that it complains of nothing is asserted at the end."""
    pages, complaints, outside = [], [], []

    def go(path: Path, width: int, fragment: str = ""):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        pages.append(page)
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))

        def route(one):
            local = one.request.url.startswith(("file:", "data:"))
            if not local:
                outside.append(one.request.url)
            one.continue_() if local else one.abort()

        page.route("**/*", route)
        page.goto(path.as_uri() + fragment)
        return page

    yield go
    for page in pages:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls"
        page.close()
    assert complaints == [] and outside == []
