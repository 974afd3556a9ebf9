"""The gallery of a run as a static site that anybody may be shown, for GitHub Pages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gc_utils.errors import UserError
from gc_utils.evidence.findings import load_readable
from gc_utils.evidence.verdicts import Evidence
from gc_utils.files import write_whole
from gc_utils.removal import delete, draft_beside
from gc_utils.reporting.columns import (
    evidence_of,
    parameters_of,
    read_manifest,
    setting,
    shows_only_ours,
)
from gc_utils.reporting.gallery import FOLDER, is_gallery, write_gallery
from gc_utils.reporting.rendering import render

if TYPE_CHECKING:
    from gc_utils.pipeline.notebooks import Notebook

LIMIT = 25_000_000  # bytes: it is committed


def write_site(
    run_dir: str | os.PathLike,
    site: str | os.PathLike,
    notebooks: Sequence[Notebook],
    *,
    features: int | None = None,
    limit: int = LIMIT,
    progress: bool = True,
) -> Path:
    """Write a run's gallery as a site: `gallery/`, `index.html` beside it, and `.nojekyll`.

    Args:
        run_dir: The run folder, with notebooks 01 to 04 done.
        site: The site's folder, such as `docs`; what else is in it stays.
        notebooks: The notebooks, with their records.
        features: How many features it has, see `write_gallery`.
        limit: Bytes that the gallery may take.
        progress: Show a bar.

    Returns:
        The path of the site's `index.html`.

    Raises:
        UserError: The run looked at images that are not bundled or made here; the gallery is too
            large; or as for `write_gallery`. The site is then as it was.
    """
    run_dir, site = Path(run_dir), Path(site)
    if not shows_only_ours(run_dir, notebooks):
        raise UserError(
            f"{run_dir.resolve()} has images that are not ours to pass on: a site is made of a run "
            "on 'photos' and 'scenes:N' only. For yourself, leave --site out."
        )
    folder = site / FOLDER
    if folder.exists() and not is_gallery(folder):
        raise UserError(f"{folder.resolve()} holds other things than a gallery: name a new folder.")
    draft = draft_beside(folder)
    delete(draft)
    try:
        back = ("../index.html", "the page that this gallery belongs to")
        write_gallery(run_dir, draft, features=features, back=back, progress=progress)
        size = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
        if size > limit:
            raise UserError(
                f"the gallery takes {size / 1e6:.1f} MB, and a site may take {limit / 1e6:.0f}: "
                "show fewer features with --features N."
            )
        delete(folder)
        draft.replace(folder)
    finally:
        delete(draft)
    manifest = read_manifest(run_dir)
    with write_whole(site / "index.html") as draft_page:
        page = render(
            "site.html",
            setting=setting(manifest),
            claims=load_readable(run_dir)[0],
            taught=evidence_of(parameters_of(manifest)) is Evidence.DEFAULT,
        )
        draft_page.write_text(page, encoding="utf-8")
    (site / ".nojekyll").touch()  # or GitHub Pages leaves out what begins with an underscore
    return site / "index.html"
