"""What a notebook leaves behind for the report: findings, one a claim, and figures with captions.

findings = Findings(run_dir, "03_cluster")
findings.record(
    "GC2",
    claim="separates feature families better than standard sparse autoencoders",
    source="Gorton 2024, section 4",
    value={"crosscoder": 0.41, "SAE": 0.22},
    interval=(0.12, 0.26),
    verdict="only on the embedded default",
    why="with the paper's network there was no data to train on",
)
print(findings.sentence("GC2"))
save_figure(figure, run_dir, "03_umap", "Features of the crosscoder, coloured by label.")
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gc_utils.errors import UserError, choose
from gc_utils.files import write_json

VERDICTS = ("reproduced", "only on the embedded default", "not reproduced")
COLUMNS = ("claim", "source", "measured", "verdict", "notebook")


class Findings:
    """The findings of one notebook, kept in `results/<notebook>.json` of the run folder.

    Args:
        run_dir: the run folder.
        notebook: the notebook's name without ending (`"03_cluster"`).
    """

    def __init__(self, run_dir: str | os.PathLike, notebook: str):
        self.notebook = notebook
        self.path = Path(run_dir) / "results" / f"{notebook}.json"

    def record(
        self,
        id: str,
        claim: str,
        source: str,
        value: Any,
        interval: Sequence[float] | None = None,
        *,
        verdict: str,
        why: str,
    ) -> str:
        """Write one finding; an earlier one of the same id is replaced.

        Args:
            id: the claim's id (`"GC1"`).
            claim: what is claimed, so that it reads on after "The paper claims that features …".
            source: where the paper says it.
            value: what was measured: a number, a string, or a small dictionary of them.
            interval: low and high end of the number's interval, in the number's unit.
            verdict: one of `VERDICTS`.
            why: the reason for the verdict, a sentence without its full stop.

        Returns:
            The finding as a sentence.

        Raises:
            UserError: unknown verdict, an interval that is not (low, high), a value that is not
                finite, an empty text.
        """
        for name, text in {"id": id, "claim": claim, "source": source, "why": why}.items():
            if not text.strip():
                raise UserError(f"finding {id!r}: {name} is empty")
        entry = {
            "id": id,
            "claim": claim.strip().rstrip("."),
            "source": source.strip().rstrip("."),
            "value": _plain(value, id),
            "interval": None if interval is None else [_plain(end, id) for end in interval],
            "verdict": choose(verdict, VERDICTS, "verdict"),
            "why": why.strip().rstrip("."),
            "notebook": self.notebook,
        }
        ends = entry["interval"]
        if ends is not None and not (len(ends) == 2 and ends[0] <= ends[1]):
            raise UserError(f"finding {id!r}: an interval is (low, high), not {tuple(ends)}")
        others = [old for old in self.load() if old["id"] != id]
        write_json(self.path, [*others, entry])
        return sentence(entry)

    def load(self) -> list[dict]:
        """This notebook's findings so far, in the order in which they were made."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else []

    def sentence(self, id: str) -> str:
        """The finding `id` as a sentence for a reader."""
        found = {entry["id"]: entry for entry in self.load()}
        return sentence(found[choose(id, found, "finding")])


def load_findings(run_dir: str | os.PathLike) -> list[dict]:
    """All findings of a run folder, in the order of its notebooks."""
    paths = sorted((Path(run_dir) / "results").glob("*.json"))
    return [entry for path in paths for entry in json.loads(path.read_text(encoding="utf-8"))]


def sentence(entry: dict) -> str:
    """One finding in words: claim, source, what was measured, verdict and reason."""
    return (
        f"{entry['id']}, {entry['claim']} ({entry['source']}): measured {measured(entry)}; "
        f"{entry['verdict']}: {entry['why']}."
    )


def measured(entry: dict) -> str:
    """The value of a finding with its interval, as text."""
    ends = entry["interval"]
    text = _show(entry["value"])
    return text if ends is None else f"{text} [{_show(ends[0])}, {_show(ends[1])}]"


def finding_cells(entry: dict) -> list[str]:
    verdict = f"{entry['verdict']}: {entry['why']}"
    return [entry["claim"], entry["source"], measured(entry), verdict, entry["notebook"]]


def _plain(value: Any, id: str) -> Any:
    """Numbers of any library as Python's own, refusing what JSON cannot say."""
    if isinstance(value, dict):
        return {str(key): _plain(item, id) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, id) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        raise UserError(f"finding {id!r}: {value} is not a finite number")
    if not isinstance(value, (str, int, float, bool)):
        raise UserError(f"finding {id!r}: cannot record a {type(value).__name__}")
    return value


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_show(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_show, value))
    if isinstance(value, float):
        # Three significant digits, but integers above 1000 keep theirs.
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
