"""Running the notebooks in order: their records, parameters, run folder and what is stale."""

from gc_utils.pipeline.execution import execute
from gc_utils.pipeline.notebooks import Notebook, find_notebooks
from gc_utils.pipeline.presets import DEFAULT_PRESET, PRESETS, Preset, preset_values
from gc_utils.pipeline.progress import Line, encodable, never_raise, say
from gc_utils.pipeline.record import Paper, Record, papers
from gc_utils.pipeline.records import RECORDS
from gc_utils.pipeline.rules import Rule
from gc_utils.pipeline.runner import NotebookFailed, run
from gc_utils.pipeline.staleness import CODE, ran_with

__all__ = [
    "CODE",
    "DEFAULT_PRESET",
    "Line",
    "Notebook",
    "NotebookFailed",
    "PRESETS",
    "Paper",
    "Preset",
    "RECORDS",
    "Record",
    "Rule",
    "encodable",
    "execute",
    "find_notebooks",
    "never_raise",
    "papers",
    "preset_values",
    "ran_with",
    "run",
    "say",
]
