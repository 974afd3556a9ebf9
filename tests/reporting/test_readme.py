"""The README's tables and `docs/claims.md` say what the findings of a run say."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from gc_utils.errors import UserError
from gc_utils.evidence import (
    VERDICTS,
    Claim,
    Evidence,
    Finding,
    Findings,
    load_findings,
    verdict,
)
from gc_utils.figures import save_figure
from gc_utils.files import write_json
from gc_utils.pipeline.notebooks import Notebook
from gc_utils.pipeline.record import Paper, Record
from gc_utils.reporting import update_readme
from gc_utils.reporting.claims import numbers_table, papers_table, read_manifest, repeat
from gc_utils.reporting.readme import claims_table, notebooks_table

PAPER = Paper("A Paper on Toys", "2401.00001", "toys")
MARKS = "<!-- notebooks -->\n<!-- /notebooks -->\n\n<!-- claims -->\nold\n<!-- /claims -->\n"


def notebook(name: str, title: str, **record) -> Notebook:
    number = name.split("_")[0]
    return Notebook(Path(f"{name}.ipynb"), name, title, "", {}, Record(number, **record))


NOTEBOOKS = [
    notebook("01_first", "01 · What is there?", paper=PAPER),
    notebook("02_second", "02 · What of a | b?", needs=("01",), paper=PAPER, claims=("TO1",)),
    notebook("03_alone", "A title without a number"),
]


@pytest.fixture
def run_dir(tmp_path):
    run = tmp_path / "run"
    manifest = {"preset": "toy", "parameters": {"group": "D4", "seed": 0, "steps": 7}}
    write_json(run / "run.json", manifest | {"notebooks": {}})
    figure, ax = plt.subplots(figsize=(12, 4))
    ax.plot([0, 1])
    save_figure(figure, run, "02_toys", "Toys, [all] of them.")
    plt.close(figure)
    claim = Claim(
        "TO1", "Toys | are round", "toys are round", "Toy 2024", "all are round", "02_toys"
    )
    word = verdict(True, Evidence.DEFAULT)
    Findings(run, "02_second").record(
        Finding(claim, {"round": 3, "of": 4}, word, "3 of 4 are", (0.3, 0.9), Evidence.DEFAULT)
    )
    ours = Claim("OU1", "Ours", "something of ours", "ours")
    Findings(run, "03_alone").record(
        Finding(ours, 0.123456789, verdict(None, Evidence.PAPER), "no")
    )
    return run


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "README.md").write_text(
        f"# A house\n\n{MARKS}\nThe end → here.\n", "utf-8"
    )
    return tmp_path / "root"


def test_the_tables_are_written_between_their_marks(root, run_dir):
    written = update_readme(root, run_dir, NOTEBOOKS)
    text = (root / "README.md").read_text("utf-8")
    assert root / "README.md" in written and root / "docs" / "claims.md" in written
    assert text.startswith("# A house") and text.endswith("The end → here.\n") and "old" not in text
    row = "| TO1 | Toys \\| are round | only on the embedded default |"
    assert f"{row} [numbers](docs/claims.md#to1) |" in text.splitlines()
    link = "[arXiv 2401.00001](https://arxiv.org/abs/2401.00001)"
    assert f"| `02_second` | What of a \\| b? | {link} |" in text.splitlines()
    assert "| `03_alone` | A title without a number |  |" in text.splitlines()
    assert "preset toy, group D4, seed 0" in text
    again = text
    update_readme(root, run_dir, NOTEBOOKS)
    assert (root / "README.md").read_text("utf-8") == again


def test_every_claim_has_a_section_with_its_numbers_and_figure(root, run_dir):
    update_readme(root, run_dir, NOTEBOOKS)
    page = (root / "docs" / "claims.md").read_text("utf-8")
    assert page.count("<a id=") == 2
    section = page[page.index('<a id="to1">') :]
    section = section[: section.index("<a id", 5)]
    assert "### TO1 · Toys | are round" in section
    assert "**only on the embedded default**: 3 of 4 are." in section
    assert "> all are round" in section and "> Toy 2024" in section
    assert "| round | 3 |\n| of | 4 |" in section and "Interval: 0.3 to 0.9" in section
    assert f"Looked at: {Evidence.DEFAULT.value}." in section
    assert "`python -m gc_utils run --preset toy --only 01 02` (`02_second`)" in section
    assert "![Toys, all of them.](claims/02_toys.png)" in section
    with Image.open(root / "docs" / "claims" / "02_toys.png") as small:
        assert small.width <= 1400 and small.mode == "P"
    ours = page[page.index('<a id="ou1">') :]
    assert "The claim (ours): something of ours." in ours and "| measured | 0.123 |" in ours
    assert "## A Paper on Toys" in page and "## Other claims" in page
    for link in re.findall(r"docs/claims.md#(\w+)", (root / "README.md").read_text("utf-8")):
        assert f'<a id="{link}"></a>' in page


def test_papers_by_verdict(run_dir):
    table = papers_table(load_findings(run_dir), [n.record for n in NOTEBOOKS])
    cells = ["TO1" if word == "only on the embedded default" else "–" for word in VERDICTS]
    link = "[A Paper on Toys](https://arxiv.org/abs/2401.00001)"
    assert table.splitlines()[2] == "| " + " | ".join([link, "01 to 02", *cells]) + " |"
    assert len(table.splitlines()) == 3, "claims of our own are no paper's"


def test_figures_that_are_no_longer_shown_are_deleted(root, run_dir):
    old = root / "docs" / "claims" / "99_old.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"")
    update_readme(root, run_dir, NOTEBOOKS)
    assert [p.name for p in old.parent.iterdir()] == ["02_toys.png"]


@pytest.mark.parametrize("mark", ["<!-- claims -->", "<!-- /notebooks -->"])
def test_a_readme_without_marks_is_left_alone(root, run_dir, mark):
    readme = root / "README.md"
    readme.write_text(readme.read_text("utf-8").replace(mark, ""), "utf-8")
    before = readme.read_text("utf-8")
    with pytest.raises(UserError, match="marks"):
        update_readme(root, run_dir, NOTEBOOKS)
    assert readme.read_text("utf-8") == before and not (root / "docs").exists()


def test_a_damaged_file_of_findings_leaves_the_readme_alone(root, run_dir):
    before = (root / "README.md").read_text("utf-8")
    damaged = run_dir / "results" / "02_second.json"
    damaged.write_text("[{", "utf-8")
    with pytest.raises(UserError, match="02_second.json is no list of findings.*02_second again"):
        update_readme(root, run_dir, NOTEBOOKS)
    assert (root / "README.md").read_text("utf-8") == before and not (root / "docs").exists()


def test_a_folder_that_is_no_run_is_named(root, tmp_path):
    with pytest.raises(UserError, match="run.json"):
        update_readme(root, tmp_path / "nowhere", NOTEBOOKS)
    write_json(tmp_path / "empty" / "run.json", {"preset": "toy", "parameters": {}})
    with pytest.raises(UserError, match="no findings"):
        update_readme(root, tmp_path / "empty", NOTEBOOKS)


def test_numbers_of_rows_and_columns_become_a_table_of_both():
    values = {
        f"{row}: {column}": i
        for i, (row, column) in enumerate(
            (row, column) for row in ("crosscoder", "SAE") for column in ("purity", "silhouette")
        )
    }
    lines = numbers_table(values).splitlines()
    assert lines[0] == "|  | purity | silhouette |"
    assert lines[2:] == ["| crosscoder | 0 | 1 |", "| SAE | 2 | 3 |"]


def test_many_numbers_are_folded():
    assert "<details><summary>20 numbers</summary>" in numbers_table(
        {f"n{i}": i for i in range(20)}
    )
    assert "<details>" not in numbers_table({f"n{i}": i for i in range(12)})


def test_a_claim_is_repeated_with_what_it_needs():
    assert repeat("toy", NOTEBOOKS[1], NOTEBOOKS).endswith("--only 01 02")
    assert repeat("toy", NOTEBOOKS[2], NOTEBOOKS).endswith("--only 03")


def test_an_entry_of_an_earlier_version_shows_its_claim():
    entry = {"id": "XX1", "claim": "it is so", "verdict": "not reproduced"}
    assert "| XX1 | it is so | not reproduced |" in claims_table([entry])
    assert notebooks_table([]).count("\n") == 2


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_run_whose_record_is_none_is_refused(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match="is no run's record"):
        read_manifest(tmp_path)
