"""Running the notebooks in order."""

from gc_utils.pipeline.execution import execute
from gc_utils.pipeline.notebooks import (
    ABOUT,
    DEFAULT_PRESET,
    PRESETS,
    SIZES,
    Notebook,
    find_notebooks,
)
from gc_utils.pipeline.progress import Line, encodable, never_raise, say
from gc_utils.pipeline.runner import NotebookFailed, run
from gc_utils.pipeline.staleness import CODE, ran_with

__all__ = [
    "ABOUT",
    "CODE",
    "DEFAULT_PRESET",
    "Line",
    "Notebook",
    "NotebookFailed",
    "PRESETS",
    "SIZES",
    "encodable",
    "execute",
    "find_notebooks",
    "never_raise",
    "ran_with",
    "run",
    "say",
]
