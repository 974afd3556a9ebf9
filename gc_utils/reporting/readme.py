"""What the README says of runs: its notebooks, what a real network shows, and one line a claim."""

from __future__ import annotations

import filecmp
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gc_utils.errors import UserError
from gc_utils.evidence.verdicts import MEANINGS, VERDICTS, Evidence
from gc_utils.files import write_whole
from gc_utils.pipeline import papers
from gc_utils.reporting.claims import (
    COLUMNS,
    REAL,
    arxiv_link,
    cell,
    copy_figures,
    pairs,
    reduce_figure,
    shown_on,
    write_claims,
)
from gc_utils.reporting.columns import (
    Column,
    check_network,
    column_of,
    keep,
    kept,
    parameters_of,
    read_manifest,
    shows_only_ours,
    subject,
)

if TYPE_CHECKING:
    from gc_utils.pipeline.notebooks import Notebook
    from gc_utils.pipeline.record import Record

CARDS = "04_telling"  # the figure at the top of the README
TERMS = (
    "A *fold* is a part of the images that one dictionary is not trained on. The *identity "
    "encoder* reads the responses to an image as it is, the *orbit encoder* those to all its "
    "rotations. *D16* is the group of 16 rotations, each of them mirrored, too."
)
# Figures of curves, bars and dots only, whatever images the run looked at.
WITHOUT_IMAGES = frozenset(
    ("01_variance", "02_fvu", "02_per_element", "03_separation", "04_half_turn", "04c_equivariance")
)
NOT_RUN = "not run"
NO_NETWORK = "–"  # it is about planted, drawn or analytic data, or networks trained for it


class Updated(NamedTuple):
    """What `update_readme` wrote, and the figures that it left out: their images are not ours."""

    written: list[Path]
    left_out: list[Path]


def claims_table(findings: Iterable[dict], real: Iterable[dict] = ()) -> str:
    """One line a claim: its verdict on either network, and a link to its section.

    Args:
        findings: The findings on the embedded default.
        real: Those on a real network.
    """
    head = ["id", "claim", *COLUMNS]
    lines = [f"| {' | '.join(head)} | |", "|---" * len(head) + "|---|"]
    default, other = Column("", list(findings)), Column("", list(real))
    for left, right in pairs(default, other):
        entry = left or right
        link = f"[numbers](docs/claims.md#{entry['id'].lower()})"
        no_network = entry.get("evidence") == Evidence.KNOWN.value or entry["id"] in other.by_id
        there = right["verdict"] if right else NO_NETWORK if no_network else NOT_RUN
        verdicts = [left["verdict"] if left else NOT_RUN, there]
        cells = [entry["id"], entry.get("short") or entry["claim"], *verdicts, link]
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    return "\n".join(lines) + "\n"


def notebooks_table(notebooks: Iterable[Notebook]) -> str:
    """One line a notebook: the question it answers, and its paper."""
    lines = ["| notebook | answers | paper |", "|---|---|---|"]
    for notebook in notebooks:
        paper = notebook.record.paper
        link = arxiv_link(paper) if paper else ""
        question = notebook.title.partition("·")[2].strip() or notebook.title
        lines.append(f"| `{notebook.name}` | {cell(question)} | {link} |")
    return "\n".join(lines) + "\n"


def results_text(column: Column, records: Iterable[Record], *, real: bool) -> str:
    """The README's first results: what the claims of the first paper come to.

    Args:
        column: What was found.
        records: Which notebooks are about which paper and its claims.
        real: Whether it was found on a real network.
    """
    chapters = next(iter(papers(records).values()), [])
    first = [e for c in chapters for id in c.claims if (e := column.by_id.get(id))]
    kinds = {Evidence.KNOWN.value, *([Evidence.DEFAULT.value] if real else [])}
    about = [e for e in column.findings if e.get("evidence") not in kinds]
    example = next((e for e in [*first, *about] if e["network"]), None)
    if example is None:
        return f"No run on a {COLUMNS[1]} is recorded here."
    images = f", images {example['images']}" if example["images"] else ""
    where = f"{example['network']}{images}"
    start = f"**On {'a' if real else 'the'} {COLUMNS[real]}** ({where}):"
    said = [f"- {e.get('short') or e['claim']}: **{e['verdict']}**. {_sentence(e)}" for e in first]
    counts = Counter(e["verdict"] for e in about)
    total = ", ".join(f"{counts[word]} {word}" for word in VERDICTS if counts[word])
    meant = {e["verdict"]: MEANINGS[e["verdict"]] for e in first}
    words = "; ".join(f"*{word}*: {meaning}" for word, meaning in meant.items())
    total = f"Of {len(about)} claims about networks: {total}."
    words = f"What the words mean. {words}. {TERMS}" if first else ""
    return "\n\n".join(filter(None, [start, "\n".join(said), f"{total} {words}".strip()]))


def _sentence(entry: dict) -> str:
    return f"{entry['why'][0].upper()}{entry['why'][1:]}." if entry["why"] else ""


def cards_text(there: dict[str, str]) -> str:
    """The figure at the top of the README with what it shows.

    Args:
        there: The `network` and `images` that it was made from.
    """
    return (
        "![Features of one run as cards: block profile, patches, optimised images]"
        f"(docs/telling.png)\n\n*Features of one crosscoder on {there['network']}"
        f"{shown_on(there)}, the clearest of their kind. Left: cosine of each transform block "
        "with the block of the image as it is. Middle: the patches with the strongest response. "
        "Right: images optimised for the blocks.*"
    )


def update_readme(
    root: str | os.PathLike,
    run_dir: str | os.PathLike,
    notebooks: Sequence[Notebook],
    real_dir: str | os.PathLike | None = None,
    figures_dir: str | os.PathLike | None = None,
) -> Updated:
    """Write what the repository says of runs: the README, `docs/claims.md`, its figures.

    Args:
        root: The repository's folder, with `README.md`.
        run_dir: A finished run on the embedded default.
        notebooks: The notebooks, with their records, in their order.
        real_dir: A finished run on a real network, for the second column. It is kept in
            `docs/real_findings.json`; without it the column is what was kept there.
        figures_dir: A run on a real network whose figures are shown: its images have to be bundled
            or made here. Without it, the figures of `real_dir` if they are so, else those kept. If
            it has the very dictionary of `real_dir`, the figures are said to show that. Figures
            without images are those of `real_dir` all the same.

    Returns:
        The files that were written, and the figures that were left out because they may show
        images that are not ours to pass on.

    Raises:
        UserError: The README lacks the marks `<!-- notebooks -->`, `<!-- results -->` or
            `<!-- claims -->` with their ends; a run has no findings or a damaged file of them,
            belongs in the other column, or has figures of other images. Nothing is written then.
    """
    root, docs = Path(root), Path(root) / "docs"
    readme = root / "README.md"
    read_manifest(run_dir)
    if not readme.is_file():
        raise UserError(f"there is no README.md in {root.resolve()}: name the repository's folder.")
    text = readme.read_text(encoding="utf-8")
    for name in ("notebooks", "results", "claims"):
        if not _marks(name).search(text):
            raise UserError(f"{readme} has no <!-- {name} --> and <!-- /{name} --> marks")
    check_network(run_dir, "--run", real=False)
    default, before = column_of(run_dir, notebooks), kept(docs)
    real, source = before, figures_dir
    if real_dir is not None:
        check_network(real_dir, "--real", real=True)
        real = column_of(real_dir, notebooks)
        if before:
            real = replace(real, figures=before.figures, cards=before.cards)
        if source is None and shows_only_ours(real_dir, notebooks):
            source = real_dir
    if figures_dir is not None:
        _check_figures(figures_dir, real, notebooks)
    left_out = []
    written = [readme, docs / "claims.md"]
    # From here on files are written.
    if shows_only_ours(run_dir, notebooks):
        default = _with_figures(default, run_dir, docs)
    else:
        left_out += _named_figures(run_dir, default)
    if real and source is not None:
        real = _with_figures(real, source, docs, REAL, _trained_on(real_dir, source))
    if real_dir is not None and not _same(real_dir, source):
        # Figures of numbers only are those of the run whose numbers stand beside them.
        plain = copy_figures(real_dir, real, docs / "claims", REAL, only=WITHOUT_IMAGES)
        real = replace(real, figures=real.figures | plain)
        if source is None:
            named = _named_figures(real_dir, real)
            left_out += [path for path in named if path.stem not in WITHOUT_IMAGES]
    if real and (real_dir is not None or source is not None):
        written.append(keep(real, docs))
    write_claims(docs, default, real, notebooks)
    shown, of = (real, source) if real and real.cards else (default, run_dir)
    if of is not None and shown.cards:  # a kept one is there already
        written.append(docs / "telling.png")
        reduce_figure(Path(of) / "figures" / f"{CARDS}.png", written[-1])
    records = [n.record for n in notebooks]
    blocks = {
        "notebooks": notebooks_table(notebooks),
        "results": _results(shown.cards, real or default, records, real=real is not None),
        "claims": f"{_settings(default, real)}\n\n"
        + claims_table(default.findings, real.findings if real else ()),
    }
    for name, block in blocks.items():
        text = _marks(name).sub(lambda at, block=block: at[1] + block + at[2], text)
    with write_whole(readme) as draft:
        draft.write_text(text, encoding="utf-8")
    return Updated(written, left_out)


def _marks(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)


def _check_figures(
    figures_dir: str | os.PathLike, real: Column | None, notebooks: Sequence[Notebook]
) -> None:
    if real is None:
        raise UserError(
            f"--figures {str(figures_dir)!r} is for a real network whose findings are on the page: "
            "name its run with --real, too."
        )
    check_network(figures_dir, "--figures", real=True)
    if not shows_only_ours(figures_dir, notebooks):
        raise UserError(
            f"--figures {str(figures_dir)!r} has figures of images that are not ours to pass on: "
            "name a run on 'photos' and 'scenes:N' only."
        )


def _named_figures(run_dir: str | os.PathLike, column: Column) -> list[Path]:
    """The figures of a run that the page would show."""
    names = dict.fromkeys(e.get("figure") or "" for e in column.findings)
    paths = [Path(run_dir) / "figures" / f"{name}.png" for name in names if name]
    return [path for path in paths if path.is_file()]


def _settings(default: Column, real: Column | None) -> str:
    if real is None:
        return f"From one run: {default.setting}."
    said = [
        f"{n.capitalize()}: {c.setting}." for n, c in zip(COLUMNS, (default, real), strict=True)
    ]
    return " ".join(["From two runs.", *said])


def _same(run_dir: str | os.PathLike, other: str | os.PathLike | None) -> bool:
    return other is not None and Path(run_dir).resolve() == Path(other).resolve()


def _trained_on(real_dir: str | os.PathLike | None, source: str | os.PathLike) -> str:
    """The images of the run whose dictionary another run shows, on images of its own."""
    if real_dir is None or _same(real_dir, source):
        return ""
    files = [Path(folder) / "crosscoder.safetensors" for folder in (real_dir, source)]
    if not all(file.is_file() for file in files) or not filecmp.cmp(*files, shallow=False):
        return ""
    return subject(parameters_of(read_manifest(real_dir)))["images"]


def _with_figures(
    column: Column, run_dir: str | os.PathLike, docs: Path, start: str = "", trained_on: str = ""
) -> Column:
    """A column with the figures of a run that it names, which are copied, and the README's."""
    cards = Path(run_dir) / "figures" / f"{CARDS}.png"
    of = subject(parameters_of(read_manifest(run_dir))) | {"trained_on": trained_on}
    return replace(
        column,
        figures=copy_figures(run_dir, column, docs / "claims", start, trained_on=trained_on),
        cards=of if cards.is_file() else {},
    )


def _results(
    cards: dict[str, str], column: Column, records: Sequence[Record], *, real: bool
) -> str:
    """The block at the README's beginning: the figure, and what was found."""
    parts = [cards_text(cards)] if cards else []
    return "\n\n".join([*parts, results_text(column, records, real=real)]) + "\n"
