"""Sliders: one feature while its input rotates."""

from gc_utils.explorer.panels import explore

__all__ = ["explore"]
