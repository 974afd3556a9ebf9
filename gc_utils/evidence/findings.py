"""What a notebook leaves behind: findings, one a claim.

SEPARATION = Claim(
    "GC2",
    short="Families are separated better than a sparse autoencoder's",
    claim="families are separated more precisely than a standard sparse autoencoder's",
    words="more precise separation than standard sparse autoencoders",
    source="Gorton 2024, abstract",
    figure="03_separation",
)
finding = Finding(SEPARATION, {"crosscoder": 0.41, "SAE": 0.22}, verdict(True, evidence), "…")
print(Findings(run_dir, "03_cluster").record(finding))
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gc_utils.errors import UserError, choose
from gc_utils.evidence.verdicts import NOT_REPRODUCED, NOT_TESTED, VERDICTS, Evidence
from gc_utils.files import write_json

COLUMNS = ("claim", "source", "measured", "verdict", "notebook")
# What an entry of any version has.
_KEYS = frozenset({*COLUMNS, "id", "value", "interval", "why"} - {"measured"})


@dataclass(frozen=True)
class Claim:
    """What is claimed, whoever looks at it; constants of `studies/<paper>/claims.py`.

    Attributes:
        id: the claim's id (`"GC1"`).
        short: the claim in about ten words, for the README.
        claim: what is claimed, so that it reads on after "The paper claims that …".
        words: the paper's own words, quoted as they stand; empty for claims of our own.
        source: where the paper says it (`"Gorton 2024, abstract"`); `"ours"` for our own.
        figure: the name of the figure that shows it best (`"03_separation"`), or empty.
    """

    id: str
    short: str
    claim: str
    source: str
    words: str = ""
    figure: str = ""

    @property
    def ours(self) -> bool:
        """Whether the claim is our own and not a paper's."""
        return self.source.startswith("our")


@dataclass(frozen=True)
class Finding:
    """What was measured about a claim, and the verdict.

    Attributes:
        claim: the claim.
        value: what was measured: a number, a string, or a small dictionary of them, whose keys say
            what each is, with its unit. Numbers are kept as they are; readers round them.
        verdict: from `evidence.verdict`.
        why: the reason for the verdict, at most 25 words, without its full stop; computed from the
            numbers, so that it changes when they do.
        interval: low and high end of the number's interval, in the number's unit.
        evidence: what was looked at, an `Evidence`.
    """

    claim: Claim
    value: Any
    verdict: str
    why: str
    interval: Sequence[float] | None = None
    evidence: Evidence | None = None

    @property
    def held(self) -> bool | None:
        """Whether the claim holds on whatever was looked at; None if it was not tested."""
        return None if self.verdict == NOT_TESTED else self.verdict != NOT_REPRODUCED


class Findings:
    """The findings of one notebook, kept in `results/<notebook>.json` of the run folder.

    Args:
        run_dir: the run folder.
        notebook: the notebook's name without ending (`"03_cluster"`).
    """

    def __init__(self, run_dir: str | os.PathLike, notebook: str):
        self.notebook = notebook
        self.path = Path(run_dir) / "results" / f"{notebook}.json"

    def record(self, finding: Finding) -> str:
        """Write one finding; an earlier one of the same id is replaced.

        Args:
            finding: what was found.

        Returns:
            The finding as a sentence.

        Raises:
            UserError: unknown verdict, an interval that is not (low, high), a value that is not
                finite, an empty text.
        """
        entry = _entry(finding) | {"notebook": self.notebook}
        try:
            others = [old for old in self.load() if old["id"] != entry["id"]]
        except UserError:  # the notebook that is run again makes its other findings again too
            others = []
        write_json(self.path, [*others, entry])
        return sentence(entry)

    def load(self) -> list[dict]:
        """This notebook's findings so far, in the order in which they were made.

        Raises:
            UserError: the file is damaged.
        """
        return _read(self.path) if self.path.exists() else []

    def sentence(self, id: str) -> str:
        """The finding `id` as a sentence for a reader."""
        found = {entry["id"]: entry for entry in self.load()}
        return sentence(found[choose(id, found, "finding")])


def load_findings(run_dir: str | os.PathLike) -> list[dict]:
    """All findings of a run folder, in the order of its notebooks.

    Args:
        run_dir: the run folder.

    Returns:
        The entries; none if nothing was recorded.

    Raises:
        UserError: a file of findings is damaged; names it, and the notebook to run again.
    """
    return [entry for path in _paths(run_dir) for entry in _read(path)]


def load_readable(run_dir: str | os.PathLike) -> tuple[list[dict], list[str]]:
    """The findings of a run folder without those in damaged files, for a reader who needs the rest.

    Args:
        run_dir: the run folder.

    Returns:
        The entries in the order of the notebooks, and one message a damaged file.
    """
    entries, messages = [], []
    for path in _paths(run_dir):
        try:
            entries += _read(path)
        except UserError as damage:
            messages.append(str(damage))
    return entries, messages


def _paths(run_dir: str | os.PathLike) -> list[Path]:
    return sorted((Path(run_dir) / "results").glob("*.json"))


def _read(path: Path) -> list[dict]:
    """The entries of one file, refused if it is cut short or holds anything else."""
    try:
        if path.exists() and not path.is_file():  # whoever opens a pipe waits for a writer
            raise ValueError("it is no file: delete it")
        entries = json.loads(path.read_text(encoding="utf-8"))
        problem = "" if _are_entries(entries) else "it holds something else"
    except (OSError, ValueError) as error:
        problem = str(error)
    if problem:
        raise UserError(
            f"{path.resolve()} is no list of findings: {problem}. Run the notebook {path.stem} "
            "again."
        )
    return entries


def _are_entries(content: Any) -> bool:
    return isinstance(content, list) and all(
        isinstance(entry, dict) and entry.keys() >= _KEYS and entry["verdict"] in VERDICTS
        for entry in content
    )


def sentence(entry: dict) -> str:
    """One finding in words: claim, source, what was measured, verdict and reason."""
    return (
        f"{entry['id']}, {entry['claim']} ({entry['source']}): measured {measured(entry)}; "
        f"{entry['verdict']}: {entry['why']}."
    )


def measured(entry: dict) -> str:
    """The value of a finding with its interval, as text."""
    ends = entry["interval"]
    text = shown(entry["value"])
    return text if ends is None else f"{text} [{shown(ends[0])}, {shown(ends[1])}]"


def _entry(finding: Finding) -> dict[str, Any]:
    """A finding as it is written, refused if anything is missing or cannot be."""
    claim, id, ends = finding.claim, finding.claim.id, finding.interval
    texts = {"id": id, "claim": claim.claim, "source": claim.source, "why": finding.why}
    for name, text in texts.items():
        if not text.strip():
            raise UserError(f"finding {id!r}: {name} is empty")
    ends = None if ends is None else [_plain(end, id) for end in ends]
    if ends is not None and not (len(ends) == 2 and ends[0] <= ends[1]):
        raise UserError(f"finding {id!r}: an interval is (low, high), not {tuple(ends)}")
    return {
        "id": id,
        "short": claim.short.strip().rstrip("."),
        "claim": claim.claim.strip().rstrip("."),
        "words": claim.words,
        "source": claim.source.strip().rstrip("."),
        "value": _plain(finding.value, id),
        "interval": ends,
        "verdict": choose(finding.verdict, VERDICTS, "verdict"),
        "why": finding.why.strip().rstrip("."),
        "evidence": finding.evidence.value if finding.evidence else "",
        "figure": claim.figure,
    }


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


def shown(value: Any) -> str:
    """A value for a reader: three significant digits, integers and texts as they are."""
    if isinstance(value, dict):
        return _shown_items(value)
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    if isinstance(value, float):
        # Three significant digits, but integers above 1000 keep theirs.
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _shown_items(values: dict) -> str:
    """Items of a dictionary; what several keys begin with (`"fold 0: purity"`) is said once."""
    text, before = "", None
    for key, item in values.items():
        head, colon, rest = str(key).partition(": ")
        again = bool(colon) and head == before
        text += "" if not text else ", " if again or not colon else "; "
        text += f"{rest if again else key} {shown(item)}"
        before = head if colon else None
    return text
