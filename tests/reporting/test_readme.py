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
from gc_utils.evidence.verdicts import MEANINGS
from gc_utils.figures import save_figure
from gc_utils.files import write_json
from gc_utils.pipeline import RECORDS
from gc_utils.pipeline.notebooks import Notebook, Parameter
from gc_utils.pipeline.record import Paper, Record
from gc_utils.reporting import readme as readme_module
from gc_utils.reporting import update_readme
from gc_utils.reporting.claims import both_numbers, numbers_table, papers_table
from gc_utils.reporting.columns import column_of, read_manifest, repeat, shows_only_ours
from gc_utils.reporting.readme import claims_table, notebooks_table

PAPER = Paper("A Paper on Toys", "2401.00001", "toys")
MARKS = (
    "<!-- results -->\n<!-- /results -->\n\n<!-- notebooks -->\n<!-- /notebooks -->\n\n"
    "<!-- claims -->\nold\n<!-- /claims -->\n"
)


def notebook(name: str, title: str, parameters: dict | None = None, **record) -> Notebook:
    number = name.split("_")[0]
    declared = {name: Parameter(default, "") for name, default in (parameters or {}).items()}
    return Notebook(Path(f"{name}.ipynb"), name, title, "", declared, Record(number, **record))


ASKED = {"model": "inceptionv1", "weights": "demo", "layer": "mixed3b", "group": "D16"}
ASKED |= {"images": "photos+scenes:64", "weights_file": "", "samples": 2000, "seed": 0}
NOTEBOOKS = [
    notebook("01_first", "01 · What is there?", ASKED, paper=PAPER, rules=RECORDS[0].rules),
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
    assert written.left_out == []
    assert root / "README.md" in written.written and root / "docs" / "claims.md" in written.written
    assert text.startswith("# A house") and text.endswith("The end → here.\n") and "old" not in text
    row = "| TO1 | Toys \\| are round | only on the embedded default | not run |"
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


def test_what_two_subjects_share_stands_side_by_side():
    values = {
        f"{who}, {what}": f"{who[0]}{k}"
        for who in ("one encoder", "other encoder (the paper's)")
        for k, what in enumerate(("lines, by fold", "curves", "folds"))
    }
    table = numbers_table({**values, "invariant": 69, "alone, of its own": 3}).split("\n\n")
    assert table[0].splitlines() == [
        "|  | one encoder | other encoder (the paper's) |",
        "| --- | --- | --- |",
        "| lines, by fold | o0 | o0 |",
        "| curves | o1 | o1 |",
        "| folds | o2 | o2 |",
    ]
    assert table[1].splitlines()[2:] == ["| invariant | 69 |", "| alone, of its own | 3 |"]
    # Other names with commas are no subjects.
    assert numbers_table({"loss, a": 1, "loss, b": 2, "loss, c": 3}).count("loss") == 3


def test_a_list_in_a_cell_has_a_line_each():
    assert "| x | a 1<br>b 2<br>c 3 |" in numbers_table({"x": "a 1; b 2; c 3"})
    assert "| x | a 1; b 2 |" in numbers_table({"x": "a 1; b 2"})


def test_many_numbers_are_folded():
    assert "<details><summary>20 numbers</summary>" in numbers_table(
        {f"n{i}": i for i in range(20)}
    )
    assert "<details>" not in numbers_table({f"n{i}": i for i in range(12)})


def test_a_claim_is_repeated_with_what_it_needs():
    manifest = {"preset": "toy", "parameters": {}}
    assert repeat(manifest, NOTEBOOKS[1], NOTEBOOKS).endswith("--only 01 02")
    assert repeat(manifest, NOTEBOOKS[2], NOTEBOOKS).endswith("--only 03")


def test_an_entry_of_an_earlier_version_shows_its_claim():
    entry = {"id": "XX1", "claim": "it is so", "verdict": "not reproduced"}
    assert "| XX1 | it is so | not reproduced |" in claims_table([entry])
    assert notebooks_table([]).count("\n") == 2


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_run_whose_record_is_none_is_refused(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match="is no run's record"):
        read_manifest(tmp_path)


# Two columns: the embedded default, and a real network


def finished(folder: Path, preset: str, verdict: str, **asked) -> Path:
    """A run of notebook 02 with one finding; `asked` is what 01 was given."""
    ran = {"inputs": {"parameters": ASKED | asked}, "outputs": {}, "status": "done"}
    content = {"preset": preset, "parameters": ASKED | asked, "notebooks": {"01_first": ran}}
    write_json(folder / "run.json", content)
    claim = Claim("TO1", "Toys are round", "toys are round", "Toy 2024", "round", "02_toys")
    real = asked.get("weights", "demo") != "demo"
    values = {"round": 3 + real, "of": 4} | ({"dented": 1} if real else {})
    evidence = Evidence.PHOTOGRAPHS if real else Evidence.DEFAULT
    found = Finding(claim, values, verdict, f"{3 + real} of 4 are", (0.3, 0.9), evidence)
    Findings(folder, "02_second").record(found)
    for name in ("02_toys", "04_telling"):
        drawing, ax = plt.subplots(figsize=(4, 3))
        ax.set_facecolor("red" if real else "white")
        save_figure(drawing, folder, name, f"Toys of {preset}.")
        plt.close(drawing)
    return folder


REAL = {"weights": "bvlc_googlenet", "samples": 6000}
HOLDS = "reproduced on another network trained on photographs"


@pytest.fixture
def default(tmp_path):
    return finished(tmp_path / "demo", "demo", "only on the embedded default")


@pytest.fixture
def bundled(tmp_path):
    return finished(tmp_path / "real", "real", HOLDS, **REAL, weights_file="/home/me/weights")


@pytest.fixture
def samples(tmp_path):
    images = "imagenet_samples:/home/me/in"
    return finished(tmp_path / "in", "real", "not reproduced", **REAL | {"images": images})


def pages(root: Path) -> tuple[str, str]:
    return (root / "README.md").read_text("utf-8"), (root / "docs/claims.md").read_text("utf-8")


def test_both_networks_stand_side_by_side(root, default, bundled):
    updated = update_readme(root, default, NOTEBOOKS, bundled)
    readme, page = pages(root)
    assert f"| TO1 | Toys are round | only on the embedded default | {HOLDS} | [numb" in readme
    for row in (
        "|  | embedded default | real network |",
        f"| verdict | **only on the embedded default** | **{HOLDS}** |",
        "| why | 3 of 4 are | 4 of 4 are |",
        "| images | photos+scenes:64 | photos+scenes:64 |",
        "| number | embedded default | real network |",
        "| round | 3 | 4 |",
        "| dented |  | 1 |",
        "| interval | 0.3 to 0.9 | 0.3 to 0.9 |",
        "| repeat it | `python -m gc_utils run --preset demo --only 01 02` | "
        "`python -m gc_utils run --preset real --only 01 02` |",
    ):
        assert row in page.splitlines()
    assert "inceptionv1, weights bvlc_googlenet, layer mixed3b, group D16 |" in page
    assert "![Embedded default, images photos+scenes:64. Toys of demo.](claims/02_toys.png)" in page
    assert (
        "![Real network, images photos+scenes:64. Toys of real.](claims/real_02_toys.png)" in page
    )
    assert "the same, on the real network" in page
    assert updated.left_out == [] and "/home/me" not in readme + page
    start = readme[readme.index("<!-- results -->") : readme.index("<!-- /results -->")]
    assert "**On a real network** (inceptionv1, weights bvlc_googlenet, layer mixed3b" in start
    assert f"- Toys are round: **{HOLDS}**. 4 of 4 are.\n" in start
    assert f"Of 1 claims about networks: 1 {HOLDS}." in start
    assert f"*{HOLDS}*: {MEANINGS[HOLDS]}" in start and "*not reproduced*" not in start


def colour(path: Path) -> tuple[int, int, int]:
    """The colour in the middle of a figure."""
    with Image.open(path) as image:
        return image.convert("RGB").getpixel((image.width // 2, image.height // 3))


def test_figures_of_other_images_are_left_out_and_named(root, default, samples, bundled):
    assert shows_only_ours(bundled, NOTEBOOKS) and not shows_only_ours(samples, NOTEBOOKS)
    updated = update_readme(root, default, NOTEBOOKS, samples)
    readme, page = pages(root)
    assert updated.left_out == [samples / "figures" / "02_toys.png"]
    assert [p.name for p in (root / "docs/claims").iterdir()] == ["02_toys.png"]
    assert "| images | photos+scenes:64 | imagenet_samples |" in page.splitlines()
    assert "--preset real --only 01 02 -p images imagenet_samples` |" in page
    assert "/home/me" not in readme + page + (root / "docs/real_findings.json").read_text("utf-8")
    # With those of a run on bundled images the numbers stay, and the figures say where they are of.
    updated = update_readme(root, default, NOTEBOOKS, samples, bundled)
    readme, page = pages(root)
    assert updated.left_out == [] and "| why | 3 of 4 are | 4 of 4 are |" in page.splitlines()
    assert "| images | photos+scenes:64 | imagenet_samples |" in page.splitlines()
    assert "Real network, images photos+scenes:64. Toys of real." in page
    assert colour(root / "docs/claims/real_02_toys.png")[1] < 90, "red"
    assert colour(root / "docs/claims/02_toys.png")[1] > 200, "white"


def test_figures_without_images_are_shown_of_any_run(root, default, samples, monkeypatch):
    monkeypatch.setattr(readme_module, "WITHOUT_IMAGES", {"02_toys"})
    updated = update_readme(root, default, NOTEBOOKS, samples)
    assert updated.left_out == []
    assert "Real network, images imagenet_samples. Toys of real." in pages(root)[1]
    assert colour(root / "docs/claims/real_02_toys.png")[1] < 90, "red"


def test_figures_without_images_are_those_of_the_numbers(
    root, default, samples, bundled, monkeypatch
):
    update_readme(root, default, NOTEBOOKS, samples, bundled)
    assert "Real network, images photos+scenes:64. Toys of real." in pages(root)[1]
    monkeypatch.setattr(readme_module, "WITHOUT_IMAGES", {"02_toys"})
    update_readme(root, default, NOTEBOOKS, samples, bundled)
    assert "Real network, images imagenet_samples. Toys of real." in pages(root)[1]


def test_figures_of_the_same_dictionary_on_other_images_say_so(root, default, samples, bundled):
    for run, weights in ((samples, b"one"), (bundled, b"one")):
        (run / "crosscoder.safetensors").write_bytes(weights)
    update_readme(root, default, NOTEBOOKS, samples, bundled)
    readme, page = pages(root)
    said = ", trained on images imagenet_samples, shown on images photos+scenes:64"
    assert f"![Real network{said}. Toys of real.]" in page
    assert f"group D16{said}, the clearest of their kind" in readme
    (bundled / "crosscoder.safetensors").write_bytes(b"two")
    update_readme(root, default, NOTEBOOKS, samples, bundled)
    assert "trained on images" not in "".join(pages(root))


def test_a_figure_of_the_default_run_is_left_out_for_the_same_reason(root, tmp_path):
    mine = finished(tmp_path / "mine", "demo", "not reproduced", images="folder:/home/me/mine")
    updated = update_readme(root, mine, NOTEBOOKS)
    assert updated.left_out == [mine / "figures" / "02_toys.png"]
    _, page = pages(root)
    assert "![" not in page and "-p images folder:PATH`" in page and "images folder:PATH" in page


def test_the_column_of_the_real_network_is_kept(root, default, bundled, tmp_path):
    update_readme(root, default, NOTEBOOKS, bundled)
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert "real_02_toys.png" in {p.name for p in before}
    update_readme(root, default, NOTEBOOKS)
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before
    (root / "docs" / "real_findings.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be read .* --real DIR"):
        update_readme(root, default, NOTEBOOKS)
    (root / "docs" / "real_findings.json").unlink()
    update_readme(root, default, NOTEBOOKS)
    readme, page = pages(root)
    assert "| not run |" in readme and "real_02_toys" not in page
    assert not (root / "docs" / "claims" / "real_02_toys.png").exists()


def test_the_figure_of_the_readme_is_the_real_network_s(root, default, bundled, samples):
    for runs, white in (
        ((), True),
        ((samples,), True),  # its photographs are not ours to show
        ((bundled,), False),
        ((), False),
        ((samples,), False),  # that of the earlier run is kept
    ):
        update_readme(root, default, NOTEBOOKS, *runs)
        assert (colour(root / "docs" / "telling.png")[1] > 200) == white
    readme, _ = pages(root)
    said = "one crosscoder on inceptionv1, weights bvlc_googlenet, layer mixed3b, group D16, images"
    assert "](docs/telling.png)" in readme and said in readme


def test_a_run_in_the_other_column_is_refused(root, default, bundled, samples):
    for arguments, said in (
        ((bundled,), "--run .* weights 'a file': expected one on the embedded default"),
        ((default, NOTEBOOKS, default), "--real .* expected one on a network trained on photogr"),
        ((default, NOTEBOOKS, bundled, default), "--figures .* 'demo': expected one on a network"),
        ((default, NOTEBOOKS, bundled, samples), "images that are not ours to pass on: name a run"),
        ((default, NOTEBOOKS, None, bundled), "name its run with --real, too"),
    ):
        with pytest.raises(UserError, match=said):
            update_readme(root, arguments[0], NOTEBOOKS, *arguments[2:])
    assert not (root / "docs").exists()


def test_the_command_that_repeats_a_run_names_what_was_chosen(tmp_path):
    asked = REAL | {"group": "D8", "seed": 3, "weights_file": "/home/me/w"}
    run = finished(tmp_path / "real", "real", HOLDS, **asked)
    (found,) = column_of(run, NOTEBOOKS).findings
    assert found["command"] == (
        "python -m gc_utils run --preset real --only 01 02 -p group D8 -p seed 3"
    )
    other = finished(tmp_path / "tv", "demo", HOLDS, model="googlenet", weights="")
    (found,) = column_of(other, NOTEBOOKS).findings
    assert found["command"].endswith("--preset demo --only 01 02 -p model googlenet")
    assert found["network"] == "googlenet, layer mixed3b, group D16"


def test_claims_about_known_data_need_no_network():
    entry = {"id": "XX1", "claim": "it is so", "verdict": "reproduced"}
    known = claims_table([entry | {"evidence": Evidence.KNOWN.value}])
    assert "| XX1 | it is so | reproduced | – |" in known
    other = entry | {"id": "XX2", "verdict": "not reproduced"}
    assert "| XX2 | it is so | not run | not reproduced |" in claims_table([entry], [other])


def test_networks_that_a_notebook_trains_itself_are_said_once():
    own = {id for record in RECORDS for id in record.own_networks}
    assert own == {"IG2", "IG3"}
    entry = {"id": "IG2", "claim": "it is so", "verdict": "only on the embedded default"}
    entry |= {"value": {"a": 1}, "evidence": Evidence.DEFAULT.value}
    line = "| IG2 | it is so | only on the embedded default |"
    other = entry | {"value": {"a": 2}}  # rounding differs between machines
    assert f"{line} – |" in claims_table([entry], [entry])
    assert f"{line} – |" in claims_table([entry], [other])
    assert f"{line} not run |" in claims_table([entry])
    head = [one | {"id": "CA3"} for one in (entry, other)]  # trained on the network named
    line = line.replace("IG2", "CA3")
    assert f"{line} only on the embedded default |" in claims_table([head[0]], [head[1]])


def test_many_numbers_of_both_are_folded():
    entry = {"value": {f"n{i}": i for i in range(13)}, "interval": None}
    assert "<details><summary>13 numbers</summary>" in both_numbers(entry, entry)
    one = {"value": 0.5, "interval": (0.25, 1.0)}
    lines = both_numbers(one, {"value": 0.75, "interval": None}).splitlines()
    assert lines[2:] == ["| measured | 0.5 | 0.75 |", "| interval | 0.25 to 1 |  |"]
