"""Saved figures carry their captions."""

from __future__ import annotations

import pytest

from gc_utils.errors import UserError
from gc_utils.figures import caption, save_figure


def test_a_figure_carries_its_caption(tmp_path, figure):
    path = save_figure(figure(), tmp_path, "03_umap", "Families – the “crosscoder’s”. ")
    assert path == tmp_path / "figures" / "03_umap.png"
    assert caption(path) == "Families – the “crosscoder’s”."
    before = path.read_bytes()
    assert save_figure(figure(), tmp_path, "03_umap", "Families – the “crosscoder’s”.").read_bytes()
    assert path.read_bytes() == before, "the same figure is the same file"
    with pytest.raises(UserError, match="03_umap"):
        save_figure(figure(), tmp_path, "umap", "Families")
    with pytest.raises(UserError, match="no caption"):
        save_figure(figure(), tmp_path, "03_umap", " ")
