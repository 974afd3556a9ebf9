"""Sliders: one feature while its input rotates."""

from gc_utils.explorer.exhibit import make_exhibit
from gc_utils.explorer.panels import explore
from gc_utils.explorer.static import contact_sheet

__all__ = ["contact_sheet", "explore", "make_exhibit"]
